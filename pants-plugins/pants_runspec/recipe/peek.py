"""`pants peek --include-additional-info`: what a recipe's script says of itself.

Only modern Pants lets a plugin add to `peek`; on older ones a generated target's fields show it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.backend.project_info.peek import (  # type: ignore[attr-defined]
    AdditionalTargetData,
    HasAdditionalTargetDataFieldSet,
)
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.engine import rule
from pants_runspec.recipe.spec import ScriptRequest, parse_script
from pants_runspec.target_types import RecipeScriptField


@dataclass(frozen=True)
class PeekRecipeFieldSet(HasAdditionalTargetDataFieldSet):  # type: ignore[misc]
    required_fields = (RecipeScriptField,)

    script: RecipeScriptField


@rule(desc="Show what a recipe says of itself")
async def peek_recipe(field_set: PeekRecipeFieldSet) -> AdditionalTargetData:
    parsed = await parse_script(ScriptRequest(field_set.script.file_path))
    data = parsed.spec.to_dict() if parsed.spec else {"problem": parsed.problem}
    return AdditionalTargetData("runspec", data)


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(HasAdditionalTargetDataFieldSet, PeekRecipeFieldSet)]
