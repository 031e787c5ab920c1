"""What there is to say of a planned artifact besides its state."""

from __future__ import annotations

from collections.abc import Iterator

from nemo_runspec.pipeline.plan import PlannedNode


def details(node: PlannedNode) -> Iterator[str]:
    """Who holds it, why it is not fresh, and what was not looked at: a sentence each."""
    if node.holder is not None:
        yield f"held by {holder_text(node)}"
    if node.why:
        yield node.why
    if node.unchecked:
        yield f"not looked at: {', '.join(node.unchecked)}"


def holder_text(node: PlannedNode) -> str:
    """Who is making it now."""
    held = node.holder or {}
    if "job" in held:
        return f"job {held['job']} of {held['executor']}"
    user, host = held.get("user"), held.get("host")
    who = "@".join(str(each) for each in (user, host) if each) or "somebody"
    since = held.get("since")
    return f"{who} since {since}" if since else who
