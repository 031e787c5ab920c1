"""What `pants run` of a recipe brings up to date first: the artifacts that its config names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.fs import EMPTY_DIGEST, AddPrefix, Digest, MergeDigests
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.artifact.answer import read_answer
from pants_runspec.artifact.bundles import BundlesRequest, assemble_bundles
from pants_runspec.artifact.configs import (
    ChainRequest,
    artifact_references,
    read_chain,
    with_overrides,
)
from pants_runspec.artifact.describe import ArtifactError, named_by_config
from pants_runspec.artifact.graph import PlanRequest, make_plan_folder
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import add_prefix, implicitly, merge_digests, rule
from pants_runspec.launcher import LauncherCall, call_launcher
from pants_runspec.recipe.spec import Recipe
from runspec.arguments import Arguments

_PLAN = "plan"
BUNDLES_FOLDER = "bundles"


@dataclass(frozen=True)
class InputsRequest:
    """A request for the artifacts that a run of a recipe needs.

    Attributes:
        recipe: the recipe.
        arguments: its command line, taken apart.
        command: what a person typed, without the program.
    """

    recipe: Recipe
    arguments: Arguments
    command: str


@dataclass(frozen=True)
class Inputs:
    """The plan of some artifacts, with the bundles of those recipes that have to run for it.

    Attributes:
        digest: `plan.json`, `configs/` and `bundles/`; empty where the run needs no artifact that a
            target makes.
    """

    digest: Digest


@rule(desc="Find the artifacts that a run needs")
async def find_inputs(request: InputsRequest, everything: AllArtifacts) -> Inputs:
    recipe, arguments = request.recipe, request.arguments
    if not everything.artifacts:
        return Inputs(EMPTY_DIGEST)
    config = arguments.config
    chain = await read_chain(
        ChainRequest(
            config or recipe.spec.config.default, recipe.config_dir, in_build_root=bool(config)
        )
    )
    references = artifact_references(with_overrides(chain.config, arguments.dotlist))
    # What the job alone knows, such as `${oc.env:DATA}`, it looks up in the store itself.
    known = {key: text for key, text in references.items() if "${" not in text}
    inputs, problem = named_by_config(known, everything)
    if problem is not None:
        raise ArtifactError(f"{recipe.address}: {problem}")
    roots = tuple(sorted({each.artifact for each in inputs if each.artifact is not None}))
    if not roots:
        # The launcher says what is wrong with a config that cannot be read.
        return Inputs(EMPTY_DIGEST)
    folder = await make_plan_folder(PlanRequest(roots), **implicitly())
    files = await add_prefix(AddPrefix(folder.digest, _PLAN))
    profile = (f"--profile={arguments.profile}",) if arguments.profile else ()
    answer = await call_launcher(
        LauncherCall(
            arguments=("plan", f"{{chroot}}/{_PLAN}", "--format=json", *profile),
            files=files,
            command=request.command,
            description="Comparing the run's inputs with the store",
        ),
        **implicitly(),
    )
    if answer.exit_code:
        # Without a store there is nothing to bring up to date, and what is wrong with a profile
        # the run itself says.
        return Inputs(EMPTY_DIGEST)
    needed = read_answer(answer.stdout).needs_bundles
    bundles = await assemble_bundles(BundlesRequest(needed), **implicitly())
    bundles_folder = await add_prefix(AddPrefix(bundles.digest, BUNDLES_FOLDER))
    return Inputs(await merge_digests(MergeDigests([folder.digest, bundles_folder])))


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
