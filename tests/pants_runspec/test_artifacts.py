"""Artifact targets: what they are called, what they depend on, and the plan that describes them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Optional, Union

import pytest
from pants.core.goals.lint import LintResult
from pants.engine.fs import Digest, DigestContents
from pants.engine.internals.graph import ResolveError
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.target import AllTargets
from pants.testutil.rule_runner import QueryRule, RuleRunner

from pants_runspec.artifact.describe import ArtifactDescription, ArtifactRequest
from pants_runspec.artifact.graph import PlanFolder, PlanRequest, find_cycle
from pants_runspec.artifact.lint import ArtifactLintRequest
from pants_runspec.artifact.sweep import SweepError, short_keys
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.recipe.fingerprint import Fingerprint, FingerprintRequest
from pants_runspec.target_types import ArtifactFieldSet, default_artifact_name
from runspec.plan import Plan, PlanInput, from_json
from tests.pants_runspec.harness import (
    Files,
    address_of,
    dependencies,
    make_runner,
    only_error,
    recipe,
    script,
)

RULES = (
    QueryRule(AllArtifacts, ()),
    QueryRule(AllTargets, ()),
    QueryRule(ArtifactDescription, (ArtifactRequest,)),
    QueryRule(DigestContents, (Digest,)),
    QueryRule(Fingerprint, (FingerprintRequest,)),
    QueryRule(LintResult, (ArtifactLintRequest.Batch,)),
    QueryRule(PlanFolder, (PlanRequest,)),
)

RECIPES = """\
python_sources()
runspec_configs(name="configs", sources=["config/**/*.yaml"])
runspec_recipe(name="prepare", script="prepare.py")
runspec_recipe(name="train", script="train.py")
"""

TREE: Files = {
    "src/p/BUILD": RECIPES
    + """\
