"""A config YAML as a tree whose every value knows its file and line, read as OmegaConf reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union

import yaml

Key = Union[str, int, float, bool, bytes]
# The keys and indices that lead to a value.
KeyPath = tuple[Key, ...]


class YamlTreeError(Exception):
    """A text that is no YAML, or none that a config may be.

    Attributes:
        line: Where, counted from 1.
        problem: What is wrong, in one line.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"{line}: {problem}")
        self.line = line
        self.problem = " ".join(problem.split())


@dataclass(frozen=True)
class Scalar:
    """A string, number, boolean or null, on the lines from `line` to `last_line`."""

    path: str
    line: int
    last_line: int
    value: object


@dataclass(frozen=True)
class ListNode:
    """A list."""

    path: str
    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True)
class MapNode:
    """A mapping. `line` is that of the key which it is the value of."""

    path: str
    line: int
    entries: Mapping[Key, Node]


Node = Union[Scalar, ListNode, MapNode]


def read_yaml(text: str, path: str) -> MapNode:
    """Return the tree of a config file; an empty file is an empty mapping.

    Args:
        text: The file's content.
        path: Its path, which every node keeps.

    Raises:
        YamlTreeError: It is broken, no mapping, or holds what OmegaConf takes in no config: a
            duplicate or null key, a type of its own, an alias of itself.
    """
    try:
        # PyYAML's own reader refuses a control character here, libyaml's later.
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        raise _unreadable(text, error) from error
    _check_depth(text)
    try:
        root = loader.get_single_node()
        if root is None or root.tag == _NULL:
            return MapNode(path, 1, {})
        if not isinstance(root, yaml.MappingNode):
            kind = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
            raise YamlTreeError(
                _line(root), f"the top level is {kind}; a config is a mapping (`key: value`)"
            )
        tree = _Converter(loader, path).convert(root, _line(root))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlTreeError(
            1 if mark is None else mark.line + 1, f"broken YAML: {_told(error)}"
        ) from error
    except yaml.reader.ReaderError as error:
        raise _unreadable(text, error) from error
    finally:
        loader.dispose()
    assert isinstance(tree, MapNode)
    return tree


def leaves(node: Node, keys: KeyPath = ()) -> Iterator[tuple[KeyPath, Scalar]]:
    """Yield every value that is no list and no mapping, with the keys that lead to it."""
    for path, each in nodes(node, keys):
        if isinstance(each, Scalar):
            yield path, each


