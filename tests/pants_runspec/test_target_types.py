"""The targets' help, which is the reference manual."""

from __future__ import annotations

import re

import pytest
from pants.engine.target import COMMON_TARGET_FIELDS, Field

from pants_runspec.register import target_types

FIELDS = sorted(
    {
        field
        for target in target_types()
        for field in (*target.core_fields, *getattr(target, "moved_fields", ()))
        if field not in COMMON_TARGET_FIELDS and field.__module__.startswith("pants_runspec.")
    },
    key=lambda field: field.__name__,
)


@pytest.mark.parametrize("target", target_types(), ids=lambda target: target.alias)
def test_a_target_is_shown_by_an_example(target: type) -> None:
    assert re.search(rf"^ *{target.alias}\(", target.help, re.MULTILINE)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.__name__)
def test_a_field_is_shown_by_an_example(field: type[Field]) -> None:
    assert isinstance(field.help, str)
    assert re.search(r'`[^`]*[\["=.(][^`]*`', field.help)


def test_every_field_of_a_generated_recipe_can_be_given_to_its_generator() -> None:
    recipe, generator, *_ = target_types()
    given = {*generator.core_fields, *generator.copied_fields, *generator.moved_fields}
    missing = {field.alias for field in recipe.core_fields if field not in given}
    # These differ from one script to the next.
    assert missing == {
        "cmd",
        "default_config",
        "env",
        "image",
        "launch",
        "nodes",
        "output_path",
        "script",
        "workdir",
    }