artifact(name="data", recipe=":prepare")
artifact(name="model", recipe=":train")
artifact(name="tiny", recipe=":train", config="tiny", overrides=["train.lr=2"])
""",
    "src/p/prepare.py": script('[tool.runspec.config]\ndir = "config/prepare"'),
    "src/p/train.py": script('[tool.runspec.config]\ndir = "config/train"')
    + "from p import helper\n",
    "src/p/helper.py": "X = 1\n",
    "src/p/config/prepare/default.yaml": "size: 1\n",
    "src/p/config/train/default.yaml": "run: {data: p-data:latest}\ntrain: {lr: 1}\n",
    "src/p/config/train/tiny.yaml": "defaults: default\ntrain: {steps: 1}\n",
    "src/p/config/train/other.yaml": "run: {data: elsewhere:latest}\n",
}


def runner_with(files: Files = TREE) -> RuleRunner:
    return make_runner(files, rules=RULES)


def with_build(build: str, files: Optional[Mapping[str, Union[str, bytes]]] = None) -> Files:
    """Return the tree with these artifact targets instead of its own."""
    return {**TREE, "src/p/BUILD": RECIPES + build, **(files or {})}


def describe(runner: RuleRunner, spec: str) -> ArtifactDescription:
    target = runner.get_target(address_of(runner, spec))
    return runner.request(ArtifactDescription, [ArtifactRequest(ArtifactFieldSet.create(target))])


def plan_files(runner: RuleRunner, *roots: str) -> Mapping[str, bytes]:
    folder = runner.request(PlanFolder, [PlanRequest(roots)])
    return {f.path: f.content for f in runner.request(DigestContents, [folder.digest])}


def make_plan(runner: RuleRunner, *roots: str) -> Plan:
    return from_json(plan_files(runner, *roots)["plan.json"].decode(), "plan.json")


def problem(runner: RuleRunner, *roots: str) -> str:
    """Return what is wrong with the plan of some artifacts, which is an error of ours."""
    with pytest.raises(ExecutionError) as caught:
        make_plan(runner, *roots)
    return str(only_error(caught.value))


def lint(runner: RuleRunner) -> tuple[int, list[str]]:
    """Return the exit code and the lines of `lint` of all artifacts."""
    targets = runner.request(AllTargets, [])
    elements = tuple(
        ArtifactFieldSet.create(each) for each in targets if ArtifactFieldSet.is_applicable(each)
    )
    batch = ArtifactLintRequest.Batch("", elements, partition_metadata=None)
    result = runner.request(LintResult, [batch])
    return result.exit_code, result.stdout.splitlines()


def inputs(runner: RuleRunner, spec: str) -> list[tuple[Optional[str], str, Optional[str]]]:
    return [(each.key, each.reference, each.artifact) for each in describe(runner, spec).inputs]


def names(runner: RuleRunner) -> dict[str, str]:
    found = runner.request(AllArtifacts, [])
    return {address: each.name for address, each in sorted(found.artifacts.items())}


def test_an_artifact_is_called_by_its_folder_and_name() -> None:
    runner = runner_with()
    assert names(runner) == {
        "src/p:data": "p-data",
        "src/p:model": "p-model",
        "src/p:tiny": "p-tiny",
    }


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("src/nano3", "sft", "nano3-sft"),
        ("src/nano3", "nano3-sft", "nano3-sft"),
        ("src/nano3", "nano3", "nano3"),
        ("src/nano3", "nano3sft", "nano3-nano3sft"),
        ("", "sft", "sft"),
        ("src/na no", "s(f)t", "na-no-s-f-t"),
        ("src/_x", "y", "x-y"),
    ],
)
def test_default_names(folder: str, name: str, expected: str) -> None:
    from pants.engine.addresses import Address

    assert default_artifact_name(Address(folder, target_name=name)) == expected


def test_an_artifact_depends_on_its_recipe_its_chain_and_its_inputs() -> None:
    runner = runner_with()
    assert dependencies(runner, "src/p:data") == [
        "src/p/config/prepare/default.yaml:../../configs",
        "src/p:prepare",
    ]
    assert dependencies(runner, "src/p:model") == [
        "src/p/config/train/default.yaml:../../configs",
        "src/p:data",
        "src/p:train",
    ]
    assert dependencies(runner, "src/p:tiny") == [
        "src/p/config/train/default.yaml:../../configs",
        "src/p/config/train/tiny.yaml:../../configs",
        "src/p:data",
        "src/p:train",
    ]


def test_the_plan_describes_what_was_asked_for_and_all_above() -> None:
    runner = runner_with()
    files = plan_files(runner, "src/p:tiny")
    assert sorted(files) == [
        "configs/src/p/config/prepare/default.yaml",
        "configs/src/p/config/train/default.yaml",
        "configs/src/p/config/train/tiny.yaml",
        "plan.json",
    ]
    plan = from_json(files["plan.json"].decode(), "plan.json")
    assert plan.roots == ("src/p:tiny",)
    data, tiny = plan.artifacts
    assert (data.address, data.name, data.recipe) == ("src/p:data", "p-data", "src/p:prepare")
    assert data.inputs == ()
    assert tiny.config == "tiny"
    assert tiny.overrides == ("train.lr=2",)
    assert tiny.chain == ("src/p/config/train/default.yaml", "src/p/config/train/tiny.yaml")
    assert tiny.inputs == (PlanInput("p-data:latest", "data", "src/p:data"),)
    assert (tiny.on_failure, tiny.content) == ("fail", "hash")
    assert sorted(plan.files_of("src/p:train")) == ["src/p/helper.py", "src/p/train.py"]
    assert sorted(plan.files_of("src/p:prepare")) == ["src/p/prepare.py"]
    assert {path for path, _ in plan.files} >= set(tiny.chain)


def test_the_plan_has_the_fingerprints_of_the_bundle() -> None:
    runner = runner_with()
    planned = make_plan(runner, "src/p:model").recipes["src/p:train"]
    found = runner.request(Fingerprint, [FingerprintRequest(recipe(runner, "src/p:train"))])
    assert planned.fingerprints == type(planned.fingerprints)(
        found.code, found.environment, found.config
    )
    assert dict(make_plan(runner, "src/p:model").files_of("src/p:train")) == dict(found.files)


def test_the_plan_is_the_same_in_another_build_root() -> None:
    one, other = runner_with(), runner_with(dict(reversed(list(TREE.items()))))
    assert plan_files(one, "src/p:tiny") == plan_files(other, "src/p:tiny")


def test_every_field_reaches_the_plan() -> None:
    runner = runner_with(
        with_build(
            """\
