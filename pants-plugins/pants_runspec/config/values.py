"""What the interpolations of a composed config stand for, as far as that is known without running.

What only a run knows (environment variables, artifacts, what the script's own resolvers return,
`???`) is a value of its own here, and whatever depends on it is taken to be fine.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Optional, Union

from pants_runspec.config.interpolation import (
    Argument,
    Call,
    Interpolation,
    InterpolationError,
    Part,
    Reference,
    has_interpolation,
    parse_interpolations,
)
from pants_runspec.config.yaml_tree import Key, KeyPath, ListNode, MapNode, Node, Scalar, nodes

# What the launcher puts below `run` before anything is resolved; `artifacts` comes from env.toml.
_RUN = "run"
_RUN_TIME_KEYS = ("mode", "profile", "env", "cli", "recipe", "wandb", "output_dir")
_ARTIFACTS = "artifacts"
_MISSING = "???"
# `name[:version]`, version `vN`, `N` or `latest`; a name may hold `/`.
_ARTIFACT_REFERENCE = re.compile(r"[\w][\w.-]*(?:/[\w][\w.-]*)*(?::(?:v?[0-9]+|latest))?")
_MAX_HOPS = 50
_MAX_TEXT = 10_000
_SHOWN_KEYS = 8


class _Unresolved(Exception):
    """An interpolation has no value."""

    def __init__(self, interpolation: Interpolation, text: str) -> None:
        super().__init__(text)
        self.interpolation = interpolation
        self.text = text


class _Circle(Exception):
    """Values that refer to each other in a circle."""

    def __init__(self, members: tuple[KeyPath, ...]) -> None:
        super().__init__(members)
        self.members = members


@dataclass(frozen=True)
class _Found:
    """A value and the keys under which it really stands."""

    node: Node
    keys: KeyPath


@dataclass(frozen=True)
class _AtRunTime:
    """A value that is known at run time only; `is_text`: that it is a string is known before."""

    is_text: bool = False


_AT_RUN_TIME = _AtRunTime()
_TEXT_AT_RUN_TIME = _AtRunTime(is_text=True)
_Value = Union[_Found, _AtRunTime]


def dotted(keys: Sequence[Key]) -> str:
    """Return keys as an interpolation spells them."""
    return ".".join(map(str, keys))


def _is_at_run_time(keys: Sequence[Key]) -> bool:
    if keys[0] == _RUN:
        return len(keys) == 1 or keys[1] in _RUN_TIME_KEYS
    return keys[0] == _ARTIFACTS


class Values:
    """The values of one composed config."""

    def __init__(self, root: MapNode) -> None:
        self._root = root
        self._values: dict[KeyPath, _Value] = {}

    def problem(self, interpolation: Interpolation, keys: KeyPath) -> Optional[str]:
        """Return what is wrong with an interpolation of the value at `keys`, None if nothing.

        What is wrong with an interpolation inside it or with the value it refers to is no problem
        of this one: it is found where it stands.
        """
        try:
            self._interpolation(interpolation, keys, (keys,))
        except _Unresolved as unresolved:
            return unresolved.text if unresolved.interpolation is interpolation else None
        except _Circle as circle:
            if keys != min(circle.members, key=dotted):
                return None
            if len(circle.members) == 1:
                return "refers to itself"
            chain = " -> ".join(dotted(each) for each in (*circle.members, circle.members[0]))
            return f"refers to itself: {chain}"
        return None

    def section(self, keys: KeyPath) -> Optional[MapNode]:
        """Return the mapping at `keys`, interpolations on the way resolved, None if there is none.

        Args:
            keys: Keys from the top, each of which is there.
        """
        found = _Found(self._root, ())
        for key in keys:
            child = _child(found.node, key)
            try:
                value = child and self._resolved(_Found(child[1], (*found.keys, key)), ())
            except _Circle:
                return None
            if not isinstance(value, _Found):
                return None
            found = value
        return found.node if isinstance(found.node, MapNode) else None

    def _resolved(self, found: _Found, stack: tuple[KeyPath, ...]) -> _Value:
        """Return a value with its interpolations resolved."""
        value = found.node.value if isinstance(found.node, Scalar) else None
        if not isinstance(value, str):
            return found
        if value == _MISSING:
            # To be given on the command line.
            return _AT_RUN_TIME
        if not has_interpolation(value):
            return found
        if found.keys in stack:
            raise _Circle(stack[stack.index(found.keys) :])
        if len(stack) > _MAX_HOPS:
            return _AT_RUN_TIME
        known = self._values.get(found.keys)
        if known is None:
            try:
                parts = parse_interpolations(value)
                known = self._joined(parts, found, (*stack, found.keys))
            except (_Unresolved, InterpolationError):
                # Reported where it stands.
                known = _AT_RUN_TIME
            self._values[found.keys] = known
        return known

    def _joined(self, parts: tuple[Part, ...], found: _Found, stack: tuple[KeyPath, ...]) -> _Value:
        """Return the value of a string: of a lone interpolation as it is, else the text."""
        if len(parts) == 1 and not isinstance(parts[0], str):
            return self._interpolation(parts[0], found.keys, stack)
        texts: list[str] = []
        for part in parts:
            value = part if isinstance(part, str) else self._text(part, found.keys, stack)
            if value is None or sum(map(len, texts)) > _MAX_TEXT:
                return _TEXT_AT_RUN_TIME
            texts.append(value)
        node = found.node
        text = Scalar(node.path, node.line, node.line, "".join(texts))
        return _Found(text, found.keys)

    def _text(
        self, interpolation: Interpolation, keys: KeyPath, stack: tuple[KeyPath, ...]
    ) -> Optional[str]:
        value = self._interpolation(interpolation, keys, stack)
        if isinstance(value, _Found) and isinstance(value.node, Scalar):
            return str(value.node.value)
        return None

    def _interpolation(
        self, interpolation: Interpolation, keys: KeyPath, stack: tuple[KeyPath, ...]
    ) -> _Value:
        """Return what an interpolation of the value at `keys` stands for.

        Raises:
            _Unresolved: It stands for nothing.
            _Circle: It leads back to one of `stack`.
        """
        if isinstance(interpolation, Call):
            if interpolation.name == ("art",):
                self._check_artifact(interpolation, keys, stack)
            return _AT_RUN_TIME
        steps = self._steps(interpolation, keys, stack)
        if steps is None:
            return _AT_RUN_TIME
        found = self._select(interpolation, steps, stack)
        if isinstance(found, _Found) and found.keys == keys[: len(found.keys)]:
            section = f"`{dotted(found.keys)}`" if found.keys else "the whole config"
            raise _Unresolved(interpolation, f"refers to {section}, which holds it")
        return found

    def _steps(
        self, reference: Reference, keys: KeyPath, stack: tuple[KeyPath, ...]
    ) -> Optional[tuple[Key, ...]]:
        """Return a reference's keys from the top, None if one is known at run time only."""
        dots = reference.dots
        steps: list[Key] = []
        for key in reference.keys:
            if isinstance(key.part, str):
                steps.append(key.part)
                continue
            value = self._interpolation(key.part, keys, stack)
            if not isinstance(value, _Found):
                return None
            part = value.node.value if isinstance(value.node, Scalar) else value.node
            if isinstance(part, bool) or not isinstance(part, (str, int)):
                shown = repr(part) if isinstance(value.node, Scalar) else "a section"
                raise _Unresolved(
                    reference, f"does not resolve: `{key.part.text}` is {shown}, which is no key"
                )
            text = str(part)
            if key.in_brackets:
                steps.append(text)
                continue
            if not steps:
                dots += len(text) - len(text.lstrip("."))
                text = text.lstrip(".")
            steps.extend(_split(text))
        if dots == 0:
            return tuple(steps)
        if dots > len(keys):
            raise _Unresolved(
                reference,
                f"does not resolve: {dots} dots from `{dotted(keys)}` lead above the top",
            )
        return (*keys[: len(keys) - dots], *steps)

    def _select(
        self, reference: Reference, steps: tuple[Key, ...], stack: tuple[KeyPath, ...]
    ) -> _Value:
        found = _Found(self._root, ())
        for index, step in enumerate(steps):
            child = _child(found.node, step)
            if child is None:
                if _is_at_run_time(steps[: max(2, index + 1)]):
                    return _AT_RUN_TIME
                raise _Unresolved(reference, self._not_there(found, steps, index))
            value = self._resolved(_Found(child[1], (*found.keys, child[0])), stack)
            if not isinstance(value, _Found):
                if value.is_text and index + 1 < len(steps):
                    where, step = dotted(steps[: index + 1]), steps[index + 1]
                    raise _Unresolved(
                        reference, f"does not resolve: `{where}` is a text, it holds no `{step!s}`"
                    )
                return value
            found = value
        return found

    def _not_there(self, found: _Found, steps: tuple[Key, ...], index: int) -> str:
        """Return why a step leads nowhere."""
        where = dotted(steps[:index])
        if isinstance(found.node, Scalar):
            shown = repr(found.node.value)
            return f"does not resolve: `{where}` is {shown}, it holds no `{steps[index]!s}`"
        if isinstance(found.node, ListNode):
            return (
                f"does not resolve: `{where}` is a list of {len(found.node.items)}, "
                f"it has no `{steps[index]!s}`"
            )
        full = dotted(steps)
        nearest = self._nearest_key(full, found, steps[index:])
        if nearest is not None:
            return f"does not resolve: there is no `{full}`; did you mean `{nearest}`?"
        if re.fullmatch(r"[A-Z_][A-Z0-9_]*", full):
            return (
                f"does not resolve: there is no `{full}`; an environment variable is "
                f"`${{oc.env:{full}}}`, one that a shell reads is `\\${{{full}}}`"
            )
        return f"does not resolve: there is no `{full}`; {_listed(found)}"

    def _nearest_key(self, wanted: str, found: _Found, rest: Sequence[Key]) -> Optional[str]:
        """Return the key that was meant, None if none is like it.

        First what stands beside the missing one, then any whole key, then any that ends alike.
        """
        if isinstance(found.node, MapNode):
            beside = [str(key) for key in found.node.entries]
            close = difflib.get_close_matches(str(rest[0]), beside, n=1)
            whole = dotted((*found.keys, *close, *rest[1:]))
            if close and (len(rest) == 1 or whole in self._known_keys):
                return whole
        close = difflib.get_close_matches(wanted, self._known_keys, n=1, cutoff=0.75)
        if close:
            return close[0]
        last = str(rest[-1])
        return next((key for key in self._known_keys if key.rpartition(".")[2] == last), None)

    @cached_property
    def _known_keys(self) -> tuple[str, ...]:
        known = [dotted(keys) for keys, _ in nodes(self._root)]
        return (*known, *(f"{_RUN}.{key}" for key in _RUN_TIME_KEYS))

    def _check_artifact(self, call: Call, keys: KeyPath, stack: tuple[KeyPath, ...]) -> None:
        """Check `${art:KEY[,FIELD]}`: KEY names an artifact in the config's `run` section."""
        if not 1 <= len(call.arguments) <= 2:
            raise _Unresolved(call, "does not resolve: write `${art:KEY}` or `${art:KEY,FIELD}`")
        name = self._argument(call.arguments[0], keys, stack)
        if name is None:
            return
        section = _child(self._root, _RUN)
        run = None if section is None else self._resolved(_Found(section[1], (_RUN,)), stack)
        if isinstance(run, _AtRunTime):
            return
        entries = run.node.entries if run is not None and isinstance(run.node, MapNode) else {}
        names = [str(key) for key, node in entries.items() if _may_be_artifact(node)]
        if name in names:
            return
        if name in entries:
            node = entries[name]
            shown = repr(node.value) if isinstance(node, Scalar) else "a section"
            problem = f"`run.{name}` is {shown}, which is no artifact (`name:v3`, `name:latest`)"
        elif not names:
            problem = f"the section `run` names no artifacts; add `run: {{{name}: NAME:latest}}`"
        else:
            close = difflib.get_close_matches(name, names, n=1)
            there = "it has " + ", ".join(f"`{each}`" for each in names[:_SHOWN_KEYS])
            hint = f"did you mean `{close[0]}`?" if close else there
            problem = f"the section `run` names no artifact `{name}`; {hint}"
        raise _Unresolved(call, f"does not resolve: {problem}")

    def _argument(
        self, argument: Argument, keys: KeyPath, stack: tuple[KeyPath, ...]
    ) -> Optional[str]:
        if argument.is_container:
            return None
        texts: list[str] = []
        for part in argument.parts:
            text = part if isinstance(part, str) else self._text(part, keys, stack)
            if text is None:
                return None
            texts.append(text)
        return "".join(texts)


