"""The config checks against what they foretell: OmegaConf and the library's `load_config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nemo_runspec.config import load_config
from nemo_runspec.config.overrides import apply_dotlist_overrides
from nemo_runspec.exceptions import ConfigError, OverrideError
from pants_runspec.config.check import check_recipe
from pants_runspec.config.compose import Composer
from pants_runspec.config.interpolation import (
    InterpolationError,
    nested,
    parse_interpolations,
)
from pants_runspec.config.overrides import unknown_key
from pants_runspec.config.yaml_tree import ListNode, MapNode, Node, nodes

TOKENS = [
    *("${", "}", ".", "[", "]", ":", ",", "'", '"', " ", "\t", "\\", "{", "$", "-", "~", "(", "="),
    *("a", "b1", "0", "1.5", "null", "é", "\n", "x:", "oc.env:", "${a}", "${a.b}", "${x:y}"),
]
KEYS = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.sampled_from(["a", "b", "c", "d", "0", "1", "-1"])


def omegaconf_interpolations(value: str) -> Any:
    from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
    from omegaconf.grammar_parser import parse

    found: list[str] = []

    def visit(node: Any) -> None:
        for index in range(node.getChildCount()):
            visit(node.getChild(index))
        if isinstance(node, OmegaConfGrammarParser.InterpolationContext):
            found.append(node.getText())

    try:
        visit(parse(value))
    except Exception:
        return None
    return found


def our_interpolations(value: str) -> Any:
    try:
        return [each.text for each in nested(parse_interpolations(value))]
    except InterpolationError:
        return None


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(TOKENS), min_size=1, max_size=9).map("".join),
    st.sampled_from(["%s", "${%s}", "${f:%s}", "a${f:'%s'} \\${b}"]),
)
def test_grammar(inner: str, frame: str) -> None:
    value = frame % inner
    if "${" in value:
        assert our_interpolations(value) == omegaconf_interpolations(value)


def references() -> st.SearchStrategy[str]:
    plain = st.builds(
        lambda dots, first, rest: "${" + "." * dots + ".".join([first, *rest]) + "}",
        st.sampled_from([0, 0, 0, 1, 2, 3]),
        KEYS,
        st.lists(STEPS, max_size=2),
    )
    bracketed = st.builds("${{{0}[{1}]}}".format, KEYS, STEPS)
    inside = st.builds("${{{0}.{1}}}".format, KEYS, st.one_of(plain, bracketed))
    return st.one_of(plain, bracketed, inside)


def configs(*values: str) -> st.SearchStrategy[dict[str, Any]]:
    leaf = st.one_of(
        references(),
        references().map("x{}y".format),
        references().map("\\{}".format),
        st.sampled_from([0, 1, 2.5, True, None, "a", "b", "a.b", ".a", "s", *values]),
    )
    node = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, min_size=1, max_size=3)
        ),
        max_leaves=8,
    )
    return st.dictionaries(KEYS, node, min_size=1, max_size=4)


CONFIGS = configs()
GIVEN_LATER = configs("???", "${a}", "${b}")


def unresolved(node: Any, keys: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Return where in a config OmegaConf finds an interpolation that it cannot resolve."""
    found = set()
    for key in range(len(node)) if OmegaConf.is_list(node) else list(node.keys()):
        child = node._get_node(key)
        if OmegaConf.is_interpolation(node, key):
            try:
                node[key]
            except Exception:
                found.add((*keys, key))
        elif OmegaConf.is_config(child) and not child._is_none():
            found |= unresolved(child, (*keys, key))
    return found


def plain(node: Node) -> Any:
    if isinstance(node, MapNode):
        return {key: plain(child) for key, child in node.entries.items()}
    return [plain(child) for child in node.items] if isinstance(node, ListNode) else node.value


def loaded(path: Path) -> Any:
    """Return a config as the library loads it, None if it refuses it."""
    try:
        return load_config(path)
    except (ConfigError, ValueError):
        # PyYAML itself raises the latter, on `!!int x`.
        return None


# A base as written, of which `a` is the config itself and `d` does not exist.
NAMES = st.sampled_from(
    ["a", "b", "b.yaml", "./b", "c", "c.yml", "../r/c", "d", "d.yaml", "_self_", "${b}", "", "."]
)
SOUND = ["b", "b.yaml", "c", "c.yml", "./c"]
DEFAULTS = st.one_of(
    st.sampled_from(SOUND),
    st.lists(st.sampled_from([*SOUND, "_self_"]), max_size=3),
    NAMES,
    st.lists(NAMES, max_size=3),
    st.sampled_from([None, 5, True, {"m": "x"}, [None], [["b"]], ["b", 5]]),
    st.sampled_from([[{"m": "x"}], ["b", {"m": "x"}, 5], [{"b": None}, "d"]]),
)
# Some differ in their suffix alone: which one counts is the order in which they are tried.
BASES = st.sampled_from(["b", "b.yaml", "b.yml", "b.yaml.yaml", "c", "c.yaml", "c.yml"])