artifact(name="data", recipe=":prepare", artifact_name="team/data")
artifact(
    name="all",
    recipe="//src/p:train",
    config="src/p/config/train/tiny.yaml",
    overrides=["run.data=team/data"],
    inputs=[":data", "tokens:v3", "words:latest"],
    output="model.npz",
    type="ModelArtifact",
    on_failure="skip",
    external_inputs=["words.txt", "s3://a/b"],
    key_ignores=["train.steps"],
    content="stat",
    foreach="more:shards",
)
""",
            {
                "src/p/config/train/default.yaml": (
                    "run: {data: p-data:latest, more: ext:v2}\nx: '${art:data}'\n"
                )
            },
        )
    )
    found = {each.address: each for each in make_plan(runner, "src/p:all").artifacts}["src/p:all"]
    values = dataclasses.asdict(found)
    assert values.pop("inputs") == (
        {"reference": "team/data:latest", "key": "data", "artifact": "src/p:data"},
        {"reference": "tokens:v3", "key": None, "artifact": None},
        {"reference": "words:latest", "key": None, "artifact": None},
        {"reference": "ext:v2", "key": "more", "artifact": None},
    )
    assert values == {
        "address": "src/p:all",
        "name": "p-all",
        "recipe": "src/p:train",
        "config": "src/p/config/train/tiny.yaml",
        "chain": ("src/p/config/train/default.yaml", "src/p/config/train/tiny.yaml"),
        "overrides": ("run.data=team/data",),
        "output": "model.npz",
        "type": "ModelArtifact",
        "on_failure": "skip",
        "external_inputs": ("words.txt", "s3://a/b"),
        "key_ignores": ("train.steps",),
        "content": "stat",
        "foreach": "more:shards",
    }


REFERENCES: Mapping[str, tuple[str, list[tuple[Optional[str], str, Optional[str]]]]] = {
    "latest": ("run: {d: p-data:latest}", [("d", "p-data:latest", "src/p:data")]),
    "bare, with ${art:…}": (
        "run: {d: p-data}\nx: ${art:d,path}",
        [("d", "p-data:latest", "src/p:data")],
    ),
    "bare, without": ("run: {d: p-data}", []),
    "pinned": ("run: {d: p-data:v3}", [("d", "p-data:v3", None)]),
    "pinned by a number": ("run: {d: p-data:3}\nx: ${art:d}", [("d", "p-data:v3", None)]),
    "an alias": ("run: {d: p-data:prod}\nx: ${art:d}", [("d", "p-data:prod", None)]),
    "no target of that name": ("run: {d: away:latest}", [("d", "away:latest", None)]),
    "an image is none": ("run: {d: 'nvcr.io/nvidia/nemo:latest'}", []),
    "a redis is none": ("run: {d: 'redis:7'}", []),
    "an interpolation": (
        "run: {d: '${data.name}:latest'}\ndata: {name: p-data}\nx: ${art:d}",
        [("d", "p-data:latest", "src/p:data")],
    ),
    "two keys": (
        "run: {a: p-data:latest, b: p-data:latest}",
        [("a", "p-data:latest", "src/p:data"), ("b", "p-data:latest", "src/p:data")],
    ),
    "elsewhere in the config": ("data: p-data:latest", []),
    "the launcher's own": ("run: {env: p-data:latest}", []),
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_references_of_the_config(kind: str) -> None:
    text, expected = REFERENCES[kind]
    runner = runner_with({**TREE, "src/p/config/train/default.yaml": f"{text}\n"})
    assert inputs(runner, "src/p:model") == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["run.data=p-data:v3"], [("data", "p-data:v3", None)]),
        (["run.data=null"], []),
        (["+run.more=p-data:latest"], [("data", "p-data:latest"), ("more", "p-data:latest")]),
        (["run={data: p-data:v1}"], [("data", "p-data:v1", None)]),
        (["train.x=${art:data}", "run.data=p-data"], [("data", "p-data:latest", "src/p:data")]),
        (["train.lr=3"], [("data", "p-data:latest", "src/p:data")]),
    ],
)
def test_overrides_change_the_references(overrides: list[str], expected: list[Any]) -> None:
    build = f"""\
