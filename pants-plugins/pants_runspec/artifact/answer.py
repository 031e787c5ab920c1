"""What the launcher answers to `plan --format=json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The states of artifacts that need nothing done.
DONE = frozenset(("fresh", "gone"))


@dataclass(frozen=True)
class Answer:
    """What the launcher would do.

    Attributes:
        states: of each artifact, by address.
        needs_bundles: the recipes that have to be packaged, by address.
    """

    states: Mapping[str, str]
    needs_bundles: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do."""
        return not self.needs_bundles and DONE.issuperset(self.states.values())


def read_answer(text: bytes) -> Answer:
    """Return what the launcher wrote with `--format=json`."""
    document: Any = json.loads(text)
    return Answer(
        {node["address"]: node["state"] for node in document["nodes"]},
        tuple(document["needs_bundles"]),
    )
