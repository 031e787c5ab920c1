"""`pants package` of an artifact: its fresh manifest and metadata, for other targets to read."""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterable

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, PackageFieldSet
from pants.engine.fs import EMPTY_DIGEST, AddPrefix, RemovePrefix
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule
from pants.option.option_types import EnumOption, StrOption
from pants.option.subsystem import Subsystem
from pants.util.logging import LogLevel
from pants.util.strutil import softwrap

from pants_runspec.artifact.describe import ArtifactError
from pants_runspec.artifact.graph import PlanRequest, make_plan_folder
from pants_runspec.engine import add_prefix, implicitly, remove_prefix, rule
from pants_runspec.launcher import LauncherCall, call_launcher
from pants_runspec.target_types import ArtifactFieldSet

logger = logging.getLogger(__name__)

_PLAN, _OUTPUT = "plan", "output"


class WhenStale(enum.Enum):
    warn = "warn"
    error = "error"


class ArtifactPackage(Subsystem):
    options_scope = "artifact-package"
    help = softwrap(
        """
        `pants package` of an artifact, which writes `manifest.json` and `metadata.json` of its
        fresh version to `dist/` and never trains.
        """
    )

    stale = EnumOption(
        default=WhenStale.warn,
        help=softwrap(
            """
            What becomes of an artifact that is stale. `warn`: nothing is written for it, a warning
            says why and which command makes it, and the goal goes on. `error`: the goal fails.
            """
        ),
    )
    profile = StrOption(
        default=None,
        help='The profile of env.toml whose store and image count: `profile = "prod"`.',
    )


class ExportError(ArtifactError):
    """The launcher could not, or by `[artifact-package] stale` would not, write an artifact."""


@rule(desc="Package an artifact", level=LogLevel.INFO)
async def package_artifact(
    field_set: ArtifactFieldSet, artifact_package: ArtifactPackage
) -> BuiltPackage:
    address = field_set.address.spec
    folder = await make_plan_folder(PlanRequest((address,)), **implicitly())
    files = await add_prefix(AddPrefix(folder.digest, _PLAN))
    profile = artifact_package.profile
    answer = await call_launcher(
        LauncherCall(
            arguments=(
                "export",
                f"{{chroot}}/{_PLAN}",
                address,
                f"--output={{chroot}}/{_OUTPUT}",
                f"--stale={artifact_package.stale.value}",
                *((f"--profile={profile}",) if profile else ()),
            ),
            files=files,
            command=f"materialize {address}",
            description=f"Looking up the version of {address}",
            outputs=(_OUTPUT,),
        ),
        **implicitly(),
    )
    said = answer.stderr.decode(errors="replace").strip()
    if answer.exit_code:
        raise ExportError(said.removeprefix("error: ") or f"{address}: the launcher failed")
    if answer.output == EMPTY_DIGEST:
        logger.warning(said.removeprefix("warning: ") or f"{address} is stale: nothing written")
        return BuiltPackage(EMPTY_DIGEST, ())
    if said:
        logger.warning(said)
    exported = await remove_prefix(RemovePrefix(answer.output, _OUTPUT))
    path = field_set.output_path.value_or_default(file_ending=None)
    digest = await add_prefix(AddPrefix(exported, path))
    return BuiltPackage(digest, (BuiltPackageArtifact(path),))


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(PackageFieldSet, ArtifactFieldSet)]