artifact(name="data", recipe=":prepare")
artifact(name="m", recipe=":train", overrides={overrides})
"""
    found = inputs(runner_with(with_build(build)), "src/p:m")
    assert [each[: len(expected[0])] for each in found] == expected


def test_sound_artifacts_have_nothing_to_lint() -> None:
    assert lint(runner_with()) == (0, [])
    assert lint(runner_with(with_build(SWEEP))) == (0, [])


@pytest.mark.parametrize("text", ["${oc.env:DATA}", "${gone}:latest", "${.other}"])
def test_what_the_job_alone_knows_is_no_input(text: str) -> None:
    config = f"run: {{d: '{text}', other: p-data:latest}}\nx: ${{art:d}}\n"
    runner = runner_with({**TREE, "src/p/config/train/default.yaml": config})
    assert problem(runner, "src/p:model") == (
        f"src/p:model: run.d: which artifact {text!r} names is known in the job alone; write its "
        "name, as in name:latest, in the config or in `overrides`"
    )
    build = """\
artifact(name="data", recipe=":prepare")
artifact(name="model", recipe=":train", overrides=["run.d=p-data:v3"])
"""
    runner.write_files({"src/p/BUILD": RECIPES + build})
    assert inputs(runner, "src/p:model")[0] == ("d", "p-data:v3", None)


SWEEP = """\
artifact(name="data", recipe=":prepare")
artifact(
    name="sft",
    recipe=":train",
    artifact_name="sft-model",
    overrides=["train.steps=3"],
    sweep={"train.lr": ["1e-4", "3e-4"]},
    tags=["gpu"],
)
artifact(name="best", recipe=":prepare", inputs=[":sft"])
artifact(name="named", recipe=":train", overrides=["run.data=sft-model:latest"])
"""


def test_a_sweep_generates_an_artifact_for_each_value() -> None:
    runner = runner_with(with_build(SWEEP))
    assert names(runner) == {
        "src/p:best": "p-best",
        "src/p:data": "p-data",
        "src/p:named": "p-named",
        "src/p:sft#lr-1e-4": "sft-model/lr-1e-4",
        "src/p:sft#lr-3e-4": "sft-model/lr-3e-4",
    }
    plan = make_plan(runner, "src/p:sft#lr-1e-4")
    (variant,) = (each for each in plan.artifacts if each.address == "src/p:sft#lr-1e-4")
    assert variant.overrides == ("train.steps=3", "train.lr=1e-4")
    assert variant.inputs == (PlanInput("p-data:latest", "data", "src/p:data"),)
    target = runner.get_target(address_of(runner, "src/p:sft#lr-1e-4"))
    assert target.alias == "artifact_variant"
    assert dependencies(runner, "src/p:sft") == ["src/p:sft#lr-1e-4", "src/p:sft#lr-3e-4"]
    assert dependencies(runner, "src/p:sft#lr-3e-4") == [
        "src/p/config/train/default.yaml:../../configs",
        "src/p:data",
        "src/p:train",
    ]


def test_a_join_means_all_of_a_sweep() -> None:
    runner = runner_with(with_build(SWEEP))
    members = [
        ("sft-model/lr-1e-4:latest", "src/p:sft#lr-1e-4"),
        ("sft-model/lr-3e-4:latest", "src/p:sft#lr-3e-4"),
    ]
    assert inputs(runner, "src/p:best") == [(None, *each) for each in members]
    assert inputs(runner, "src/p:named") == [("data", *each) for each in members]
    addresses = [each.address for each in make_plan(runner, "src/p:best").artifacts]
    assert addresses == ["src/p:best", "src/p:data", "src/p:sft#lr-1e-4", "src/p:sft#lr-3e-4"]


def test_a_sweep_over_two_keys_is_a_cross_product() -> None:
    build = """\
