from __future__ import annotations

import pytest

from nemo_runspec.relay.choice import chosen_profile, is_dry_run


@pytest.mark.parametrize(
    ("line", "profile"),
    [
        ("recipe B", None),
        ("recipe B --run prod", "prod"),
        ("recipe B -r prod x=1 -- --run other", "prod"),
        ("recipe B -- --run other", None),
        ("recipe B --batch=prod", "prod"),
        ("recipe B --profile prod --help", None),
        ("recipe B --run", None),
        ("plan F --profile=prod", "prod"),
        ("plan F --run prod", "prod"),
        ("plan F -r prod --help", None),
        ("store ls -- --profile prod", None),
        ("jobs ls --profile", None),
        ("materialize F --keep-going", None),
    ],
)
def test_chosen_profile(line: str, profile: str | None) -> None:
    assert chosen_profile(line.split()) == profile


def test_dry_run_of_a_recipe_alone() -> None:
    assert is_dry_run(["recipe", "B", "--run", "prod", "-d"])
    assert not is_dry_run(["recipe", "B", "--run", "prod", "--", "-d"])
    assert not is_dry_run(["materialize", "F", "--dry-run"])
