from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts.job_context import JobInput
from nemo_runspec.bundles import keep_bundle, open_python, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.exceptions import ConfigError
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.pipeline.decide import Decision, State
from nemo_runspec.pipeline.facts import git_facts
from nemo_runspec.pipeline.submit import compose, has_library, pinned_config, with_partition
from nemo_runspec.pipeline.task import BuildTask
from nemo_runspec.store import VersionDraft
from runspec.plan import PlanArtifact
from tests.nemo_runspec.executor_contract import wait_for
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

DATA = JobInput(
    name="a/data",
    version=3,
    path="/d",
    type="ModelArtifact",
    metadata={"tokens": 12, "metadata": {"shards": ["x"]}, "iteration": 7},
    identity="sha256:1",
)
CONFIG = """
run: {data: "a/data:latest", other: "b:latest"}
path: ${art:data}
inside: ${art:data,path}/x-${art:data,version}
tokens: ${art:data,tokens}
shards: ${art:data,metadata.shards}
step: ${art:data,iteration}
env: ${oc.env:HOME}
escaped: \\${art:data}
list: ["${art:data}"]
"""


def test_a_plain_script_gets_values() -> None:
    train: Any = OmegaConf.create(CONFIG)
    plain: Any = OmegaConf.to_container(
        pinned_config(train, {"data": DATA}, is_plain=True), resolve=False
    )
    assert plain == {
        "run": {"data": "a/data:v3", "other": "b:latest"},
        "path": "/d",
        "inside": "/d/x-v3",
        "tokens": 12,
        "shards": ["x"],
        "step": 7,
        "env": "${oc.env:HOME}",
        "escaped": "\\${art:data}",
        "list": ["/d"],
    }
    for broken, expected in (("${art:dat}", "'dat'"), ("${art:data,tokns}", "'tokens'")):
        with pytest.raises(ConfigError, match=expected):
            pinned_config(OmegaConf.create({"x": broken}), {"data": DATA}, is_plain=True)


def test_the_librarys_scripts_get_versions() -> None:
    train: Any = OmegaConf.create(CONFIG)
    pinned = pinned_config(train, {"data": DATA}, is_plain=False)
    plain: Any = OmegaConf.to_container(pinned, resolve=False)
    assert plain["run"]["data"] == "a/data:v3"
    assert plain["path"] == "${art:data}"


def test_who_can_resolve(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("plain")
    shop.library("library", "")
    assert not has_library(read_bundle(shop.bundles / "plain").document)
    assert has_library(read_bundle(shop.bundles / "library").document)


def test_a_pex_is_opened_once(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    folder = shop.bundles / "data"
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "job_pex": "job.pex"}))
    count = tmp_path / "count"
    (folder / "job.pex").write_text(
        f"import sys, json; open({str(count)!r}, 'a').write('x')\n"
        "sys.path.append('/p/some.whl'); exec(sys.argv[2])\n"
    )
    kept = keep_bundle(read_bundle(folder), tmp_path / "jobs")
    python = Path(sys.executable)
    (tmp_path / "some.whl").mkdir()
    pex = kept.root / "job.pex"
    pex.write_text(pex.read_text().replace("/p/some.whl", str(tmp_path / "some.whl")))
    first = open_python(kept, python, {})
    assert open_python(kept, python, {}) == first
    assert count.read_text() == "x"
    assert first.packages == (tmp_path / "some.whl",)
    (tmp_path / "some.whl").rmdir()
    open_python(kept, python, {})
    assert count.read_text() == "xx"
    (kept.root / "opened.json").write_text("{")
    pex.write_text("raise SystemExit(3)\n")
    with pytest.raises(ExecutionError, match="exit code 3"):
        open_python(kept, python, {})


def test_git_facts_outside_of_a_repository(tmp_path: Path) -> None:
    assert git_facts(tmp_path).commit is None


# By hand


LOGS = """
(out / "x").write_text(str(config.get("value", 1)))
log_artifact(Artifact(path=out), tracking, name=NAME)
"""


def recipe(shop: Workshop, name: str, *options: str, **env: str) -> tuple[int, str, str]:
    return finish(shop.command("recipe", str(shop.bundles / name), *options, env=env))