artifact(
    name="s",
    recipe=":prepare",
    sweep={"train.lr": ["1", "a b/c"], "eval.lr": ["-2"], "seed": ["0"]},
)
"""
    assert list(names(runner_with(with_build(build)))) == [
        "src/p:s#train.lr-1_eval.lr--2_seed-0",
        "src/p:s#train.lr-a-b-c_eval.lr--2_seed-0",
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["train.lr"], ("lr",)),
        (["train.lr", "train.steps"], ("lr", "steps")),
        (["a.b.lr", "a.c.lr"], ("b.lr", "c.lr")),
        (["x.lr", "lr"], ("x.lr", "lr")),
        (["+new.key", "list[0]"], ("key", "0")),
    ],
)
def test_short_keys(keys: list[str], expected: tuple[str, ...]) -> None:
    assert short_keys(keys) == expected


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ('{"a": []}', "no values for 'a'"),
        ('{"": ["1"]}', "has the key ''"),
        ('{"a": ["1", "1"]}', "gives a=1 and a=1 the same name, a-1"),
        ('{"a": ["x y", "x/y"]}', "gives a=x y and a=x/y the same name, a-x-y"),
    ],
)
def test_a_sweep_that_makes_no_set_of_artifacts(sweep: str, said: str) -> None:
    runner = runner_with(with_build(f'artifact(name="s", recipe=":prepare", sweep={sweep})'))
    with pytest.raises(ExecutionError) as caught:
        names(runner)
    error = only_error(caught.value)
    assert isinstance(error, SweepError)
    assert str(error).startswith("src/p:s: the `sweep` field ")
    assert said in str(error)


BROKEN: Mapping[str, tuple[str, str]] = {
    "recipe": (
        'artifact(name="x", recipe=":trian")',
        "src/p:x: the `recipe` field names ':trian', and there is no such target; "
        "did you mean src/p:train?",
    ),
    "recipe that is none": (
        'artifact(name="x", recipe=":configs")',
        "the `recipe` field names ':configs', and there is no such target",
    ),
    "recipe that is an artifact": (
        'artifact(name="x", recipe=":x")',
        "the `recipe` field names ':x', which is no runspec_recipe",
    ),
    "recipe that is no address": (
        'artifact(name="x", recipe="a:b:c")',
        "the `recipe` field names 'a:b:c', which is no address",
    ),
    "config": (
        'artifact(name="x", recipe=":train", config="tny")',
        "src/p:x: the `config` field: there is no config 'tny'; did you mean 'tiny'? "
        "There are: default, other, tiny",
    ),
    "input": (
        'artifact(name="x", recipe=":train", inputs=[":dta"])',
        "src/p:x: the `inputs` field names ':dta', and there is no such target",
    ),
    "input that is a recipe": (
        'artifact(name="x", recipe=":train", inputs=[":train"])',
        "the `inputs` field names ':train', which is no artifact",
    ),
    "input without a version": (
        'artifact(name="x", recipe=":train", inputs=["p-data"])',
        "(an artifact of the store alone is name:v3 or name:latest)",
    ),
    "name": (
        'artifact(name="x", recipe=":train", artifact_name="a//b")',
        "the `artifact_name` field is 'a//b', which cannot be the name of an artifact",
    ),
    "reserved name": (
        'artifact(name="x", recipe=":train", artifact_name="a/v3")',
        "the `artifact_name` field is 'a/v3'",
    ),
    "override key": (
        'artifact(name="x", recipe=":train", overrides=["trian.lr=1"])',
        "src/p:x: the `overrides` field has 'trian.lr=1': the config has no key 'trian'; did you "
        "mean 'train'? `+trian.lr=1` adds it",
    ),
    "override key of a sweep": (
        'artifact(name="y", recipe=":train", sweep={"train.lrr": ["1"]})\n'
        'artifact(name="x", recipe=":train", inputs=[":y"])',
        "src/p:y#lrr-1: the `overrides` field has 'train.lrr=1': 'train' of the config has no key "
        "'lrr'; did you mean 'lr'?",
    ),
    "override": (
        'artifact(name="x", recipe=":train", overrides=["train.lr"])',
        "the `overrides` field has 'train.lr'; write key=value, as in train.lr=1e-4",
    ),
    "foreach": (
        'artifact(name="x", recipe=":train", foreach="data")',
        "the `foreach` field is 'data'; write KEY:FIELD, as in data:shards",
    ),
    "foreach of no input": (
        'artifact(name="x", recipe=":train", foreach="dta:shards")',
        "the `foreach` field names 'dta', which the config's `run` section does not",
    ),
    "itself": (
        'artifact(name="x", recipe=":train", artifact_name="p-data")',
        "src/p:x: it is made from itself (p-data:latest); name a version, as in p-data:v1",
    ),
    "one name": (
        'artifact(name="x", recipe=":prepare")\nartifact(name="y", recipe=":prepare", '
        'artifact_name="p-x")',
        "the artifact p-x can be any of src/p:x, src/p:y, which have the same artifact name; "
        "give each an `artifact_name` of its own",
    ),
    "one name that a config means": (
        'artifact(name="x", recipe=":train")\n'
        'artifact(name="a", recipe=":prepare", artifact_name="p-data")\n'
        'artifact(name="b", recipe=":prepare", artifact_name="p-data")',
        "src/p:x: run.data: `p-data:latest` can be any of src/p:a, src/p:b, which have the same",
    ),
    "circle": (
        'artifact(name="x", recipe=":prepare", inputs=[":y"])\n'
        'artifact(name="y", recipe=":prepare", inputs=[":z"])\n'
        'artifact(name="z", recipe=":prepare", inputs=[":y"])',
        "artifacts are made from each other in a circle: src/p:y -> src/p:z -> src/p:y; ",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_target_fails_its_plan_alone(kind: str) -> None:
    build, said = BROKEN[kind]
    runner = runner_with(with_build(f"{build}\n"))
    assert said in problem(runner, "src/p:x")
    exit_code, lines = lint(runner)
    assert exit_code == 1
    assert any(said in line for line in lines), lines
    # Neither `list ::` nor `dependents` cares.
    targets = runner.request(AllTargets, [])
    for target in targets:
        dependencies(runner, target.address.spec)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"src/p/train.py": "# no block\n"}, "src/p:model: its recipe src/p:train is broken: "),
        (
            {"src/p/config/train/default.yaml": "a: [\n"},
            "src/p:model: of its recipe src/p:train: src/p/config/train/default.yaml:2: broken",
        ),
        (
            {"src/p/config/train/default.yaml": "defaults: gone\n"},
            "the base `gone` is missing: there is no src/p/config/train/gone.yaml",
        ),
        ({"src/p/train.py": script("[tool.runspec.config]\ndir = '../../..'")}, "leads out of"),
    ],
)
def test_a_broken_recipe_or_config(files: Files, said: str) -> None:
    runner = runner_with({**TREE, **files})
    assert said in problem(runner, "src/p:model")
    assert "src/p:train" in dependencies(runner, "src/p:model")


def test_code_that_nobody_owns() -> None:
    build = str(TREE["src/p/BUILD"]).replace("python_sources()", "")
    runner = runner_with({**TREE, "src/p/BUILD": build})
    assert "no python_sources target" in problem(runner, "src/p:model")


def test_a_chain_of_a_thousand_needs_no_recursion() -> None:
    lines = ['artifact(name="a0", recipe=":prepare")']
    lines += [
        f'artifact(name="a{n}", recipe=":prepare", inputs=[":a{n - 1}"])' for n in range(1, 1000)
    ]
    runner = runner_with(with_build("\n".join(lines)))
    plan = make_plan(runner, "src/p:a999")
    assert len(plan.artifacts) == 1000
    assert len(plan.recipes) == 1


def test_cycles_are_found_however_long() -> None:
    size = 100_000
    chain = {str(n): (str(n + 1),) for n in range(size)}
    assert find_cycle({**chain, str(size): ()}) == ()
    assert len(find_cycle({**chain, str(size): ("0",)})) == size + 1
    assert find_cycle({"a": ("b", "c"), "b": ("c",), "c": ()}) == ()


def test_an_edit_changes_the_plan_of_what_uses_it() -> None:
    runner = runner_with()

    def prints() -> dict[str, str]:
        recipes = make_plan(runner, "src/p:model").recipes
        return {address: each.fingerprints.code for address, each in recipes.items()}

    before = prints()
    runner.write_files({"src/p/helper.py": "X = 2\n"})
    after = prints()
    assert {address for address in before if before[address] != after[address]} == {"src/p:train"}


def test_an_unknown_address_is_pants_own_error() -> None:
    with pytest.raises((ExecutionError, ResolveError)):
        runner_with().get_target(address_of(runner_with(), "src/p:gone"))


def test_the_document_is_json_of_this_schema() -> None:
    document = json.loads(plan_files(runner_with(), "src/p:data")["plan.json"])
    assert document["schema"] == "1"
