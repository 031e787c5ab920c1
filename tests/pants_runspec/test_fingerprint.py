"""What a recipe's fingerprint follows, and what leaves it as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional, Union

import pytest
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.target import CoarsenedTargets, CoarsenedTargetsRequest
from pants.testutil.rule_runner import QueryRule, RuleRunner

from pants_runspec.recipe.fingerprint import (
    CodeNodeFingerprintRequest,
    Fingerprint,
    FingerprintRequest,
    NodeFingerprint,
)
from pants_runspec.recipe.lockfile import LockfileError
from tests.pants_runspec.harness import (
    LOCK,
    Files,
    address_of,
    make_runner,
    only_error,
    recipe,
    script,
)

RULES = (
    QueryRule(Fingerprint, (FingerprintRequest,)),
    QueryRule(NodeFingerprint, (CodeNodeFingerprintRequest,)),
    QueryRule(CoarsenedTargets, (CoarsenedTargetsRequest,)),
)

BLOCK = script('name = "demo"')

# `lib.a` and `lib.b` import each other; `left-leaf` is locked by way of `left`.
TREE: Files = {
    "src/r/train.py": BLOCK + "import lib.a\nimport left\n\nX = 1\n",
    "src/r/config/default.yaml": "defaults: ../../base.yaml\nlr: 1\n",
    "src/r/words.txt": "one two\n",
    "src/r/BUILD": """\
python_sources(overrides={"train.py": {"dependencies": [":words"]}})
resources(name="words", sources=["*.txt"])
runspec_recipe(name="t", script="train.py")
runspec_configs(name="configs", sources=["config/*.yaml"])
""",
    "src/base.yaml": "seed: 0\n",
    "src/BUILD": "runspec_configs()",
    "src/lib/a.py": "import lib.b\n\n\ndef f() -> int:\n    return 1\n",
    "src/lib/b.py": "import lib.a\nimport lib.far\n",
    "src/lib/far.py": "Y = 1\n",
    "src/lib/unused.py": "import right\n",
    "src/lib/BUILD": "python_sources()",
    "3rdparty/BUILD": """\
