"""What was looked at, and the table that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nemo_runspec.store_admin.text import print_table


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        what: what it is called.
        good: whether it is as it has to be.
        detail: what was found, and where it is not good what to do.
    """

    what: str
    good: bool
    detail: str


def print_checks(title: str, checks: Sequence[Check]) -> bool:
    """The table; whether all is good."""
    good = all(check.good for check in checks)
    print(f"{title}: {'all is well' if good else 'not ready'}")
    print_table(
        ["CHECK", "", "FOUND"],
        [[check.what, "ok" if check.good else "FAILED", check.detail] for check in checks],
    )
    return good