def test_what_a_recipe_run_by_hand_logs_is_found_later(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.library("data", LOGS, config="value: 1\n", type="Artifact")
    shop.library(
        "model",
        LOGS,
        config="value: 2\nfrom: ${art:data}\n",
        inputs={"data": "data"},
        type="Artifact",
        key_ignores=("logging.level",),
    )
    assert recipe(shop, "data")[::2] == (0, "")
    assert recipe(shop, "model")[::2] == (0, "")
    model = shop.manifest("model")
    assert model.used_artifacts == ("data:v1",)
    assert model.run["recipe"] == "src/demo:model" and model.run.get("address") is None
    shop.ran()
    code, out, err = shop.materialize()
    assert (code, out, err) == (0, "nothing to do: all 2 artifacts are fresh\n", "")
    assert recipe(shop, "model", "value=3")[0] == 0
    assert shop.manifest("model").version == 2
    assert shop.manifest("model").key != model.key
    shop.materialize()
    assert shop.ran() == ["model"]


def test_a_recipe_that_fails_has_no_key(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.library("data", LOGS + "sys.exit(4)\n")
    assert recipe(shop, "data")[0] == 4
    assert shop.manifest("data").key is not None
    assert shop.store.keys("data") == {}


def test_a_detached_recipe_is_recorded_when_it_ends(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    (shop.repository / "env.toml").write_text("[here]\nexecutor = 'local'\n")
    shop.library("data", LOGS)
    assert recipe(shop, "data", "--batch", "here")[0] == 0
    wait_for(lambda: shop.store.keys("data"), "the key")
    assert shop.materialize()[1].startswith("nothing to do")


def test_by_hand_plain_scripts_get_values_too(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.store.add_version("data", VersionDraft(path="/some/where"))
    shop.plain("model", config="path: ${art:data}\nrun: {data: 'data:latest'}\n")
    assert recipe(shop, "model")[::2] == (0, "")
    (job,) = shop.jobs()
    assert "path: /some/where" in (job / "train.yaml").read_text()
    code, out, err = recipe(shop, "model", "run.data=nothing:latest")
    assert (code, out) == (2, "") and "'nothing'" in err and err.count("\n") == 1
    assert len(shop.jobs()) == 1


def test_without_a_store_recipes_run_and_nothing_else(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data", config="artifacts: {manifest: null}\n")
    assert recipe(shop, "data")[::2] == (0, "")
    assert not (shop.jobs()[0] / "context.json").exists()


def test_inputs_come_first(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    shop.plain("model", config="path: ${art:data}\nrun: {data: 'data:latest'}\n")
    (shop.repository / "env.toml").write_text("[far]\nexecutor = 'slurm'\n")
    shop.artifacts.pop("src/demo:model.artifact")
    shop.write()
    env = {
        "RUNSPEC_INPUTS_PLAN": str(shop.plan_folder),
        "RUNSPEC_INPUTS_BUNDLES": str(shop.bundles),
    }
    code, out, err = recipe(shop, "model", **env)
    assert (code, err) == (0, "")
    assert "data: built v1" in out
    assert shop.ran() == ["data", "model"]
    code, out, err = recipe(shop, "model", **env)
    assert (code, err) == (0, "") and "data" not in out.splitlines()[0]
    assert shop.ran() == ["model"]


@pytest.mark.parametrize(
    ("named", "followed", "left"),
    [
        ({}, None, None),
        ({"partition": "p"}, "p", "p"),
        ({"partition": "p", "batch_partition": "b"}, "p", "b"),
        ({"run_partition": "r", "batch_partition": "b"}, "r", "b"),
    ],
)
def test_partition(named: dict[str, str], followed: str | None, left: str | None) -> None:
    assert with_partition(named, is_attached=True).get("partition") == followed
    assert with_partition(named, is_attached=False).get("partition") == left


@pytest.mark.parametrize(("is_attached", "partition"), [(True, "r"), (False, "p"), (None, "r")])
def test_partition_of_a_profile_without_one_for_jobs_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_attached: bool | None, partition: str
) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    profile = "[far]\nexecutor = 'slurm'\npartition = 'p'\nrun_partition = 'r'\n"
    (tmp_path / "env.toml").write_text(profile)
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "env.toml"))
    bundle = read_bundle(shop.bundles / "data")
    composed = compose(bundle, GlobalContext(run="far"), [], is_attached=is_attached)
    assert composed.profile["partition"] == partition


@pytest.mark.parametrize(
    ("address", "element", "expected"),
    [
        ("src/demo:sft", None, False),
        ("src/demo:sft#learning_rate-1e-3", None, True),
        ("src/demo:each", {"index": 0, "value": "x"}, True),
    ],
)
def test_one_of_many(address: str, element: dict[str, Any] | None, expected: bool) -> None:
    artifact = PlanArtifact(address=address, name="sft", recipe="src/demo:recipe")
    decision = Decision(State.STALE, "sft")
    assert BuildTask(artifact, decision, element).is_element is expected
