"""`pants tailor`: a `runspec_recipe` for every script that carries a block, `runspec_configs` for
the YAMLs they use."""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from dataclasses import dataclass

from pants.base.specs import AncestorGlobSpec, RawSpecs
from pants.core.goals.tailor import (
    PutativeTarget,
    PutativeTargets,
    PutativeTargetsRequest,
)
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule
from pants.util.dirutil import group_by_dir
from pants.util.frozendict import FrozenDict

from pants_runspec.engine import (
    get_digest_contents,
    implicitly,
    path_globs_to_digest,
    resolve_targets,
    rule,
)
from pants_runspec.recipe.dependencies import (
    ConfigOwnersRequest,
    config_globs,
    find_config_owners,
)
from pants_runspec.recipe.spec import ConfigDirOutsideError, config_dir
from pants_runspec.target_types import (
    RecipeScriptField,
    RunspecConfigsGenerator,
    RunspecRecipe,
)
from runspec import RunspecError, is_recipe, parse_bytes


@dataclass(frozen=True)
class PutativeRecipesRequest(PutativeTargetsRequest):
    """Asks for the recipes and configs that lack a target."""


def putative_recipe(path: str) -> PutativeTarget:
    """Return the target to propose for the script at `path`."""
    folder, file_name = os.path.split(path)
    return PutativeTarget(
        path=folder,
        name=os.path.splitext(file_name)[0],
        type_alias=RunspecRecipe.alias,
        triggering_sources=(),
        owned_sources=(),
        kwargs=FrozenDict({RecipeScriptField.alias: file_name}),
        comments=(),
    )


def config_folders(scripts: dict[str, bytes]) -> tuple[str, ...]:
    """Return the config folders that scripts name; a broken script names none, `lint` says so."""
    folders = set()
    for path, content in scripts.items():
        try:
            folders.add(config_dir(path, parse_bytes(content, path)))
        except (RunspecError, ConfigDirOutsideError):
            continue
    return tuple(sorted(folders))


@rule(desc="Find recipes that lack a target")
async def find_putative_recipes(request: PutativeRecipesRequest) -> PutativeTargets:
    digest = await path_globs_to_digest(request.path_globs("*.py"))
    contents = await get_digest_contents(digest)
    scripts = {file.path: file.content for file in contents if is_recipe(file.content)}
    if not scripts:
        return PutativeTargets()
    folders = sorted({os.path.dirname(path) for path in scripts})
    existing = await resolve_targets(
        **implicitly(
            RawSpecs(
                ancestor_globs=tuple(AncestorGlobSpec(folder) for folder in folders),
                description_of_origin="the `runspec_recipe` tailor rule",
            )
        )
    )
    named = {
        os.path.normpath(os.path.join(target.address.spec_path, target[RecipeScriptField].value))
        for target in existing
        if target.has_field(RecipeScriptField)
    }
    globs = tuple(glob for folder in config_folders(scripts) for glob in config_globs(folder))
    configs = await find_config_owners(ConfigOwnersRequest(globs))
    return PutativeTargets(
        [
            *(putative_recipe(path) for path in sorted(scripts) if path not in named),
            *(
                PutativeTarget.for_target_type(
                    RunspecConfigsGenerator,
                    path=folder,
                    name="configs",
                    triggering_sources=sorted(file_names),
                )
                for folder, file_names in sorted(group_by_dir(configs.unowned).items())
            ),
        ]
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(PutativeTargetsRequest, PutativeRecipesRequest)]