def nodes(node: Node, keys: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
    """Yield every value below a node, with the keys and indices that lead to it."""
    if isinstance(node, MapNode):
        for key, child in node.entries.items():
            yield (*keys, key), child
            yield from nodes(child, (*keys, key))
    elif isinstance(node, ListNode):
        for index, child in enumerate(node.items):
            yield (*keys, index), child
            yield from nodes(child, (*keys, index))


def plain(node: Node) -> Any:
    """Return a node as dictionaries, lists and single values."""
    if isinstance(node, MapNode):
        return {key: plain(child) for key, child in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def read_value(text: str) -> Any:
    """Return the value of a `key=value` override, the text itself where it is no YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, OverflowError):
        return text


_TAG = "tag:yaml.org,2002:"
_STRING, _NULL, _MERGE, _VALUE = (f"{_TAG}{name}" for name in ("str", "null", "merge", "value"))
_FLOAT, _TIMESTAMP = f"{_TAG}float", f"{_TAG}timestamp"
_COLLECTIONS = (f"{_TAG}seq", f"{_TAG}map")
# What OmegaConf writes for a path; it reads it back, so such a value is as good as a string.
_PATH_TAG = re.compile(rf"{_TAG}python/object/apply:pathlib\.(?:_local\.)?\w*Path")
_MAX_DEPTH = 100
# Aliases may repeat each other until a small file fills the memory.
_MAX_NODES_BY_ALIASES = 100_000


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader with OmegaConf's scalars: `1e3` is a number, a date stays a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _line(marked: Any) -> int:
    """Return the line on which a node or event of PyYAML begins, counted from 1."""
    return int(marked.start_mark.line) + 1


def _unreadable(text: str, error: yaml.reader.ReaderError) -> YamlTreeError:
    # Its position counts characters or bytes, depending on the reader.
    found = text.find(chr(error.character))
    line = text.count("\n", 0, max(found, 0)) + 1
    return YamlTreeError(line, f"broken YAML: the character U+{error.character:04X} is not allowed")


def _told(error: yaml.MarkedYAMLError) -> str:
    problem, context = error.problem or "it cannot be read", error.context
    if context is None:
        return problem
    return f"{context}, {problem}" if problem.startswith("but ") else f"{problem} ({context})"


def _check_depth(text: str) -> None:
    """Refuse what is nested so deeply that libyaml's recursion would end the whole process."""
    if sum(map(text.count, "[{-?:")) <= _MAX_DEPTH:
        return
    depth = 0
    loader = _Loader(text)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    raise YamlTreeError(
                        _line(event),
                        f"it is nested more than {_MAX_DEPTH} levels deep",
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        # The reading proper meets the same error, and says where it is.
        return
    finally:
        loader.dispose()


class _Converter:
    """Turns PyYAML's nodes into ours; an anchor's node is converted once."""

    def __init__(self, loader: Any, path: str) -> None:
        self._loader = loader
        self._path = path
        self._done: dict[tuple[int, int], Node] = {}
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def convert(self, node: yaml.Node, line: int) -> Node:
        """Return our node; `line` is that of the key it belongs to."""
        known = self._done.get((id(node), line))
        if known is not None:
            return known
        if id(node) in self._open:
            raise YamlTreeError(_line(node), "an alias stands inside what it is an alias of")
        self._open.add(id(node))
        converted = self._convert(node, line)
        self._open.remove(id(node))
        size = 1 + sum(self._sizes[id(child)] for child in _children(converted))
        if size > _MAX_NODES_BY_ALIASES and size > 10 * len(self._done):
            raise YamlTreeError(_line(node), f"its aliases stand for more than {size - 1} values")
        self._done[(id(node), line)] = converted
        self._sizes[id(converted)] = size
        return converted

    def _convert(self, node: yaml.Node, line: int) -> Node:
        if isinstance(node, yaml.ScalarNode) or node.tag not in _COLLECTIONS:
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self.convert(item, _line(item)) for item in node.value)
            return ListNode(self._path, line, items)
        entries: dict[Key, Node] = {}
        for key, key_node, value_node in self._entries(node):
            is_scalar = isinstance(value_node, yaml.ScalarNode)
            entries[key] = self.convert(value_node, _line(value_node if is_scalar else key_node))
        return MapNode(self._path, line, entries)

    def _entries(self, node: yaml.Node) -> list[tuple[Key, yaml.Node, yaml.Node]]:
        """Return a mapping's entries, those that `<<` brings in before its own, which win."""
        own: dict[Key, tuple[Key, yaml.Node, yaml.Node]] = {}
        merged: dict[Key, tuple[Key, yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for entry in self._merged(value_node):
                    merged[entry[0]] = entry
                continue
            key = self._key(key_node)
            if key in own:
                raise YamlTreeError(
                    _line(key_node),
                    f"the key `{key!s}` stands here for the second time "
                    f"(first in line {_line(own[key][1])}); keep one",
                )
            own[key] = (key, key_node, value_node)
        return [entry for key, entry in merged.items() if key not in own] + list(own.values())

    def _merged(self, node: yaml.Node) -> list[tuple[Key, yaml.Node, yaml.Node]]:
        if isinstance(node, yaml.MappingNode):
            if id(node) in self._open:
                raise YamlTreeError(_line(node), "`<<` merges a mapping into itself")
            return self._entries(node)
        is_list = isinstance(node, yaml.SequenceNode)
        if not is_list or not all(isinstance(each, yaml.MappingNode) for each in node.value):
            raise YamlTreeError(_line(node), "`<<` takes a mapping or a list of mappings")
        # The first of a list wins, so it comes last.
        return [entry for each in reversed(node.value) for entry in self._merged(each)]

    def _key(self, node: yaml.Node) -> Key:
        if not isinstance(node, yaml.ScalarNode):
            raise YamlTreeError(_line(node), "a key is a list or a mapping; write a single value")
        value = node.value if node.tag == _VALUE else self._scalar(node).value
        if not isinstance(value, (str, int, float, bool, bytes)):
            raise YamlTreeError(_line(node), f"a key is {_shown(value)}; quote it")
        return value

    def _scalar(self, node: yaml.Node) -> Scalar:
        line, last_line = _line(node), int(node.end_mark.line) + 1
        if _PATH_TAG.fullmatch(node.tag) and isinstance(node, yaml.SequenceNode):
            parts = [str(each.value) for each in node.value]
            return Scalar(self._path, line, last_line, "/".join(parts))
        try:
            value = self._loader.construct_object(node, deep=True)
        except (ValueError, OverflowError) as error:
            raise YamlTreeError(
                line, f"{node.value!r} is no {node.tag.rpartition(':')[2]}"
            ) from error
        if value is not None and not isinstance(value, (str, int, float, bool, bytes)):
            raise YamlTreeError(line, f"a {type(value).__name__} has no place in a config")
        return Scalar(self._path, line, last_line, value)


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, MapNode):
        return tuple(node.entries.values())
    return node.items if isinstance(node, ListNode) else ()


def _shown(value: object) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
