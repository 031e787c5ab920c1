"""The backend's rules and targets."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_runspec import launcher, profile
from pants_runspec.artifact import (
    bundles,
    by_hand,
    configs,
    describe,
    graph,
    inference,
    package,
    sweep,
    targets,
)
from pants_runspec.artifact import lint as artifact_lint
from pants_runspec.engine import BY_NAME
from pants_runspec.goals import command_line, lineage, materialize, plan, selection
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
    Artifact,
    ArtifactVariant,
    RunspecConfig,
    RunspecConfigsGenerator,
    RunspecRecipe,
    RunspecRecipesGenerator,
)


def target_types() -> Iterable[type[Target]]:
    return [
        RunspecRecipe,
        RunspecRecipesGenerator,
        RunspecConfig,
        RunspecConfigsGenerator,
        Artifact,
        ArtifactVariant,
    ]


def peek_rules() -> Iterable[Rule | UnionRule]:
    """Return the rules that need the `peek` of a modern Pants."""
    from pants_runspec.recipe import peek

    return peek.rules()


def artifact_rules() -> Iterable[Rule | UnionRule]:
    return [
        *bundles.rules(),
        *by_hand.rules(),
        *configs.rules(),
        *describe.rules(),
        *graph.rules(),
        *artifact_lint.rules(),
        *inference.rules(),
        *lineage.rules(),
        *materialize.rules(),
        *package.rules(),
        *plan.rules(),
        *selection.rules(),
        *sweep.rules(),
        *targets.rules(),
    ]


def rules() -> Iterable[Rule | UnionRule]:
    return [
        *(peek_rules() if BY_NAME else ()),
        *command_line.rules(),
        *launcher.rules(),
        *profile.rules(),
        *artifact_rules(),
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
