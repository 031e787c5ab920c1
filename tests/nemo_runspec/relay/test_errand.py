from __future__ import annotations

import json
from pathlib import Path

import pytest

from nemo_runspec.bundles import BundleError
from nemo_runspec.exceptions import NemoRunspecError, UsageError
from nemo_runspec.relay.errand import Errand, Place, errand_of
from tests.nemo_runspec.example_bundle import make_bundle
from tests.nemo_runspec.pipeline.workshop import Workshop

PLACE = Place("/lustre/jobs", "the-id")
RUN = "/lustre/jobs/_relay/runs/the-id"


def paths(errand: Errand) -> list[str]:
    return [entry.path for entry in errand.files]


def test_other_commands_count_there_as_they_are() -> None:
    arguments = ("store", "add", "data", "/lustre/data", "--profile=prod")
    assert errand_of(arguments, PLACE, {}) == Errand(arguments)


def test_bundle_of_a_recipe(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "my bundle")
    digest = json.loads((folder / "bundle.json").read_text())["digest"]
    argv = ("--run", "prod", "-c", "tiny", "x=1", "--", "-c", "a b")
    errand = errand_of(("recipe", str(folder), *argv), PLACE, {})
    assert errand.arguments == ("recipe", f"/lustre/jobs/_bundles/{digest[:32]}", *argv)
    assert [tree.path for tree in errand.trees] == [f"_bundles/{digest[:32]}"]
    assert errand.files == ()


def test_bundle_of_the_doctor(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle")
    errand = errand_of(("doctor", "--profile=prod", str(folder), "--no-job"), PLACE, {})
    (tree,) = errand.trees
    path = f"/lustre/jobs/{tree.path}"
    assert errand.arguments == ("doctor", path, "--profile=prod", "--no-job")
    assert errand_of(("doctor", "--profile=prod"), PLACE, {}).trees == ()


@pytest.mark.parametrize("option", [("-c", "{}"), ("--config", "{}"), ("--config={}",)])
def test_config_here_becomes_one_there(tmp_path: Path, option: tuple[str, ...]) -> None:
    folder = make_bundle(tmp_path / "bundle")
    config = tmp_path / "own.yaml"
    config.write_text("defaults: base\n")
    (tmp_path / "base.yml").write_text("a: 1\n")
    argv = [each.format(config) for each in option]
    errand = errand_of(("recipe", str(folder), *argv, "--", "-c", str(config)), PLACE, {})
    _, tree = errand.trees
    there = f"/lustre/jobs/{tree.path}{config}"
    expected = [each.format(there) for each in option]
    assert list(errand.arguments[2:]) == [*expected, "--", "-c", str(config)]
    sent = [f"/{entry.path}" for entry in tree.entries()]
    assert sent == [str(config), str(tmp_path / "base.yml")]


def test_plan_and_bundles_of_materialize(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    shop.plain("model", inputs=["data"])
    errand = errand_of([*shop.write(), "--keep-going", "--profile", "prod"], PLACE, {})
    assert errand.arguments == (
        "materialize",
        f"{RUN}/plan",
        f"--bundles={RUN}/bundles",
        "--keep-going",
        "--profile=prod",
    )
    assert len(errand.trees) == 2
    assert paths(errand)[0] == "plan/plan.json"
    assert "plan/configs/src/demo/config/data/default.yaml" in paths(errand)
    index = errand.files[-1]
    assert index.path == "bundles/index.json"
    assert isinstance(index.content, bytes)
    entries = json.loads(index.content).values()
    assert {each["folder"] for each in entries} == {
        f"/lustre/jobs/{tree.path}" for tree in errand.trees
    }
    assert {each["python"] for each in entries} == {None}


def test_inputs_of_a_recipe_by_hand(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    plan = shop.write()[1]
    environ = {"RUNSPEC_INPUTS_PLAN": plan, "RUNSPEC_INPUTS_BUNDLES": str(shop.bundles)}
    folder = make_bundle(tmp_path / "bundle")
    errand = errand_of(("recipe", str(folder), "--run=prod"), PLACE, environ)
    assert errand.env == {
        "RUNSPEC_INPUTS_PLAN": f"{RUN}/plan",
        "RUNSPEC_INPUTS_BUNDLES": f"{RUN}/bundles",
    }
    assert len(errand.trees) == 2
    assert {"plan/plan.json", "bundles/index.json"} <= set(paths(errand))


def test_what_is_wrong_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no plan"):
        errand_of(("plan", str(tmp_path), "--profile=prod"), PLACE, {})
    with pytest.raises(UsageError, match="unknown option --keep-goin"):
        errand_of(("materialize", str(tmp_path), "--keep-goin"), PLACE, {})
    with pytest.raises(BundleError, match="no job bundle"):
        errand_of(("recipe", str(tmp_path)), PLACE, {})
    bundle = make_bundle(tmp_path / "bundle", job_pex="job.pex")
    with pytest.raises(BundleError, match=r"job\.pex"):
        errand_of(("recipe", str(bundle)), PLACE, {})
    with pytest.raises(NemoRunspecError, match="export it there"):
        errand_of(("export", "plan", "x:y", "--output", "z", "--profile=p"), PLACE, {})
