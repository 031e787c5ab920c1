"""What was found out about making a version again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from nemo_runspec.pipeline.reason import Reason


class Verdict(str, Enum):
    """What a finding means for making it again."""

    VERIFIED = "verified"
    """It is there, and as it was."""
    RECORDED = "recorded"
    """The manifest says it; there is nothing to compare it with."""
    CAVEAT = "caveat"
    """It may come out otherwise because of it."""
    MISSING = "missing"
    """It cannot be made again."""


@dataclass(frozen=True)
class Finding:
    """One thing that a version is made of.

    Attributes:
        what: what it is: ``commit``, ``code``, ``input`` …
        verdict: what it means.
        text: what was found, in a sentence.
    """

    what: str
    verdict: Verdict
    text: str


@dataclass(frozen=True)
class Differences:
    """What is otherwise today.

    Attributes:
        compared_with: what the version was compared with, in words.
        reasons: what differs, most telling first.
    """

    compared_with: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Recipe:
    """Exactly what a version was made with, as its manifest says it.

    Attributes:
        address: of the artifact target; None where it was made without one.
        recipe: address of the recipe.
        commit: of the repository.
        dirty: whether the working tree held changes that the commit has not.
        profile: of env.toml; None for the machine without one.
        image: the container image; None without one.
        constraints: the interpreters that it runs on.
        requirements: version of each locked requirement, by name.
        env: the environment variables that its config read, secrets masked.
        config: the composed config as it counts in the key; None of a gathered fan-out.
        inputs: the versions that it was made from.
        external: (URI, fingerprint) of data that no artifact holds.
    """

    address: str | None
    recipe: str | None
    commit: str | None
    dirty: bool | None
    profile: str | None
    image: str | None
    constraints: tuple[str, ...]
    requirements: Mapping[str, str]
    env: Mapping[str, str | None]
    config: Any
    inputs: tuple[str, ...]
    external: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Report:
    """All that is known about making a version again.

    Attributes:
        reference: the version, ``name:vN``.
        recipe: what it was made with; None where its manifest does not say it.
        findings: what was looked at.
        differences: what is otherwise today; None where nobody can tell.
    """

    reference: str
    recipe: Recipe | None
    findings: Sequence[Finding] = field(default_factory=tuple)
    differences: Differences | None = None

    @property
    def is_reproducible(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    @property
    def missing(self) -> list[Finding]:
        """What keeps it from being made again."""
        return [each for each in self.findings if each.verdict is Verdict.MISSING]

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        today = self.differences
        return {
            "reference": self.reference,
            "is_reproducible": self.is_reproducible,
            "recipe": None if self.recipe is None else self.recipe.to_json(),
            "findings": [
                {"what": each.what, "verdict": each.verdict.value, "text": each.text}
                for each in self.findings
            ],
            "today": None
            if today is None
            else {
                "compared_with": today.compared_with,
                "reasons": [reason.to_json() for reason in today.reasons],
            },
        }
