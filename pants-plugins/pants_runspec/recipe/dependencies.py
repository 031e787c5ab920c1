"""What a recipe and a config depend on: the script, the config folder, the YAMLs under
`defaults:`."""

from __future__ import annotations

import glob
import os.path
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pants.backend.python.dependency_inference.module_mapper import PythonModuleOwnersRequest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PythonResolveField, PythonSourceField
from pants.engine.addresses import Addresses
from pants.engine.fs import GlobMatchErrorBehavior, PathGlobs
from pants.engine.internals.graph import OwnersRequest
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import (
    FieldSet,
    InferDependenciesRequest,
    InferredDependencies,
)
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_runspec.config.check import defaults_of
from pants_runspec.engine import (
    concurrently,
    find_owners,
    get_digest_contents,
    implicitly,
    map_module_to_address,
    path_globs_to_digest,
    path_globs_to_paths,
    resolve_targets,
    rule,
)
from pants_runspec.paths import leaves_build_root
from pants_runspec.recipe.spec import (
    ScriptRequest,
    config_dir,
    overridden,
    parse_script,
    script_path,
)
from pants_runspec.target_types import (
    RecipeFieldSet,
    RunspecConfigDependenciesField,
    RunspecConfigSourceField,
)

# What a job that uses TorchX loads by name, so that no import shows it: the store's tracker
# (nemo_runspec.torchx_names), and the other one that a profile may name.
_TRACKERS = ("nemo_runspec.torchx_tracker.in_job", "nemo_runspec.torchx_tracker.mlflow")
_USES_TORCHX = re.compile(rb"^[ \t]*(?:import|from)[ \t]+torchx\b", re.MULTILINE)


@dataclass(frozen=True)
class ScriptOwnersRequest:
    """A request for the targets that own a script as Python source, in one resolve."""

    script: str
    resolve: str


@dataclass(frozen=True)
class ScriptOwners:
    addresses: Addresses


@dataclass(frozen=True)
class TrackersRequest:
    """A request for the targets that a script, which is in one resolve, needs for TorchX."""

    script: str
    resolve: str


@dataclass(frozen=True)
class Trackers:
    """Empty for a script that does not import TorchX, or where nobody owns the trackers."""

    addresses: Addresses


@dataclass(frozen=True)
class ConfigOwnersRequest:
    """A request for the `runspec_config` targets that own YAMLs, given as globs relative to the
    build root."""

    globs: tuple[str, ...]


@dataclass(frozen=True)
class ConfigOwners:
    """The owning targets, and the YAMLs that no target owns."""

    addresses: Addresses
    unowned: tuple[str, ...]


def config_globs(folder: str) -> tuple[str, ...]:
    """Return the globs of all configs in a config folder and below it."""
    literal = glob.escape(folder)
    return (os.path.join(literal, "**/*.yaml"), os.path.join(literal, "**/*.yml"))


@rule(desc="Find the owner of a recipe's script", level=LogLevel.DEBUG)
async def find_script_owners(
    request: ScriptOwnersRequest, python_setup: PythonSetup
) -> ScriptOwners:
    owners = await find_owners(OwnersRequest((request.script,)), **implicitly())
    targets = await resolve_targets(**implicitly(Addresses(owners)))
    return ScriptOwners(
        Addresses(
            target.address
            for target in targets
            if target.has_field(PythonSourceField)
            and target.has_field(PythonResolveField)
            and target[PythonResolveField].normalized_value(python_setup) == request.resolve
        )
    )


@rule(desc="Find the trackers that a recipe loads by name", level=LogLevel.DEBUG)
async def find_trackers(request: TrackersRequest) -> Trackers:
    contents = await get_digest_contents(
        await path_globs_to_digest(PathGlobs([glob.escape(request.script)]))
    )
    if not any(_USES_TORCHX.search(file.content) for file in contents):
        return Trackers(Addresses())
    owners = await concurrently(
        map_module_to_address(PythonModuleOwnersRequest(module, request.resolve), **implicitly())
        for module in _TRACKERS
    )
    return Trackers(Addresses(address for each in owners for address in each.unambiguous))


@rule(desc="Find the owners of config files", level=LogLevel.DEBUG)
async def find_config_owners(request: ConfigOwnersRequest) -> ConfigOwners:
    paths = await path_globs_to_paths(PathGlobs(request.globs))
    owners = await find_owners(OwnersRequest(tuple(paths.files)), **implicitly())
    targets = await resolve_targets(**implicitly(Addresses(owners)))
    configs = [target for target in targets if target.has_field(RunspecConfigSourceField)]
    owned = {target[RunspecConfigSourceField].file_path for target in configs}
    return ConfigOwners(
        Addresses(target.address for target in configs),
        tuple(path for path in paths.files if path not in owned),
    )


class InferRecipeDependencies(InferDependenciesRequest):
    infer_from = RecipeFieldSet


@rule(desc="Infer dependencies of a recipe")
async def infer_recipe_dependencies(
    request: InferRecipeDependencies, python_setup: PythonSetup
) -> InferredDependencies:
    field_set = request.field_set
    script = script_path(field_set)
    resolve = field_set.resolve.normalized_value(python_setup)
    parsed = await parse_script(ScriptRequest(script))
    owners = await find_script_owners(ScriptOwnersRequest(script, resolve), **implicitly())
    trackers = await find_trackers(TrackersRequest(script, resolve))
    code = [*owners.addresses, *trackers.addresses]
    if parsed.spec is None:
        return InferredDependencies(code)
    folder = config_dir(script, overridden(parsed.spec, field_set))
    configs = await find_config_owners(ConfigOwnersRequest(config_globs(folder)))
    return InferredDependencies([*code, *configs.addresses])


@dataclass(frozen=True)
class ConfigFieldSet(FieldSet):
    """What dependency inference reads of a `runspec_config` target."""

    required_fields = (RunspecConfigSourceField, RunspecConfigDependenciesField)

    source: RunspecConfigSourceField
    dependencies: RunspecConfigDependenciesField


class InferConfigDependencies(InferDependenciesRequest):
    infer_from = ConfigFieldSet


@rule(desc="Infer the bases of a config")
async def infer_config_dependencies(request: InferConfigDependencies) -> InferredDependencies:
    path = request.field_set.source.file_path
    digest = await path_globs_to_digest(
        PathGlobs([path], glob_match_error_behavior=GlobMatchErrorBehavior.ignore)
    )
    contents = await get_digest_contents(digest)
    text = contents[0].content.decode(errors="replace") if contents else ""
    bases = tuple(
        glob.escape(base) for base in defaults_of(text, path) if not leaves_build_root(base)
    )
    if not bases:
        return InferredDependencies([])
    owners = await find_config_owners(ConfigOwnersRequest(bases))
    return InferredDependencies(
        address for address in owners.addresses if address != request.field_set.address
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [
        *collect_rules(),
        UnionRule(InferDependenciesRequest, InferRecipeDependencies),
        UnionRule(InferDependenciesRequest, InferConfigDependencies),
    ]
