"""`runspec_recipes`: one `runspec_recipe` for each script that carries a block."""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from typing import Any

from pants.engine.addresses import Address
from pants.engine.fs import PathGlobs
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import GeneratedTargets, GenerateTargetsRequest, Target
from pants.engine.unions import UnionMembership, UnionRule

from pants_runspec.engine import get_digest_contents, path_globs_to_digest, rule
from pants_runspec.target_types import (
    RecipeCmdField,
    RecipeDefaultConfigField,
    RecipeEnvField,
    RecipeImageField,
    RecipeLaunchField,
    RecipeNodesField,
    RecipeScriptField,
    RecipeScriptsField,
    RecipeWorkdirField,
    RunspecRecipe,
    RunspecRecipesGenerator,
)
from runspec import Runspec, RunspecError, is_recipe, parse_bytes


class GenerateRecipesRequest(GenerateTargetsRequest):
    generate_from = RunspecRecipesGenerator


def globs_in(folder: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return globs that a BUILD file in `folder` gives as globs relative to the build root."""
    return tuple(
        "!" + os.path.join(folder, pattern[1:])
        if pattern.startswith("!")
        else os.path.join(folder, pattern)
        for pattern in patterns
    )


def fields_of(spec: Runspec) -> dict[str, Any]:
    """Return what a script says as the fields of its generated target, so that `peek` shows it on
    every Pants."""
    fields = {
        RecipeImageField.alias: spec.image,
        RecipeLaunchField.alias: spec.run.launch,
        RecipeCmdField.alias: spec.run.cmd,
        RecipeWorkdirField.alias: spec.run.workdir,
        RecipeDefaultConfigField.alias: spec.config.default,
        RecipeNodesField.alias: spec.resources.nodes,
        RecipeEnvField.alias: dict(spec.env) or None,
    }
    return {alias: value for alias, value in fields.items() if value is not None}


def spec_or_none(content: bytes, path: str) -> Runspec | None:
    """Return the spec of a script, None where it is broken (its own goals and `lint` say how)."""
    try:
        return parse_bytes(content, path)
    except RunspecError:
        return None


@rule(desc="Find the recipes of a `runspec_recipes` target")
async def generate_recipes(
    request: GenerateRecipesRequest, union_membership: UnionMembership
) -> GeneratedTargets:
    generator = request.generator
    folder = generator.address.spec_path
    digest = await path_globs_to_digest(
        PathGlobs(globs_in(folder, generator[RecipeScriptsField].value or ()))
    )
    contents = await get_digest_contents(digest)

    def recipe(path: str, content: bytes) -> Target:
        relative = os.path.relpath(path, folder)
        spec = spec_or_none(content, path)
        address: Address = request.template_address.create_generated(os.path.splitext(relative)[0])
        return RunspecRecipe(
            {
                **(fields_of(spec) if spec else {}),
                **request.template,
                RecipeScriptField.alias: relative,
            },
            address,
            union_membership,
            residence_dir=os.path.dirname(path),
        )

    return GeneratedTargets(
        generator,
        [recipe(file.path, file.content) for file in contents if is_recipe(file.content)],
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(GenerateTargetsRequest, GenerateRecipesRequest)]
