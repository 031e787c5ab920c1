from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_runspec.exceptions import ConfigError, OverrideError
from nemo_runspec.pipeline.cache import PlanCache, cache_folder
from nemo_runspec.pipeline.compose_key import Composed, Composer
from runspec.bundle import Fingerprints
from runspec.models import Runspec, RunspecRun
from runspec.plan import Plan, PlanArtifact, PlanInput, PlanRecipe


def compose(
    folder: Path,
    text: str,
    *,
    environ: dict[str, str] | None = None,
    profile_env: dict[str, str] | None = None,
    spec: Runspec | None = None,
    root: str = "/repo",
    cache: PlanCache | None = None,
    others: dict[str, str] | None = None,
    **values: Any,
) -> Composed:
    files = {"src/config/train.yaml": text, **(others or {})}
    for path, content in files.items():
        target = folder / "configs" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    artifact = PlanArtifact(
        address="src:model",
        name="model",
        recipe="src:train",
        **{"chain": (*(others or {}), "src/config/train.yaml"), **values},
    )
    recipe = PlanRecipe(spec or Runspec(), "src/train.py", 0, Fingerprints("a", "b", "c"))
    composer = Composer(
        Plan(recipes={"src:train": recipe}, artifacts=(artifact,)),
        folder / "configs",
        root=Path(root),
        environ=environ or {},
        profile_env=profile_env or {},
        cache=cache,
    )
    composer.preload([artifact])
    found = composer.composed(artifact)
    composer.flush()
    return found


def config(folder: Path, text: str, **values: Any) -> Any:
    return json.loads(compose(folder, text, **values).config)


def test_it_is_what_the_script_sees_without_the_job(tmp_path: Path) -> None:
    text = """
run:
  data: words:latest
  lr: 0.5
  env: {nodes: 4, container_image: nemo:1}
artifacts: {manifest: {root: /store}}
wandb: {project: x}
train: {lr: "${run.lr}", nodes: "${run.env.nodes}", same: "${train.lr}"}
data: ${art:data,path}/blend.json
out: ${run.output_dir}/model
"""
    assert config(tmp_path, text, inputs=(PlanInput("words:latest", "data"),)) == {
        "train": {"lr": 0.5, "nodes": "${run.env.nodes}", "same": "${train.lr}"},
        "data": "${art:data,path}/blend.json",
        "out": "<output>/model",
    }


@pytest.mark.parametrize(
    ("reference", "overrides"),
    [("words:latest", ()), ("${oc.env:D}", ()), ("", ("run.data=a:v1",))],
)
def test_an_artifact_that_the_plan_does_not_hold_is_refused(
    tmp_path: Path, reference: str, overrides: tuple[str, ...]
) -> None:
    text = f"run: {{data: '{reference}'}}\nx: ${{art:data}}\n"
    cache = PlanCache(tmp_path / "cache")
    planned = (PlanInput("words:latest", "data"),)
    compose(tmp_path, text, overrides=overrides, inputs=planned, cache=cache)
    for inputs in ((), (PlanInput("words:latest", "other"),), (PlanInput("words:latest"),)):
        with pytest.raises(ConfigError) as caught:
            compose(tmp_path, text, overrides=overrides, inputs=inputs, cache=cache)
        assert str(caught.value).startswith("src:model: run.data of the config names the artifact ")


def test_overrides_count_unless_they_are_the_job_s(tmp_path: Path) -> None:
    plain = compose(tmp_path, "lr: 1\n").config
    assert config(tmp_path, "lr: 1\n", overrides=("lr=1e-4",)) == {"lr": 1e-4}
    job = ("run.env.nodes=4", "wandb.project=x", "artifacts.manifest.root=/x")
    assert compose(tmp_path, "lr: 1\n", overrides=job).config == plain


def test_defaults_are_composed(tmp_path: Path) -> None:
    others = {"src/config/base.yaml": "train: {lr: 1, steps: 2}\n"}
    text = "defaults: base\ntrain: {lr: 3}\n"
    assert config(tmp_path, text, others=others) == {"train": {"lr": 3, "steps": 2}}


