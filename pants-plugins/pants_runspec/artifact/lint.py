"""`pants lint` of artifact targets: what their plan would refuse."""

from __future__ import annotations

from collections.abc import Iterable

from pants.core.goals.lint import LintResult, LintTargetsRequest
from pants.core.util_rules.partitions import PartitionerType
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule
from pants.option.option_types import SkipOption
from pants.option.subsystem import Subsystem

from pants_runspec.artifact.describe import ArtifactRequest, describe_artifact
from pants_runspec.artifact.graph import problems
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import concurrently, implicitly, rule
from pants_runspec.target_types import ArtifactFieldSet


class ArtifactLint(Subsystem):
    options_scope = "artifact-lint"
    name = "artifact"
    help = "Checks artifact targets: their names, recipes, configs, overrides and inputs."

    skip = SkipOption("lint")


class ArtifactLintRequest(LintTargetsRequest):
    field_set_type = ArtifactFieldSet
    tool_subsystem = ArtifactLint  # type: ignore[assignment]
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION


@rule(desc="Lint artifacts")
async def lint_artifacts(
    request: ArtifactLintRequest.Batch, everything: AllArtifacts
) -> LintResult:
    # Of a target with a sweep, what it generates is checked.
    wanted = [each for each in request.elements if each.address.spec in everything.artifacts]
    described = await concurrently(
        describe_artifact(ArtifactRequest(field_set), **implicitly()) for field_set in wanted
    )
    by_address = {each.address: each for each in described}
    lines = sorted({str(problem) for problem in problems(by_address, everything)})
    return LintResult(
        exit_code=1 if lines else 0,
        stdout="".join(f"error: {line}\n" for line in lines),
        stderr="",
        linter_name=ArtifactLint.name,
        partition_description=None,
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), *ArtifactLintRequest.rules()]
