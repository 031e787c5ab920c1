"""What was looked at, and the table or document that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from nemo_runspec.store_admin.text import print_json, print_table


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        what: what it is called.
        good: whether it is as it has to be.
        detail: what was found, and where it is not good and has no `fix` what to do.
        fix: what to do, in one line.
    """

    what: str
    good: bool
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Section:
    """Checks of one thing.

    Args:
        title: the thing.
        checks: what was looked at.
    """

    title: str
    checks: Sequence[Check]

    @property
    def good(self) -> bool:
        """Whether all is as it has to be."""
        return all(check.good for check in self.checks)


def print_checks(title: str, checks: Sequence[Check]) -> bool:
    """The table; whether all is good."""
    section = Section(title, checks)
    print(f"{title}: {'all is well' if section.good else 'not ready'}")
    rows = []
    for check in checks:
        rows.append([check.what, "ok" if check.good else "FAILED", check.detail])
        if check.fix and not check.good:
            rows.append(["", "fix", check.fix])
    print_table(["CHECK", "", "FOUND"], rows, whole="CHECK")
    return section.good


def print_sections_json(sections: Sequence[Section]) -> None:
    """The same as one JSON document: `{"good", "sections": [{"title", "good", "checks"}]}`."""
    print_json(
        {
            "good": all(section.good for section in sections),
            "sections": [
                {
                    "title": section.title,
                    "good": section.good,
                    "checks": [
                        {**asdict(check), "fix": "" if check.good else check.fix}
                        for check in section.checks
                    ],
                }
                for section in sections
            ],
        }
    )
