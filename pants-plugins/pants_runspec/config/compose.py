"""A recipe's config with everything its `defaults:` name, merged as OmegaConf merges."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from pants_runspec.config.interpolation import has_interpolation
from pants_runspec.config.values import Values, dotted
from pants_runspec.config.yaml_tree import (
    Key,
    KeyPath,
    ListNode,
    MapNode,
    Node,
    Scalar,
    YamlTreeError,
    nodes,
    plain,
    read_yaml,
)


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
class Composed:
    """A config with everything it builds on, interpolations left as they are.

    Attributes:
        path: The config.
        values: The merged mapping, without `defaults`.
        lines: The file and line of every value, by the keys and indices that lead to it.
        chain: The files it is made of, in the order they are merged, the config last.
        findings: What is wrong with the files or their merging, sorted.
        is_complete: Whether every file it builds on could be read.
    """

    path: str
    values: Mapping[Key, Any]
    lines: Mapping[KeyPath, tuple[str, int]]
    chain: tuple[str, ...]
    findings: tuple[Finding, ...]
    is_complete: bool


def defaults_of(text: str, path: str) -> tuple[str, ...]:
    """Return the paths of the files that a config builds on, those of one base in order.

    A base without `.yaml` or `.yml` may be spelt in several ways: all of them are returned, and
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


def compose(path: str, files: Mapping[str, str]) -> Composed:
    """Merge a config and everything it builds on as OmegaConf does.

    Args:
        path: The config, one of `files`.
        files: The content of every YAML there is, by its path relative to the build root.
    """
    composition = Composer(files).compose(path)
    tree = composition.tree
    return Composed(
        path,
        plain(tree),
        {keys: (node.path, node.line) for keys, node in nodes(tree)},
        composition.chain,
        tuple(sorted(set(composition.findings))),
        composition.is_complete,
    )


_SUFFIXES = (".yaml", ".yml")
_DEFAULTS = "defaults"
_MAX_CHAIN = 50


@dataclass(frozen=True)
class _Bases:
    bases: tuple[Base, ...]
    findings: tuple[Finding, ...]


def _bases(tree: MapNode) -> _Bases:
    """Return what a config's own `defaults:` names."""
    value = tree.entries.get(_DEFAULTS)
    if value is None or (isinstance(value, Scalar) and value.value is None):
        return _Bases((), ())
    items = value.items if isinstance(value, ListNode) else (value,)
    texts = [(each.value, each.line) for each in items if isinstance(each, Scalar)]
    names = [(text, line) for text, line in texts if isinstance(text, str)]
    if len(names) < len(items):
        # Configs written for Hydra have these. Read as a whole or not at all, as at run time.
        message = (
            "`defaults` is ignored: it is read as a file name or a list of file names, "
            "Hydra's `group: option` is not"
        )
        return _Bases((), (Finding(tree.path, value.line, message, False),))
    folder = posixpath.dirname(tree.path)
    bases = tuple(
        Base(name, line, _candidates(folder, name)) for name, line in names if name != "_self_"
    )
    return _Bases(bases, ())


def _candidates(folder: str, name: str) -> tuple[str, ...]:
    if name.endswith(_SUFFIXES):
        spellings: tuple[str, ...] = (name,)
    else:
        spellings = (*(f"{name}{suffix}" for suffix in _SUFFIXES), name)
    return tuple(posixpath.normpath(posixpath.join(folder, each)) for each in spellings)


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


@dataclass(frozen=True)
class Composition:
    tree: MapNode
    chain: tuple[str, ...]
    findings: tuple[Finding, ...]
    is_complete: bool


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
        is_complete = True
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
            tree = _merged(tree, composition.tree, findings)
        own_entries = {key: node for key, node in own.entries.items() if key != _DEFAULTS}
        tree = _merged(tree, MapNode(path, own.line, own_entries), findings)
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
        if has_interpolation(base.written) or _is_outside(base.candidates[0]):
            message = (
                f"not checked: the base `{base.written}` is known at run time only, "
                "and so are the keys it brings"
            )
            return Finding(path, base.line, message, False)
        message = self._missing(f"the base `{base.written}`", base.candidates[0])
        return Finding(path, base.line, message, True)

    def _missing(self, what: str, path: str) -> str:
        nearest = _nearest_file(path, self._files)
        hint = "" if nearest is None else f"; did you mean {nearest}?"
        return f"{what} is missing: there is no {path}{hint}"

    def _unreadable(self, finding: Finding) -> Composition:
        tree = MapNode(finding.path, 1, {})
        return Composition(tree, (finding.path,), (finding,), False)


def _merged(below: MapNode, above: MapNode, findings: list[Finding]) -> MapNode:
    """Return `above` laid over `below`; what cannot be merged is added to the findings."""
    root = _Draft(below)
    _merge_into(root, root, above, (), findings)
    return root.node()


class _Draft:
    """A mapping that is being merged into; only what changes is copied."""

    def __init__(self, node: MapNode) -> None:
        self.path = node.path
        self.line = node.line
        self.entries: dict[Key, Union[Node, _Draft]] = dict(node.entries)

    def node(self) -> MapNode:
        entries = {
            key: value.node() if isinstance(value, _Draft) else value
            for key, value in self.entries.items()
        }
        return MapNode(self.path, self.line, entries)


def _merge_into(
    root: _Draft, draft: _Draft, above: MapNode, keys: KeyPath, findings: list[Finding]
) -> None:
    for key, value in above.entries.items():
        old = draft.entries.get(key)
        if isinstance(value, Scalar) and value.value == "???" and old is not None:
            # A value still to be given leaves one that is there.
            continue
        if isinstance(old, Scalar) and not isinstance(value, Scalar) and _is_interpolation(old):
            # OmegaConf merges into a copy of the section that the old value refers to.
            referred = Values(root.node()).section(old, (*keys, key))
            old = old if referred is None else referred
        if isinstance(value, MapNode) and isinstance(old, (MapNode, _Draft)):
            inner = _Draft(old) if isinstance(old, MapNode) else old
            inner.path, inner.line = value.path, value.line
            draft.entries[key] = inner
            _merge_into(root, inner, value, (*keys, key), findings)
            continue
        is_clash = (isinstance(value, MapNode) and isinstance(old, ListNode)) or (
            isinstance(value, ListNode) and isinstance(old, (MapNode, _Draft))
        )
        if is_clash and old is not None:
            kinds = ("a list", "a mapping")
            here, there = kinds if isinstance(value, ListNode) else reversed(kinds)
            message = (
                f"`{dotted((*keys, key))}` is {here} here and {there} in {old.path}:{old.line}; "
                "the two cannot be merged"
            )
            findings.append(Finding(value.path, value.line, message, True))
        draft.entries[key] = value


def _is_interpolation(node: Scalar) -> bool:
    return isinstance(node.value, str) and has_interpolation(node.value)