def test_the_environment_counts_by_its_value(tmp_path: Path) -> None:
    text = """
a: ${oc.env:LANG_CODE}
b: x-${oc.env:LANG_CODE,en}-${oc.env:OTHER,de}
c: ${oc.env:UNSET}
d: ${oc.env:UNSET,null}
e: ${oc.env:UNSET,'quoted text'}
f: ${oc.env:UNSET,${oc.env:LANG_CODE}}
g: \\${oc.env:LANG_CODE}
h: ${oc.env:${name}}
name: LANG_CODE
i: ${oc.decode:${oc.env:LANG_CODE}}
j: ${oc.env:DOLLAR}
"""
    environ = {"LANG_CODE": "fr", "DOLLAR": "${a}"}
    found = compose(tmp_path, text, environ=environ)
    assert json.loads(found.config) == {
        "a": "fr",
        "b": "x-fr-de",
        "c": "<UNSET is not set>",
        "d": None,
        "e": "quoted text",
        "f": "fr",
        "g": "\\${oc.env:LANG_CODE}",
        "h": "fr",
        "name": "LANG_CODE",
        "i": "${oc.decode:fr}",
        "j": "${a}",
    }
    assert found.reads == {"LANG_CODE": "fr", "OTHER": None, "UNSET": None, "DOLLAR": "${a}"}


def test_the_profile_wins_over_the_recipe_and_that_over_the_process(tmp_path: Path) -> None:
    spec = Runspec(env={"A": "recipe", "B": "recipe", "USER": "recipe"})
    text = "a: ${oc.env:A}\nb: ${oc.env:B}\nc: ${oc.env:C}\nu: ${oc.env:USER}\n"
    environ = {"A": "process", "B": "process", "C": "process", "USER": "ann"}
    found = config(tmp_path, text, environ=environ, profile_env={"A": "profile"}, spec=spec)
    assert found == {"a": "profile", "b": "recipe", "c": "process", "u": "recipe"}


@pytest.mark.parametrize(
    "name", ["USER", "HOME", "PWD", "TMPDIR", "SLURM_JOB_ID", "NEMO_RUN_DIR", "HOSTNAME", "RANK"]
)
def test_who_and_where_do_not_count(tmp_path: Path, name: str) -> None:
    text = f"x: /data/${{oc.env:{name}}}/y\nz: ${{oc.env:{name},nobody}}\n"
    one = compose(tmp_path, text, environ={name: "one"})
    other = compose(tmp_path, text, environ={name: "other"})
    assert one == other == compose(tmp_path, text)
    assert json.loads(one.config) == {"x": f"/data/<{name}>/y", "z": f"<{name}>"}


def test_the_output_folder_and_the_build_root_do_not_count(tmp_path: Path) -> None:
    text = """
a: ${oc.env:RUNSPEC_OUTPUT_DIR,outputs/x}
b: ${run.output_dir}
c: /home/ann/repo/data
d: /home/ann/repository
"""
    found = config(
        tmp_path, text, root="/home/ann/repo", environ={"RUNSPEC_OUTPUT_DIR": "/scratch"}
    )
    assert found == {
        "a": "<output>",
        "b": "<output>",
        "c": "<root>/data",
        "d": "/home/ann/repository",
    }


def test_secrets_do_not_count_and_are_not_kept(tmp_path: Path) -> None:
    text = """
api_key: {value}
wandb_token: ${{oc.env:WANDB_API_KEY}}
auth: {{user: {value}, password: {value}}}
url: https://ann:{value}@host/x
seen: ${{oc.env:HF_TOKEN}}
max_tokens: 3
"""
    one = compose(tmp_path, text.format(value="s3cret"), environ={"HF_TOKEN": "s3cret"})
    other = compose(tmp_path, text.format(value="another"), environ={"HF_TOKEN": "another"})
    assert one.config == other.config and "s3cret" not in str(one)
    assert json.loads(one.config)["max_tokens"] == 3


def test_ignored_keys_are_dropped(tmp_path: Path) -> None:
    text = "logging: {level: INFO, dir: x}\ntrain: {lr: 1}\n"
    found = config(tmp_path, text, key_ignores=("logging.level", "train", "nothing.there"))
    assert found == {"logging": {"dir": "x"}}


def test_the_image_is_the_config_s_then_the_recipe_s(tmp_path: Path) -> None:
    spec = Runspec(image="/home/${oc.env:USER}/x.sqsh", run=RunspecRun(workdir="/opt/${flavour}"))
    environ = {"USER": "ann"}
    found = compose(tmp_path, "flavour: rl\n", spec=spec, environ=environ)
    assert (found.image, found.workdir) == ("/home/<USER>/x.sqsh", "/opt/rl")
    text = "run: {env: {container_image: 'nemo:${run.tag}'}, tag: 24}\nflavour: rl\n"
    assert compose(tmp_path, text, spec=spec, environ=environ).image == "nemo:24"
    assert compose(tmp_path, "run: {env: {container: older}}\n").image == "older"
    assert compose(tmp_path, "a: 1\n").image is None


