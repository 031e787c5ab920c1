"""A recipe's config with everything its `defaults:` name, merged as it is when the recipe runs.

The library does the same with `nemo_runspec.config.load_config`, which this follows rule by rule;
it is not used here because the plugin runs on Pants' own Python, without OmegaConf.
"""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Optional, Union

from pants_runspec.config.values import Values
from pants_runspec.config.yaml_tree import (
    KeyPath,
    ListNode,
    MapNode,
    Node,
    Scalar,
    YamlTreeError,
    read_yaml,
)

DEFAULTS = "defaults"


@dataclass(frozen=True, order=True)
class Finding:
    """Something to say about a config.

    Attributes:
        path: The file, relative to the build root.
        line: The line, counted from 1.
        message: What is wrong and what to do, in one line.
        is_error: Whether the config fails at run time; False for what cannot be checked here.
    """

    path: str
    line: int
    message: str
    is_error: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Base:
    """A file that a config builds on.

    Attributes:
        written: As `defaults:` has it.
        line: Where.
        candidates: The paths it may have, relative to the build root, the first that exists counts.
    """

    written: str
    line: int
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Composition:
    """A config with everything it builds on, interpolations left as they are.

    Attributes:
        tree: The merged mapping. It has `defaults` only where they are Hydra's.
        chain: The files it is made of, in the order they are merged, the config last.
        findings: What is wrong with the files and their `defaults:`.
        is_complete: Whether every file it builds on could be read.
    """

    tree: MapNode
    chain: tuple[str, ...]
    findings: tuple[Finding, ...]
    is_complete: bool


def defaults_of(text: str, path: str) -> tuple[str, ...]:
    """Return the paths of the files that a config builds on, those of one base in order.

    A base may be written without its `.yaml` or `.yml`: every path it may mean is returned, and
    which exist is for the caller to see. A text that cannot be read has none (`check_recipe` says
    why).

    Args:
        text: The config's content.
        path: Its path, relative to the build root.
    """
    try:
        tree = read_yaml(text, path)
    except YamlTreeError:
        return ()
    return tuple(each for base in _bases(tree).bases for each in base.candidates)


_SUFFIXES = (".yaml", ".yml")
_SELF = "_self_"
_MISSING = "???"
_MAX_CHAIN = 50


@dataclass(frozen=True)
class _Bases:
    """What a config's own `defaults:` names; `is_hydra`: they are for the script to read."""

    bases: tuple[Base, ...]
    findings: tuple[Finding, ...] = ()
    is_hydra: bool = False


def _bases(tree: MapNode) -> _Bases:
    """Return what a config's own `defaults:` names."""
    value = tree.entries.get(DEFAULTS)
    if value is None or (isinstance(value, Scalar) and value.value is None):
        return _Bases(())
    items = value.items if isinstance(value, ListNode) else (value,)
    texts = [(each.value, each.line) for each in items if isinstance(each, Scalar)]
    names = [(text, line) for text, line in texts if isinstance(text, str)]
    if len(names) == len(items):
        return _Bases(
            tuple(
                Base(name, line, _candidates(tree.path, name))
                for name, line in names
                if name != _SELF
            )
        )
    # Read as a whole or not at all, as at run time.
    if isinstance(value, ListNode) and any(isinstance(each, MapNode) for each in items):
        message = (
            "`defaults` is ignored: it is read as a file name or a list of file names, "
            "Hydra's `group: option` is not"
        )
        return _Bases((), (Finding(tree.path, value.line, message, False),), is_hydra=True)
    wrong = next(each for each in items if not _is_text(each))
    what = f"is {_shown(wrong)}" if wrong is value else f"has {_shown(wrong)} in its list"
    message = f"`defaults` {what}; write a file name or a list of file names"
    return _Bases((), (Finding(tree.path, wrong.line, message, True),))


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and isinstance(node.value, str)


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        return "null" if node.value is None else repr(node.value)
    return "a list" if isinstance(node, ListNode) else "a mapping"


def _candidates(path: str, name: str) -> tuple[str, ...]:
    """Return the paths that a base of the config at `path` may have, as at run time."""
    written = str(PurePosixPath(path).parent / name)
    return tuple(posixpath.normpath(f"{written}{suffix}") for suffix in ("", *_SUFFIXES))


def _is_outside(path: str) -> bool:
    return posixpath.isabs(path) or path == ".." or path.startswith("../")