def write_files(folder: Path, files: dict[str, str]) -> None:
    for old in folder.iterdir():
        old.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def assert_same(folder: Path, files: dict[str, str]) -> None:
    """Compose `a.yaml` here and in the library: the same values, or refused by both."""
    write_files(folder, files)
    composition = Composer({f"r/{name}": text for name, text in files.items()}).compose("r/a.yaml")
    config = loaded(folder / "a.yaml")
    is_refused = any(finding.is_error for finding in composition.findings)
    assert is_refused == (config is None), composition.findings
    if config is not None:
        assert plain(composition.tree) == OmegaConf.to_container(config)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(DEFAULTS, st.dictionaries(BASES, st.one_of(st.none(), DEFAULTS), max_size=3))
def test_finding_bases(tmp_path: Path, names: Any, bases: dict[str, Any]) -> None:
    # A folder of a known name: the base `.` means the file beside it that has its name.
    folder = tmp_path / "r"
    folder.mkdir(exist_ok=True)
    files = {"a.yaml": yaml.safe_dump({"defaults": names})}
    for name, defaults in bases.items():
        own = {"from": name, "seen": {name: True}}
        files[name] = yaml.safe_dump({**own, **({"defaults": defaults} if defaults else {})})
    assert_same(folder, files)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(GIVEN_LATER, min_size=1, max_size=3),
    st.sampled_from([None, [{"m": "x"}, "b"]]),
    st.booleans(),
)
def test_merging(
    tmp_path: Path, configs: list[dict[str, Any]], lowest: Any, is_chain: bool
) -> None:
    names = ["a", "b", "c"][: len(configs)]
    above = {"a": ["b"], "b": ["c"]} if is_chain else {"a": ["c", "b"]}
    files = {}
    for name, config in zip(names, configs):
        bases = [base for base in above.get(name, []) if base in names] or lowest
        files[f"{name}.yaml"] = yaml.safe_dump({"defaults": bases, **config}, sort_keys=False)
    assert_same(tmp_path, files)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CONFIGS, st.one_of(st.just({}), CONFIGS))
def test_resolving(tmp_path: Path, base: dict[str, Any], above: dict[str, Any]) -> None:
    files = {
        "b.yaml": yaml.safe_dump(base, sort_keys=False),
        "a.yaml": yaml.safe_dump({"defaults": "b", **above}, sort_keys=False),
    }
    write_files(tmp_path, files)
    failing = unresolved(load_config(tmp_path / "a.yaml"))
    findings = check_recipe(["a.yaml"], files)
    # What only passes on another's failure is not told again, so ours are some of OmegaConf's.
    assert bool(findings) == bool(failing)
    tree = Composer(files).compose("a.yaml").tree
    for finding in findings:
        at = (finding.path, finding.line)
        here = {keys for keys, node in nodes(tree) if (node.path, node.line) == at}
        assert here & failing, finding


@pytest.mark.parametrize(
    "text",
    [
        "",
        "~",
        "a: 1\nb: [1, {c: d}]",
        "a: 1\na: 2",
        "null: 1",
        "[1]: 2",
        "- a",
        "text",
        "7",
        "a: 2020-01-01\nb: 1e3\nc: 1.5e-3\nd: 010\ne: 1:30\nf: on\ng: 1_000\nh: .5\ni: -.inf",
        "a: !!timestamp 2020-01-01",
        "a: !!binary aGk=",
        "a: !!set {x}",
        "a: !mine b",
        "a: !!int x",
        "1.5: 2\ntrue: 3\n7: 4",
        "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}",
        "x: &x {a: 1}\ny: &y {a: 2, b: 3}\nz: {<<: [*x, *y]}",
        "z: {<<: 3}",
        "=: 3",
        "a: =",
        "a: 1\n---\nb: 2",
        "a: &a [*a]",
        "a: [1",
        "a: '${b'",
        "a: |\n  x\n  y\nb: >-\n  x\n  y",
        "\ttab: 1",
        "a: !!python/object/apply:os.system [ls]",
    ],
)
def test_reading(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    config = loaded(path)
    files = {"a.yaml": text}
    if config is None:
        findings = check_recipe(files, files)
        assert [finding.is_error for finding in findings] == [True]
    else:
        assert plain(Composer(files).compose("a.yaml").tree) == OmegaConf.to_container(config)


NAMES = st.sampled_from(["train", "trian", "steps", "Steps", "lr", "lrr", "_target_", "run", "b1"])
CONFIGS = st.recursive(
    st.sampled_from([1, "text", None, "???"]),
    lambda below: st.dictionaries(NAMES, below, max_size=4) | st.lists(below, max_size=2),
    max_leaves=12,
)
PATHS = st.lists(NAMES | st.sampled_from(["0", "7"]), min_size=1, max_size=3)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(NAMES, CONFIGS, max_size=4), PATHS, st.booleans())
def test_an_unknown_key_is_what_the_library_refuses(
    config: Any, path: list[str], adds: bool
) -> None:
    override = f"{'+' if adds else ''}{'.'.join(path)}=1"
    try:
        apply_dotlist_overrides(OmegaConf.create(config), [override])
        refusal = ""
    except OverrideError as error:
        refusal = str(error)
    problem = unknown_key(config, override)
    if problem is not None:
        assert " has no key " in refusal
    elif " has no key " in refusal and "no mapping" not in refusal:
        # What lies below a list is left to the library, and what it fills itself.
        assert path[0] == "run" or set(path) & {"0", "7"}