def test_no_config_is_an_empty_one(tmp_path: Path) -> None:
    assert config(tmp_path, "", chain=()) == {}


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("lr: 1\n", {"overrides": ("lrr=2",)}, ["src:model", "lrr", "did you mean 'lr'"]),
        ("lr: [1\n", {}, ["src:model", "src/config/train.yaml", "YAML"]),
        ("lr: 1\n", {"chain": ("src/config/none.yaml",)}, ["none.yaml"]),
        ("x: ${oc.env:${a.b}}\n", {}, ["src:model", "write the variable's name"]),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, text: str, values: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(tmp_path, text, **values)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert str(tmp_path) not in message and "\n" not in message


def test_an_unknown_override_is_an_override_error(tmp_path: Path) -> None:
    with pytest.raises(OverrideError):
        compose(tmp_path, "lr: 1\n", overrides=("nope",))


@settings(max_examples=30, deadline=None)
@given(st.permutations(["a: 1", "b: {c: 2, d: [3, 4]}", "# e", "f: '5'", ""]))
def test_the_order_of_keys_and_comments_do_not_count(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("compose")
    expected = {"a": 1, "b": {"c": 2, "d": [3, 4]}, "f": "5"}
    assert config(folder, "\n".join(lines) + "\n") == expected


def test_what_was_composed_is_found_again(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "cache")
    text = "lang: ${oc.env:LANG_CODE,en}\n"
    first = compose(tmp_path, text, cache=cache)
    # The file is not read: what it was made from is the same.
    entries = cache_rows(cache)
    assert len(entries) == 1
    assert compose(tmp_path, text, cache=cache) == first
    assert cache_rows(cache) == entries
    # Another value of what was read is another config.
    assert config(tmp_path, text, cache=cache, environ={"LANG_CODE": "de"}) == {"lang": "de"}
    assert config(tmp_path, text, cache=cache) == {"lang": "en"}
    assert config(tmp_path, text, cache=cache, key_ignores=("lang",)) == {}


def test_what_a_recipe_declares_is_another_config(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "cache")
    text = "who: ${oc.env:USER}\n"
    assert config(tmp_path, text, cache=cache) == {"who": "<USER>"}
    spec = Runspec(env={"USER": "robot"})
    assert config(tmp_path, text, cache=cache, spec=spec) == {"who": "robot"}


def cache_rows(cache: PlanCache) -> list[Any]:
    connection = sqlite3.connect(cache.path)
    try:
        return connection.execute("SELECT key, value FROM entries ORDER BY key").fetchall()
    finally:
        connection.close()


def test_a_spoilt_cache_is_made_anew(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "cache")
    first = compose(tmp_path, "a: 1\n", cache=cache)
    cache.path.write_bytes(b"this is no database" * 1000)
    assert compose(tmp_path, "a: 1\n", cache=cache) == first
    assert compose(tmp_path, "a: 1\n", cache=cache) == first
    connection = sqlite3.connect(cache.path)
    with connection:
        connection.execute("UPDATE entries SET value = 'garbage'")
    connection.close()
    assert compose(tmp_path, "a: 1\n", cache=cache) == first
    cache.path.unlink()
    assert compose(tmp_path, "a: 1\n", cache=cache) == first


def test_a_cache_that_cannot_be_written_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = PlanCache(tmp_path / "file" / "below")
    assert config(tmp_path, "a: 1\n", cache=cache) == {"a": 1}


def test_many_planners_share_a_cache(tmp_path: Path) -> None:
    folder = tmp_path / "cache"

    def plan(number: int) -> None:
        for n in range(20):
            PlanCache(folder).put({f"{number}-{n}": f"value {n}", "shared": "same"})
            PlanCache(folder).get([f"{number}-{m}" for m in range(n)])

    threads = [threading.Thread(target=plan, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = PlanCache(folder).get(["shared", *(f"{n}-{m}" for n in range(6) for m in range(20))])
    # A busy file may cost an entry, never an error or a wrong one.
    assert found["shared"] == "same"
    assert all(
        value == f"value {key.partition('-')[2]}" for key, value in found.items() if "-" in key
    )


def test_the_cache_lies_in_the_user_s_cache_folder(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/nemo-runspec/plan")
    assert cache_folder({}).parts[-3:] == (".cache", "nemo-runspec", "plan")