def _nearest_file(wanted: str, files: Iterable[str]) -> Optional[str]:
    """Return the file whose path is most like the wanted one, of its own folder if there is any."""
    folder = posixpath.dirname(wanted)
    known = sorted(files)
    beside = {
        posixpath.splitext(posixpath.basename(each))[0]: each
        for each in known
        if posixpath.dirname(each) == folder
    }
    stem = posixpath.splitext(posixpath.basename(wanted))[0]
    close = difflib.get_close_matches(stem, list(beside), n=1)
    if close:
        return beside[close[0]]
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.7)
    return close[0] if close else None


class Composer:
    """Composes configs out of one set of files; each file is read once, each base composed once."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._composed: dict[str, Composition] = {}

    def compose(self, path: str, below: tuple[str, ...] = ()) -> Composition:
        """Return a config with all it builds on; `below` are the configs that build on it."""
        known = self._composed.get(path)
        if known is None:
            known = self._compose(path, (*below, path))
            self._composed[path] = known
        return known

    def _compose(self, path: str, stack: tuple[str, ...]) -> Composition:
        text = self._files.get(path)
        if text is None:
            return self._unreadable(Finding(path, 1, self._missing("the config", path), True))
        try:
            own = read_yaml(text, path)
        except YamlTreeError as error:
            return self._unreadable(Finding(path, error.line, error.problem, True))
        named = _bases(own)
        findings = list(named.findings)
        chain: list[str] = []
        tree = MapNode(path, 1, {})
        is_complete = not any(finding.is_error for finding in findings)
        for base in named.bases:
            found = self._base(path, base, stack)
            if isinstance(found, Finding):
                findings.append(found)
                is_complete = False
                continue
            composition = self.compose(found, stack)
            findings.extend(composition.findings)
            is_complete = is_complete and composition.is_complete
            chain.extend(each for each in composition.chain if each not in chain)
            tree = _merged(tree, composition.tree)
        if not named.is_hydra:
            entries = {key: node for key, node in own.entries.items() if key != DEFAULTS}
            own = MapNode(path, own.line, entries)
        tree = _merged(tree, own)
        chain.append(path)
        return Composition(tree, tuple(chain), tuple(findings), is_complete)

    def _base(self, path: str, base: Base, stack: tuple[str, ...]) -> Union[str, Finding]:
        """Return the path of a base, or why there is none."""
        found = next((each for each in base.candidates if each in self._files), None)
        if found in stack:
            cycle = " -> ".join((*stack[stack.index(found) :], found))
            return Finding(path, base.line, f"`defaults` runs in a circle: {cycle}", True)
        if found is not None and len(stack) > _MAX_CHAIN:
            message = f"`defaults` leads through more than {_MAX_CHAIN} files"
            return Finding(path, base.line, message, True)
        if found is not None:
            return found
        if _is_outside(base.candidates[0]):
            message = (
                f"not checked: the base `{base.written}` is known at run time only, "
                "and so are the keys it brings"
            )
            return Finding(path, base.line, message, False)
        as_written, with_suffix, _ = base.candidates
        wanted = as_written if as_written.endswith(_SUFFIXES) else with_suffix
        message = self._missing(f"the base `{base.written}`", wanted)
        return Finding(path, base.line, message, True)

    def _missing(self, what: str, path: str) -> str:
        nearest = _nearest_file(path, self._files)
        hint = "" if nearest is None else f"; did you mean {nearest}?"
        return f"{what} is missing: there is no {path}{hint}"

    def _unreadable(self, finding: Finding) -> Composition:
        tree = MapNode(finding.path, 1, {})
        return Composition(tree, (finding.path,), (finding,), False)


def _merged(below: MapNode, above: MapNode) -> MapNode:
    """Return `above` laid over `below`.

    Mappings merge key by key, all else is replaced. A mapping over an interpolation goes on top of
    a copy of the mapping which that refers to, and `???` replaces nothing.
    """
    return _merged_at((), below, above, Values(below))


def _merged_at(keys: KeyPath, below: MapNode, above: MapNode, values: Values) -> MapNode:
    entries = dict(below.entries)
    for key, value in above.entries.items():
        old = entries.get(key)
        if old is not None and isinstance(value, Scalar) and value.value == _MISSING:
            continue
        if old is not None and isinstance(value, MapNode):
            section = old if isinstance(old, MapNode) else values.section((*keys, key))
            if section is not None:
                value = _merged_at((*keys, key), section, value, values)
        entries[key] = value
    return MapNode(above.path, above.line, entries)
