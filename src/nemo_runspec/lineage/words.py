"""A node in words, the same in every form that people read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nemo_runspec.costs.past import Cost, cost_text
from nemo_runspec.lineage.model import Kind, LineageNode, Spent, State
from nemo_runspec.store_admin.text import human_time

_MOST_METRICS = 4
_MOST_REASONS = 3
_COMMIT = 10
_DIGEST = 12
_LONGEST_VALUE = 60


def label(node: LineageNode) -> str:
    """What a node is called."""
    name = one_line(node.name)
    return name if node.version is None else f"{name}:v{node.version}"


def one_line(text: str) -> str:
    """A text as it can stand in a line, and in a terminal: nothing in it moves the cursor."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def tags(node: LineageNode) -> list[str]:
    """What there is to say of a node in a word each: its state, what was said of it, aliases."""
    found = []
    if node.kind is Kind.EXTERNAL:
        found.append("external" if node.state is State.EXTERNAL else "not in this store")
    elif node.state is State.MISSING:
        found.append("never built")
    elif node.state is not State.RECORDED:
        found.append(node.state.value)
    if node.revoked is not None:
        found.append("revoked")
    if node.accepted is not None:
        found.append("accepted")
    if node.type is not None:
        found.append(node.type)
    return [*found, *(f"alias {alias}" for alias in node.aliases)]


def details(node: LineageNode) -> Iterator[str]:
    """What else there is to say of a node, a sentence each."""
    why = _reasons(node)
    if why and node.state is not State.GONE:
        yield why
    if node.revoked is not None:
        mark = node.revoked
        what = "" if mark.reference == node.id else f"made from {mark.reference}, which was "
        yield f"{what}revoked by {mark.by}, {human_time(mark.at)}: {mark.reason}"
    if node.gone is not None:
        yield f"its data is gone: {node.gone}"
    if node.accepted is not None:
        mark = node.accepted
        yield f"accepted for another key by {mark.by}, {human_time(mark.at)}: {mark.reason}"
    made = made_in_words(node)
    if made:
        yield made
    numbers = metrics_in_words(node.metrics)
    if numbers:
        yield numbers


def _reasons(node: LineageNode) -> str:
    """The most telling reasons in one line, and how many more there are."""
    texts = [str(reason.get("text")) for reason in node.reasons]
    more = len(texts) - _MOST_REASONS
    return "; ".join([*texts[:_MOST_REASONS], *([f"and {more:,} more"] if more > 0 else [])])


def made_in_words(node: LineageNode) -> str:
    """When, by whom, from which commit and for what a version was made, in one line."""
    run = node.run
    who = "@".join(str(each) for each in (run.get("user"), run.get("host")) if each)
    when = human_time(node.created_at) if node.created_at else ""
    parts = [" by ".join(each for each in (when, who) if each)]
    if run.get("commit"):
        parts.append(f"commit {commit_in_words(run)}")
    if run.get("profile"):
        parts.append(f"profile {run['profile']}")
    took = spent_in_words(node.spent)
    if took:
        parts.append(took)
    text = ", ".join(part for part in parts if part)
    is_newest = node.kind is Kind.TARGET and text
    return f"newest is v{node.document.get('version')}: {text}" if is_newest else text


def commit_in_words(run: Mapping[str, Any]) -> str:
    """A commit, and whether the working tree had changes that it lacks; empty without one."""
    commit = run.get("commit")
    if not commit:
        return ""
    return f"{str(commit)[:_COMMIT]}{' and changes' if run.get('dirty') else ''}"


def spent_in_words(spent: Spent) -> str:
    """What it took: GPU-hours where there were GPUs, else the time; empty where nobody knows."""
    return cost_text(as_cost(spent))


def as_cost(spent: Spent) -> Cost:
    """What a version took, as what builds take is reckoned."""
    known = spent.seconds is not None and spent.nodes is not None
    node_hours = (spent.seconds or 0.0) * (spent.nodes or 0) / 3600 if known else None
    return Cost(spent.gpu_hours, spent.seconds, node_hours)


def number(value: float) -> str:
    """A metric: four digits that count; whole numbers as they are."""
    if value == value and abs(value) < 1e15 and value == int(value):
        return f"{int(value)}"
    return f"{value:.4g}"


def metrics_in_words(metrics: Mapping[str, float]) -> str:
    """The first few metrics in one line, and how many more there are."""
    shown = [f"{name} {number(value)}" for name, value in list(metrics.items())[:_MOST_METRICS]]
    more = len(metrics) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def key_in_words(node: LineageNode) -> Iterator[str]:
    """What a version's key was made of, a line each: recipe, code, environment, config."""
    document = node.document
    if document.get("key"):
        yield f"key {str(document['key'])[:_DIGEST]}"
    parts = document.get("parts")
    if not isinstance(parts, Mapping):
        return
    for name, value in parts.items():
        if name == "config" or value in (None, [], {}, ""):
            continue
        yield f"{name}: {_plain(value)}"
    for key, value in _leaves(parts.get("config")):
        yield f"config {key}: {_plain(value)}"


def _leaves(config: Any) -> Iterator[tuple[str, Any]]:
    # Not by recursion: a config may be nested deeper than Python likes.
    waiting = [("", config)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping) and value:
            waiting.extend((f"{path}.{key}".lstrip("."), value[key]) for key in reversed(value))
        elif path:
            yield path, value


def _plain(value: Any) -> str:
    if isinstance(value, str):
        text = f"{value[:_DIGEST]}" if _is_digest(value) else value
    else:
        text = json.dumps(_short(value), ensure_ascii=False)
    text = one_line(text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _short(each) for key, each in value.items() if each not in (None, [], {})}
    if isinstance(value, list):
        return [_short(each) for each in value]
    if isinstance(value, str) and _is_digest(value):
        kind, colon, digest = value.rpartition(":")
        return f"{kind}{colon}{digest[:_DIGEST]}"
    return value


def _is_digest(text: str) -> bool:
    digest = text.rpartition(":")[2]
    return len(digest) >= 40 and all(char in "0123456789abcdef" for char in digest)
