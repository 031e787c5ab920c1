"""The backend's rules and targets."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_runspec import launcher
from pants_runspec.engine import BY_NAME
from pants_runspec.recipe import (
    bundle,
    dependencies,
    fingerprint,
    generate,
    lint,
    locked_pex,
    requirements,
    run,
    spec,
    tailor,
)
from pants_runspec.target_types import (
    RunspecConfig,
    RunspecConfigsGenerator,
    RunspecRecipe,
    RunspecRecipesGenerator,
)


def target_types() -> Iterable[type[Target]]:
    return [RunspecRecipe, RunspecRecipesGenerator, RunspecConfig, RunspecConfigsGenerator]


def peek_rules() -> Iterable[Rule | UnionRule]:
    """Return the rules that need the `peek` of a modern Pants."""
    from pants_runspec.recipe import peek

    return peek.rules()


def rules() -> Iterable[Rule | UnionRule]:
    return [
        *(peek_rules() if BY_NAME else ()),
        *launcher.rules(),
        *bundle.rules(),
        *dependencies.rules(),
        *fingerprint.rules(),
        *generate.rules(),
        *lint.rules(),
        *locked_pex.rules(),
        *requirements.rules(),
        *run.rules(),
        *spec.rules(),
        *tailor.rules(),
    ]