python_requirement(name="left", requirements=["left>=1"])
python_requirement(name="right", requirements=["right"])
""",
}


def fingerprint(runner: RuleRunner, spec: str = "src/r:t") -> Fingerprint:
    return runner.request(Fingerprint, [FingerprintRequest(recipe(runner, spec))])


def changed(runner: RuleRunner, before: Fingerprint) -> set[str]:
    """Return which of the three digests are no longer what they were."""
    after = fingerprint(runner)
    kinds = ("code", "environment", "config")
    return {kind for kind in kinds if getattr(before, kind) != getattr(after, kind)}


def bumped(name: str, old: str, new: str) -> dict[str, str]:
    assert f"{name}=={old}" in LOCK
    return {"default.lock": LOCK.replace(f"{name}=={old}", f"{name}=={new}")}


def rehashed(digit: str) -> dict[str, str]:
    return {"default.lock": LOCK.replace(digit * 64, "f" * 64)}


def train(text: str) -> dict[str, str]:
    return {"src/r/train.py": text}


@pytest.fixture(scope="module")
def runner() -> RuleRunner:
    return make_runner(TREE, rules=RULES)


EDITS: Mapping[str, tuple[Mapping[str, Union[str, bytes]], set[str]]] = {
    "comment": (train(BLOCK + "# é\nimport lib.a # why\nimport left\n\nX = 1\n"), set()),
    "whitespace": (train(BLOCK + "\n\n\nimport  lib.a\nimport left\nX  =  1  \n\n"), set()),
    "crlf": (train((BLOCK + "import lib.a\nimport left\nX = 1").replace("\n", "\r\n")), set()),
    "indentation": (
        {"src/lib/a.py": "import lib.b\ndef f() -> int:\n  # one\n  return 1\n"},
        set(),
    ),
    "script": (train(BLOCK + "import lib.a\nimport left\n\nX = 2\n"), {"code"}),
    "block": (train(script('name = "other"') + "import lib.a\nimport left\n\nX = 1\n"), {"code"}),
    "helper": ({"src/lib/a.py": "import lib.b\n\n\ndef f() -> int:\n    return 2\n"}, {"code"}),
    "helper of helper": ({"src/lib/far.py": "Y = 2\n"}, {"code"}),
    "docstring": ({"src/lib/far.py": '"""Far."""\nY = 1\n'}, {"code"}),
    "not imported": ({"src/lib/unused.py": "import right\nZ = 1\n"}, set()),
    "resource": ({"src/r/words.txt": "one  two\n"}, {"code"}),
    "config": ({"src/r/config/default.yaml": "defaults: ../../base.yaml\nlr: 2\n"}, {"config"}),
    "comment in a config": (
        {"src/r/config/default.yaml": "defaults: ../../base.yaml\nlr: 1 # why\n"},
        {"config"},
    ),
    "base of a config": ({"src/base.yaml": "seed: 1\n"}, {"config"}),
    "one config more": ({"src/r/config/more.yaml": "lr: 3\n"}, {"config"}),
    "version it imports": (bumped("left", "1.0", "1.5"), {"environment"}),
    "version below that": (bumped("left-leaf", "1.1", "1.2"), {"environment"}),
    "hash it imports": (rehashed("1"), {"environment"}),
    "hash below that": (rehashed("2"), {"environment"}),
    "version it cannot import": (bumped("right", "2.0", "2.1"), set()),
    "hash it cannot import": (rehashed("3"), set()),
    "other resolve": ({"other.lock": ""}, set()),
    "comment in the lock": ({"default.lock": "# made by hand\n" + LOCK}, set()),
    "helper imports more": (
        {"src/lib/far.py": "import right\nY = 1\n"},
        {"code", "environment"},
    ),
    "requires-python": (
        train(
            script('name = "demo"', standard='requires-python = ">=3.12"')
            + "import lib.a\nimport left\n\nX = 1\n"
        ),
        {"code", "environment"},
    ),
    "dependency": (
        train(
            script('name = "demo"', standard='dependencies = ["right"]')
            + "import lib.a\nimport left\n\nX = 1\n"
        ),
        {"code", "environment"},
    ),
    "nothing": ({}, set()),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_changes_exactly(edit: str) -> None:
    files, expected = EDITS[edit]
    runner = make_runner(TREE, rules=RULES)
    before = fingerprint(runner)
    runner.write_files(dict(files))
    assert changed(runner, before) == expected


def test_contents(runner: RuleRunner) -> None:
    found = fingerprint(runner)
    assert [path for path, _ in found.files] == [
        "src/lib/a.py",
        "src/lib/b.py",
        "src/lib/far.py",
        "src/r/train.py",
        "src/r/words.txt",
    ]
    assert found.requirements.wanted == ("left>=1",)
    assert [package.name for package in found.requirements.locked] == ["left", "left-leaf"]
    for digest in (found.code, found.environment, found.config):
        assert len(digest) == 64 and int(digest, 16)


def test_is_the_same_in_another_build_root(runner: RuleRunner) -> None:
    other = make_runner(dict(reversed(list(TREE.items()))), rules=RULES)
    assert other.build_root != runner.build_root
    assert fingerprint(other) == fingerprint(runner)


def test_back_again_is_what_it_was() -> None:
    runner = make_runner(TREE, rules=RULES)
    before = fingerprint(runner)
    runner.write_files({"src/lib/far.py": "Y = 2\n"})
    assert changed(runner, before) == {"code"}
    runner.write_files({"src/lib/far.py": "Y = 1\n"})
    assert changed(runner, before) == set()


def test_interpreter_constraints_of_the_repository_count() -> None:
    runner = make_runner(TREE, rules=RULES)
    before = fingerprint(runner)
    narrow = make_runner(
        TREE, rules=RULES, options=["--python-interpreter-constraints=['CPython>=3.12,<3.14']"]
    )
    assert changed(narrow, before) == {"environment"}


def with_recipe(arguments: str) -> dict[str, Union[str, bytes]]:
    build = str(TREE["src/r/BUILD"])
    return {
        **TREE,
        "src/r/BUILD": build.replace('script="train.py"', f'script="train.py", {arguments}'),
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("image='image:1'", {"environment"}),
        ("provided=['left']", {"environment"}),
        ("provided=['left-leaf']", {"environment"}),
        ("provided=['right']", set()),
        ("python='3.12'", {"environment"}),
        ("env={'A': 'b'}", set()),
        ("nodes=3", set()),
        ("tags=['t']", set()),
        ("default_config='more'", set()),
    ],
)
def test_fields(runner: RuleRunner, arguments: str, expected: set[str]) -> None:
    before = fingerprint(runner)
    assert changed(make_runner(with_recipe(arguments), rules=RULES), before) == expected


def test_an_image_leaves_only_the_dependencies_of_the_block() -> None:
    runner = make_runner(
        {
            **TREE,
            "src/r/train.py": script('image = "image:1"', standard='dependencies = ["right>1"]')
            + "import lib.a\nimport left\nimport megatron.core\n",
        },
        rules=RULES,
    )
    before = fingerprint(runner)
    assert before.requirements.wanted == ("right>1",)
    assert [package.name for package in before.requirements.locked] == ["right"]
    runner.write_files(bumped("left", "1.0", "1.5"))
    assert changed(runner, before) == set()
    runner.write_files(bumped("right", "2.0", "2.1"))
    assert changed(runner, before) == {"environment"}


def test_a_dependency_that_no_lock_has_counts_by_its_name() -> None:
    def with_dependency(name: Optional[str]) -> Fingerprint:
        standard = f'dependencies = ["{name}"]' if name else ""
        return fingerprint(
            make_runner({**TREE, "src/r/train.py": script(standard=standard)}, rules=RULES)
        )

    found = with_dependency("torch>=2")
    assert found.requirements.unlocked == ("torch>=2",)
    environments = {
        each.environment for each in (found, with_dependency("torch>=3"), with_dependency(None))
    }
    assert len(environments) == 3


def test_a_broken_lockfile() -> None:
    runner = make_runner({**TREE, "default.lock": "left>=1\n"}, rules=RULES)
    with pytest.raises(ExecutionError) as caught:
        fingerprint(runner)
    error = only_error(caught.value)
    assert isinstance(error, LockfileError)
    assert str(error).startswith("default.lock:1: `left>=1` is no pin")


def test_recipes_share_the_nodes_below_them() -> None:
    runner = make_runner(
        {
            **TREE,
            "src/r/other.py": BLOCK + "import lib.a\n",
            "src/r/BUILD": f"{TREE['src/r/BUILD']}runspec_recipe(name='o', script='other.py')",
        },
        rules=RULES,
    )
    roots = [
        runner.request(
            CoarsenedTargets,
            [CoarsenedTargetsRequest([address_of(runner, spec)], expanded_targets=True)],
        )
        for spec in ("src/r:t", "src/r:o")
    ]
    shared = {
        tuple(sorted(member.address.spec for member in node.members)): node
        for (root,) in roots
        for node in root.coarsened_closure()
        if any(member.address.spec.startswith("src/lib/a.py") for member in node.members)
    }
    ((members, node),) = shared.items()
    assert members == ("src/lib/a.py", "src/lib/b.py")
    digest = runner.request(NodeFingerprint, [CodeNodeFingerprintRequest(node)])
    assert [path for path, _ in digest.files] == ["src/lib/a.py", "src/lib/b.py"]
    one, other = fingerprint(runner), fingerprint(runner, "src/r:o")
    assert one.code != other.code
    assert set(other.files) - set(one.files) == {
        (path, digest) for path, digest in other.files if path == "src/r/other.py"
    }


def test_moving_a_module_counts() -> None:
    here = fingerprint(make_runner(TREE, rules=RULES))
    moved = {path: text for path, text in TREE.items() if path != "src/lib/far.py"}
    moved["src/lib/far/__init__.py"] = "Y = 1\n"
    moved["src/lib/BUILD"] = "python_sources(sources=['**/*.py'])"
    assert fingerprint(make_runner(moved, rules=RULES)).code != here.code
