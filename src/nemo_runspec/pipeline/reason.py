"""Why something runs: a value, made once, printed everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nemo_runspec.masking import mask_secrets

_SHOWN = 3
_LONGEST_VALUE = 60
_ABSENT = object()


class Category(str, Enum):
    """What kind of thing a reason is about; in order of how much one tells."""

    BLOCKED = "blocked"
    RUNNING = "running"
    FORCED = "forced"
    NEVER_BUILT = "never built"
    REVOKED = "revoked"
    GONE = "gone"
    TAMPERED = "tampered"
    RECIPE = "recipe"
    CONFIG = "config"
    ENV = "env"
    CODE = "code"
    REQUIREMENT = "requirement"
    PYTHON = "python"
    IMAGE = "image"
    COMMAND = "command"
    EXTERNAL = "external input"
    INPUT = "input"
    OUTPUT = "output"
    ELEMENT = "element"
    UPSTREAM = "upstream"
    UNKNOWN = "unknown"


_ORDER = {category: position for position, category in enumerate(Category)}


@dataclass(frozen=True)
class Reason:
    """Why a build is stale, or what keeps it from running.

    Attributes:
        category: what kind of thing it is about.
        what: the file, config key, requirement, input …; for some categories the whole sentence.
        old: as it was when the version compared with was made; None for what was not there.
        new: as it is now; None for what is not there any more.
    """

    category: Category
    what: str
    old: str | None = None
    new: str | None = None

    def text(self) -> str:
        """The reason as part of a sentence: ``train.lr: 0.1 -> 0.2``."""
        label = _LABELS.get(self.category)
        what = f"{label} {self.what}" if label else self.what
        if self.category is Category.CODE:
            how = "new" if self.old is None else "removed" if self.new is None else "changed"
            return f"{self.what} {how}" if self.what else "the code changed"
        if self.old is None and self.new is None:
            return what
        if self.old is None:
            return f"{what}: new, {self.new}"
        if self.new is None:
            return f"{what}: removed, was {self.old}"
        return f"{what}: {self.old} -> {self.new}"

    def to_json(self) -> dict[str, Any]:
        """The reason as plain data: its attributes and ``text``."""
        return {
            "category": self.category.value,
            "what": self.what,
            "old": self.old,
            "new": self.new,
            "text": self.text(),
        }


_LABELS = {
    Category.ENV: "environment variable",
    Category.REQUIREMENT: "requirement",
    Category.PYTHON: "interpreter constraints",
    Category.EXTERNAL: "external input",
    Category.INPUT: "input",
    Category.ELEMENT: "foreach:",
}


def sentence(reasons: Sequence[Reason], shown: int = _SHOWN) -> str:
    """Reasons in one line: the first few, and how many more there are."""
    texts = [reason.text() for reason in reasons[:shown]]
    more = len(reasons) - len(texts)
    if more:
        texts.append(f"and {more} more")
    return "; ".join(texts)


def diff_parts(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    old_explain: Mapping[str, Any] | None = None,
    new_explain: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
) -> list[Reason]:
    """What changed between the parts of two keys, most telling first.

    Args:
        old: parts of a manifest (:meth:`nemo_runspec.pipeline.key.KeyParts.document`); what a
            later or an earlier version lacks counts as absent.
        new: parts as they are now.
        old_explain: ``files``, ``requirements``, ``env`` and ``inputs`` of the manifest.
        new_explain: the same as they are now.
        without: parts that are not compared, such as ``inputs`` when they are not known.

    Returns:
        No reason when the parts are equal.
    """
    before, now = old_explain or {}, new_explain or {}
    reasons = [
        reason
        for part, differ in _DIFFERS.items()
        if part not in without and old.get(part) != new.get(part)
        for reason in differ(old.get(part), new.get(part), before, now)
    ]
    return sorted(reasons, key=lambda reason: _ORDER[reason.category])


def _recipe(old: Any, new: Any, *_: Any) -> Iterator[Reason]:
    yield Reason(Category.RECIPE, "recipe", _show(old), _show(new))


def _code(
    old: Any, new: Any, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Reason]:
    files = list(_items(Category.CODE, before.get("files"), now.get("files"), show=_short_digest))
    # Without the files of both there is nothing to compare.
    if not files or not before.get("files"):
        yield Reason(Category.CODE, "")
        return
    yield from files


def _environment(
    old: Any, new: Any, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Reason]:
    old, new = _mapping(old), _mapping(new)
    if old.get("image") != new.get("image"):
        yield Reason(Category.IMAGE, "image", *_image(old.get("image"), new.get("image")))
    if old.get("constraints") != new.get("constraints"):
        texts = [" or ".join(map(str, each.get("constraints") or ())) for each in (old, new)]
        yield Reason(Category.PYTHON, "", texts[0], texts[1])
    if old.get("requirements") != new.get("requirements"):
        found = list(
            _items(Category.REQUIREMENT, before.get("requirements"), now.get("requirements"))
        )
        if found and before.get("requirements") is not None:
            yield from found
        elif old.get("constraints") == new.get("constraints"):
            yield Reason(Category.REQUIREMENT, "hashes or versions in the lockfile changed")
    if old.get("inherit_path") != new.get("inherit_path"):
        yield Reason(
            Category.COMMAND,
            "packages of the image count",
            _show(old.get("inherit_path")),
            _show(new.get("inherit_path")),
        )


def _image(old: Any, new: Any) -> tuple[str, str]:
    return tuple(str(mask_secrets(each)) if each else "none" for each in (old, new))  # type: ignore[return-value]


def _command(old: Any, new: Any, *_: Any) -> Iterator[Reason]:
    for reason in _items(Category.COMMAND, old, new):
        yield Reason(Category.COMMAND, f"command's {reason.what}", reason.old, reason.new)


def _env(old: Any, new: Any, *_: Any) -> Iterator[Reason]:
    yield from _items(Category.ENV, old, new)


def _config(
    old: Any, new: Any, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Reason]:
    yield from _items(Category.ENV, before.get("env"), now.get("env"), only_both=True)
    for key, was, value in _changes(old, new, ""):
        yield Reason(Category.CONFIG, key, *_pair(key, was, value))


def _external(old: Any, new: Any, *_: Any) -> Iterator[Reason]:
    before, now = _by_name(mask_secrets(old)), _by_name(mask_secrets(new))
    found = list(_items(Category.EXTERNAL, before, now, show=_short_digest))
    yield from found or [Reason(Category.EXTERNAL, "order changed")]


def _inputs(
    old: Any, new: Any, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Reason]:
    was, is_now = _input_identities(old), _input_identities(new)
    versions = _mapping(before.get("inputs")), _mapping(now.get("inputs"))
    found = False
    for name in dict.fromkeys([*is_now, *was]):
        if was.get(name, _ABSENT) == is_now.get(name, _ABSENT):
            continue
        found = True
        label = name[1] if name[0] is None else f"{name[1]} (run.{name[0]})"
        yield Reason(
            Category.INPUT,
            label,
            _input_text(was.get(name, _ABSENT), versions[0], name),
            _input_text(is_now.get(name, _ABSENT), versions[1], name),
        )
    if not found:
        yield Reason(Category.INPUT, "order changed")


def _input_text(
    identity: Any, versions: Mapping[str, Any], name: tuple[str | None, str]
) -> str | None:
    if identity is _ABSENT:
        return None
    if identity is None:
        return "missing"
    version = versions.get(input_label(*name))
    digest = _short_digest(identity)
    return f"{version} ({digest})" if version else digest


def input_label(key: str | None, name: str) -> str:
    """What an input is called in ``explain``: its name, behind its ``run`` key if it has one."""
    return name if key is None else f"{key}={name}"


def _output(old: Any, new: Any, *_: Any) -> Iterator[Reason]:
    for reason in _items(Category.OUTPUT, _mapping(old), _mapping(new)):
        yield Reason(Category.OUTPUT, f"the target's {reason.what}", reason.old, reason.new)


def _element(old: Any, new: Any, *_: Any) -> Iterator[Reason]:
    yield Reason(Category.ELEMENT, "element", _show(old), _show(new))


def _elements(old: Any, new: Any, *_: Any) -> Iterator[Reason]:
    was, is_now = _by_name(old), _by_name(new)
    added = sum(1 for each in is_now if each not in was)
    removed = sum(1 for each in was if each not in is_now)
    changed = sum(1 for each in is_now if each in was and was[each] != is_now[each])
    counts = {"new": added, "removed": removed, "changed": changed}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    yield Reason(Category.ELEMENT, f"{told} of {len(is_now)} elements" if told else "another order")


_DIFFERS: dict[str, Any] = {
    "recipe": _recipe,
    "config": _config,
    "env": _env,
    "code": _code,
    "environment": _environment,
    "command": _command,
    "external": _external,
    "inputs": _inputs,
    "output": _output,
    "element": _element,
    "elements": _elements,
}


def _items(
    category: Category, old: Any, new: Any, *, show: Any = None, only_both: bool = False
) -> Iterator[Reason]:
    was, is_now = _mapping(old), _mapping(new)
    for key in sorted({*was, *is_now}):
        if was.get(key, _ABSENT) == is_now.get(key, _ABSENT):
            continue
        if only_both and not (key in was and key in is_now):
            continue
        values = was.get(key, _ABSENT), is_now.get(key, _ABSENT)
        if show is not None:
            texts = [None if value is _ABSENT else show(value) for value in values]
            yield Reason(category, key, texts[0], texts[1])
        else:
            yield Reason(category, key, *_pair(key, *values))


def _changes(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The smallest changed values, by dotted key."""
    # Iterative: a config may be nested deeper than Python likes to recurse.
    waiting = [(path, old, new)]
    while waiting:
        here, was, value = waiting.pop()
        if was == value and type(was) is type(value):
            continue
        if isinstance(was, Mapping) and isinstance(value, Mapping):
            waiting.extend(
                (f"{here}.{key}".lstrip("."), was.get(key, _ABSENT), value.get(key, _ABSENT))
                for key in sorted({*was, *value}, reverse=True)
            )
        elif isinstance(was, list) and isinstance(value, list) and len(was) == len(value):
            waiting.extend(
                (f"{here}[{index}]", was[index], value[index])
                for index in reversed(range(len(was)))
            )
        else:
            yield here or "config", was, value


def _pair(key: str, old: Any, new: Any) -> tuple[str | None, str | None]:
    """Both values as text; secrets masked by their key."""
    last = key.rpartition(".")[2]
    return tuple(  # type: ignore[return-value]
        None if value is _ABSENT else _show(mask_secrets({last: value})[last])
        for value in (old, new)
    )


def _show(value: Any) -> str:
    from nemo_runspec.pipeline.key import canonical_json

    text = value if isinstance(value, str) else canonical_json(value)
    text = " ".join(text.split()) or '""'
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _short_digest(value: Any) -> str:
    kind, colon, digest = str(value).rpartition(":")
    return f"{kind}{colon}{digest[:12]}" if len(digest) >= 40 else _show(str(value))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _by_name(pairs: Any) -> dict[str, Any]:
    return {str(pair[0]): pair[1] for pair in pairs or ()}


def _input_identities(inputs: Any) -> dict[tuple[str | None, str], Any]:
    return {(each[0], each[1]): each[2] for each in inputs or ()}
