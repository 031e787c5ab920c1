"""Rules by name on a Pants that has only `Get`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pants.engine.fs import (
    EMPTY_DIGEST,
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    FileContent,
)
from pants.engine.internals.selectors import Get
from pants.engine.rules import TaskRule, collect_rules
from pants.engine.unions import UnionRule, union
from pants.testutil.rule_runner import QueryRule, RuleRunner

import pants_runspec.engine
import pants_runspec.engine_get
from pants_runspec.engine import (
    BY_NAME,
    add_prefix,
    concurrently,
    create_digest,
    get_digest_contents,
    implicitly,
    rule,
)


@dataclass(frozen=True)
class Doubled:
    value: int


@dataclass(frozen=True)
class Number:
    value: int


@dataclass(frozen=True)
class TreeDepth:
    value: int


@union
@dataclass(frozen=True)
class DepthRequest:
    levels: int


@dataclass(frozen=True)
class TreeDepthRequest(DepthRequest):
    """The member of the union."""


@dataclass(frozen=True)
class Folder:
    text: str


@dataclass(frozen=True)
class FolderRequest:
    numbers: tuple[int, ...]


@rule
async def double(request: Number) -> Doubled:
    """Return twice a number."""
    return Doubled(2 * request.value)


@rule(polymorphic=True)
async def depth(request: DepthRequest) -> TreeDepth:
    raise NotImplementedError(f"no rule measures {type(request).__name__}")


@rule(desc="Measure a tree")
async def tree_depth(request: TreeDepthRequest) -> TreeDepth:
    if request.levels == 0:
        return TreeDepth(0)
    below = await depth(**implicitly({TreeDepthRequest(request.levels - 1): DepthRequest}))
    return TreeDepth(below.value + 1)


@rule(desc="Write numbers into a folder")
async def folder(request: FolderRequest) -> Folder:
    doubled = await concurrently(double(Number(number)) for number in request.numbers)
    text = " ".join(str(each.value) for each in doubled)
    made = await create_digest(CreateDigest([FileContent("a.txt", text.encode())]))
    moved = await add_prefix(AddPrefix(made, "b"))
    (content,) = await get_digest_contents(moved)
    return Folder(f"{content.path}: {content.content.decode()}")


@pytest.fixture(scope="module")
def runner() -> RuleRunner:
    return RuleRunner(
        rules=[
            *collect_rules(globals()),
            UnionRule(DepthRequest, TreeDepthRequest),
            QueryRule(Folder, (FolderRequest,)),
            QueryRule(TreeDepth, (TreeDepthRequest,)),
        ]
    )


def test_rules_call_rules(runner: RuleRunner) -> None:
    assert runner.request(Folder, [FolderRequest((1, 2, 3))]) == Folder("b/a.txt: 2 4 6")


def test_a_rule_calls_itself_by_way_of_a_union(runner: RuleRunner) -> None:
    assert runner.request(TreeDepth, [TreeDepthRequest(5)]) == TreeDepth(5)


def test_a_call_is_a_get() -> None:
    assert not BY_NAME
    found = double(Number(1))
    assert isinstance(found, Get)
    assert (found.output_type, found.inputs) == (Doubled, [Number(1)])
    assert double.__name__ == "double" and double.__doc__ == "Return twice a number."
    found = create_digest(CreateDigest([]), **implicitly())
    assert (found.output_type, found.input_types) == (Digest, [CreateDigest])
    found = get_digest_contents(**implicitly({EMPTY_DIGEST: Digest}))
    assert (found.output_type, found.inputs) == (DigestContents, [EMPTY_DIGEST])


def test_a_stub_is_no_rule() -> None:
    rules = [each for each in collect_rules(globals()) if isinstance(each, TaskRule)]
    assert {each.func.__name__ for each in rules} == {"double", "tree_depth", "folder"}


def imported_names(statements: list[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            yield from (alias.name for alias in statement.names)


def test_both_pants_have_the_same_names() -> None:
    tree = ast.parse(Path(pants_runspec.engine.__file__).read_text())
    (choice,) = (statement for statement in tree.body if isinstance(statement, ast.If))
    by_name, by_get = sorted(imported_names(choice.body)), sorted(imported_names(choice.orelse))
    assert by_name == by_get
    assert sorted([*by_name, "BY_NAME"]) == sorted(pants_runspec.engine.__all__)
    for name in by_get:
        assert getattr(pants_runspec.engine, name) is getattr(pants_runspec.engine_get, name)