def _may_be_artifact(node: Node) -> bool:
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return False
    if node.value == _MISSING or has_interpolation(node.value):
        return True
    return _ARTIFACT_REFERENCE.fullmatch(node.value) is not None


def _child(node: Node, step: Key) -> Optional[tuple[Key, Node]]:
    """Return what a mapping or list holds under a key as an interpolation spells it."""
    if isinstance(node, MapNode):
        if step in node.entries:
            return step, node.entries[step]
        number = _number(step)
        if number is not None and number in node.entries:
            return number, node.entries[number]
        return None
    if isinstance(node, ListNode):
        number = _number(step)
        size = len(node.items)
        if number is None or not -size <= number < size:
            return None
        return number % size, node.items[number]
    return None


def _number(step: Key) -> Optional[int]:
    try:
        return int(step)
    except ValueError:
        return None


def _split(path: str) -> list[str]:
    """Split a value that stands for a whole path: `a.b[c]` is three keys."""
    head, *others = re.split(r"[.\[]", path.replace("]", ""))
    return [*([head] if head or not others else []), *others]


def _listed(found: _Found) -> str:
    names = [str(key) for key in found.node.entries] if isinstance(found.node, MapNode) else []
    where = f"`{dotted(found.keys)}`" if found.keys else "the config"
    if not names:
        return f"{where} is empty"
    more = ", …" if len(names) > _SHOWN_KEYS else ""
    return f"{where} has {', '.join(f'`{name}`' for name in names[:_SHOWN_KEYS])}{more}"
