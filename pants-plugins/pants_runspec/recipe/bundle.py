"""A recipe's job bundle: a folder that runs without Pants (`pants package`), and the same folder
for `pants run`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os.path
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from pants.backend.python.target_types import PexCompletePlatformsField, PexLayout
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import CompletePlatforms
from pants.backend.python.util_rules.python_sources import PythonSourceFilesRequest
from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, PackageFieldSet
from pants.core.util_rules.distdir import DistDir
from pants.engine.fs import (
    EMPTY_DIGEST,
    AddPrefix,
    CreateDigest,
    Digest,
    DigestEntries,
    DigestSubset,
    FileContent,
    FileEntry,
    MergeDigests,
    PathGlobs,
    SymlinkEntry,
)
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import TransitiveTargetsRequest
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_runspec.engine import (
    add_prefix,
    create_digest,
    digest_complete_platforms,
    digest_subset_to_digest,
    get_digest_contents,
    get_digest_entries,
    implicitly,
    merge_digests,
    prepare_python_sources,
    rule,
    transitive_targets,
)
from pants_runspec.launcher import (
    LauncherRequest,
    PythonVersion,
    PythonVersionRequest,
    build_launcher,
    find_python_version,
)
from pants_runspec.launcher_tools import needs_nemo_run
from pants_runspec.paths import is_below
from pants_runspec.recipe.dependencies import (
    ConfigOwnersRequest,
    ScriptOwnersRequest,
    config_globs,
    find_config_owners,
    find_script_owners,
)
from pants_runspec.recipe.fingerprint import Fingerprint, FingerprintRequest, fingerprint_recipe
from pants_runspec.recipe.locked_pex import LockedPexRequest, build_locked_pex
from pants_runspec.recipe.lockfile import subset_digest
from pants_runspec.recipe.requirements import Requirements, UnlockedRequirementsError
from pants_runspec.recipe.spec import Recipe, RecipeRequest, resolve_recipe
from pants_runspec.target_types import (
    RecipeFieldSet,
    RecipeProvidedField,
    RecipePythonField,
)
from runspec import Bundle, Fingerprints, to_json
from runspec.run_script import run_script

JOB_PEX = "job.pex"
CODE = "code"

# A wheel without native code: its name ends in the tags "any Python ABI, any platform" (PEP 427).
PURE_WHEEL = re.compile(r"-none-any\.whl$")


class UnownedScriptError(Exception):
    """No `python_sources` target of the recipe's resolve owns its script."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(
            f"{recipe.address}: no python_sources target of the resolve {recipe.resolve} owns "
            f"{recipe.script}; run `pants tailor ::`"
        )


class UnownedConfigsError(Exception):
    """There are YAMLs in the config folder of a recipe that no target owns."""

    def __init__(self, recipe: Recipe, unowned: tuple[str, ...]) -> None:
        super().__init__(
            f"{recipe.address}: no runspec_configs target owns {', '.join(unowned)}; "
            "run `pants tailor ::`"
        )


class ForeignWheelsError(Exception):
    """A recipe with an image has native dependencies, and nothing says what they must fit."""

    def __init__(self, recipe: Recipe, wheels: tuple[str, ...]) -> None:
        super().__init__(
            f"{recipe.address}: {', '.join(wheels)} hold native code, so they must fit the "
            f"interpreter and platform of the image {recipe.spec.image}; set `complete_platforms`, "
            f"or on Linux `{RecipePythonField.alias}` to the image's Python version, or list them "
            f"under `{RecipeProvidedField.alias}` if the image has them"
        )


@dataclass(frozen=True)
class JobPexRequest:
    """A request for the PEX with a recipe's third-party requirements, for these interpreters and
    platforms."""

    recipe: Recipe
    requirements: Requirements
    interpreter_constraints: InterpreterConstraints
    complete_platforms: CompletePlatforms


@dataclass(frozen=True)
class JobPex:
    """The job's PEX, a folder (packed layout).

    Attributes:
        digest: holds the folder `job.pex`.
    """

    digest: Digest


@dataclass(frozen=True)
class BundleRequest:
    """A request for a recipe's job bundle.

    Attributes:
        field_set: of the recipe's target.
        with_wheels: whether it holds the job PEX; a dry run needs none.
        executors: those that its own launcher is for, beside those that every launcher has.
    """

    field_set: RecipeFieldSet
    with_wheels: bool
    executors: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecipeBundle:
    """A job bundle's files, and the interpreters that Pants chose for its launcher and its job."""

    digest: Digest
    launcher_python: PythonVersion
    job_python: PythonVersion | None


def identity(document: Bundle, entries: DigestEntries, job_pex: tuple[object, ...]) -> str:
    """Return the identity of a bundle: sha256 over its document, its files and its job PEX.

    Args:
        document: its `bundle.json`, without a digest.
        entries: its other files but the job PEX: path, content and kind of each count.
        job_pex: what decides the content of the job PEX, as JSON values. So a dry run, which builds
            none, tells the same identity.
    """
    files = []
    for entry in entries:
        if isinstance(entry, FileEntry):
            kind = "executable" if entry.is_executable else "file"
            files.append([entry.path, kind, entry.file_digest.fingerprint])
        elif isinstance(entry, SymlinkEntry):
            files.append([entry.path, "link", entry.target])
    whole = json.dumps([to_json(document), sorted(files), job_pex])
    return hashlib.sha256(whole.encode()).hexdigest()


def has_job_pex(recipe: Recipe, requirements: Requirements) -> bool:
    """Tell whether a bundle holds a job PEX.

    Without requirements it keeps what happens to be installed on a machine out of the job; with an
    image that is what counts.
    """
    return bool(requirements.wanted) or not recipe.spec.image


def job_pex_arguments(recipe: Recipe) -> tuple[str, ...]:
    """Return the Pex options of a recipe's job PEX.

    With an image the image's packages come behind the PEX's own; without one the job is hermetic,
    and a virtual environment lets worker processes start by `sys.executable`.
    """
    if recipe.spec.image:
        return ("--inherit-path=fallback", "--no-emit-warnings")
    return ("--venv", "--no-emit-warnings")


@rule(desc="Build the job PEX")
async def build_job_pex(request: JobPexRequest) -> JobPex:
    recipe, requirements = request.recipe, request.requirements
    if not has_job_pex(recipe, requirements):
        return JobPex(EMPTY_DIGEST)
    if requirements.problems:
        raise UnlockedRequirementsError(requirements.problems)
    pex = await build_locked_pex(
        LockedPexRequest(
            name=JOB_PEX,
            requirements=requirements.wanted,
            excluded=recipe.provided,
            resolve=recipe.resolve,
            interpreter_constraints=request.interpreter_constraints,
            complete_platforms=request.complete_platforms,
            layout=PexLayout.PACKED,
            main=None,
            sources=EMPTY_DIGEST,
            arguments=job_pex_arguments(recipe),
            description=f"Building the job PEX of {recipe.address}",
        ),
        **implicitly(),
    )
    fits = request.complete_platforms or (recipe.python and sys.platform == "linux")
    if not recipe.spec.image or fits:
        return JobPex(pex.digest)
    info_digest = await digest_subset_to_digest(
        DigestSubset(pex.digest, PathGlobs([f"{JOB_PEX}/PEX-INFO"]))
    )
    (info,) = await get_digest_contents(info_digest)
    wheels = sorted(json.loads(info.content)["distributions"])
    native = tuple(wheel for wheel in wheels if not PURE_WHEEL.search(wheel))
    if native:
        raise ForeignWheelsError(recipe, native)
    return JobPex(pex.digest)


@rule(desc="Assemble the job bundle")
async def assemble_bundle(request: BundleRequest) -> RecipeBundle:
    field_set = request.field_set
    recipe = await resolve_recipe(RecipeRequest(field_set), **implicitly())
    script_owners = await find_script_owners(
        ScriptOwnersRequest(recipe.script, recipe.resolve), **implicitly()
    )
    if not script_owners.addresses:
        raise UnownedScriptError(recipe)
    config_owners = await find_config_owners(ConfigOwnersRequest(config_globs(recipe.config_dir)))
    if config_owners.unowned:
        raise UnownedConfigsError(recipe, config_owners.unowned)

    fingerprint = await fingerprint_recipe(FingerprintRequest(recipe), **implicitly())
    closure = await transitive_targets(
        TransitiveTargetsRequest([field_set.address]), **implicitly()
    )
    launcher = await build_launcher(
        LauncherRequest(needs_nemo_run(request.executors)), **implicitly()
    )
    sources = await prepare_python_sources(
        PythonSourceFilesRequest(closure.closure, include_resources=True, include_files=True),
        **implicitly(),
    )
    complete_platforms = await digest_complete_platforms(
        PexCompletePlatformsField(field_set.complete_platforms.value, recipe.address),
        **implicitly(),
    )
    job_python: PythonVersion | None = None
    constraints = recipe.interpreter_constraints
    if not recipe.spec.image and not complete_platforms:
        # A PEX holds wheels for one interpreter, so that is the one that the bundle asks for.
        job_python = await find_python_version(PythonVersionRequest(constraints), **implicitly())
        constraints = InterpreterConstraints([f"CPython=={job_python.version}.*"])
    job_pex = JobPex(EMPTY_DIGEST)
    if request.with_wheels:
        job_pex = await build_job_pex(
            JobPexRequest(recipe, fingerprint.requirements, constraints, complete_platforms),
            **implicitly(),
        )
    code_folder = await add_prefix(AddPrefix(sources.source_files.snapshot.digest, CODE))
    start = await create_digest(
        CreateDigest(
            [FileContent("run", run_script([launcher.python.version]).encode(), is_executable=True)]
        )
    )
    files = await merge_digests(MergeDigests([code_folder, launcher.digest, start]))
    entries = await get_digest_entries(files)
    unnamed = bundle_document(recipe, fingerprint, constraints, sources.source_roots, entries)
    document = dataclasses.replace(
        unnamed,
        digest=identity(
            unnamed,
            entries,
            (
                subset_digest(fingerprint.requirements.locked),
                fingerprint.requirements.wanted,
                complete_platforms.digest.fingerprint,
                job_pex_arguments(recipe),
            ),
        ),
    )
    described = await create_digest(
        CreateDigest([FileContent("bundle.json", to_json(document).encode())])
    )
    digest = await merge_digests(MergeDigests([files, job_pex.digest, described]))
    return RecipeBundle(digest, launcher.python, job_python)


def bundle_document(
    recipe: Recipe,
    fingerprint: Fingerprint,
    constraints: InterpreterConstraints,
    source_roots: tuple[str, ...],
    entries: DigestEntries,
) -> Bundle:
    """Return the `bundle.json`, but for its digest, of a bundle with these files, whose job runs on
    interpreters of these constraints."""
    return Bundle(
        recipe=recipe.address.spec,
        spec=recipe.spec,
        script=f"{CODE}/{recipe.script}",
        source_roots=tuple(os.path.normpath(f"{CODE}/{root}") for root in sorted(source_roots)),
        job_pex=JOB_PEX if has_job_pex(recipe, fingerprint.requirements) else None,
        inherit_path=bool(recipe.spec.image),
        interpreter_constraints=tuple(str(constraint) for constraint in constraints),
        requirements={p.name: p.version for p in fingerprint.requirements.locked},
        fingerprints=Fingerprints(
            code=fingerprint.code, environment=fingerprint.environment, config=fingerprint.config
        ),
        files=dict(fingerprint.files),
        contents={
            entry.path: entry.file_digest.fingerprint
            for entry in entries
            if isinstance(entry, FileEntry) and is_below(entry.path, CODE)
        },
        digest="",
    )


@rule(desc="Package a recipe", level=LogLevel.INFO)
async def package_recipe(field_set: RecipeFieldSet, dist_dir: DistDir) -> BuiltPackage:
    bundle = await assemble_bundle(
        BundleRequest(field_set, with_wheels=True, executors=field_set.executors.value or ()),
        **implicitly(),
    )
    folder = field_set.output_path.value_or_default(file_ending=None)
    digest = await add_prefix(AddPrefix(bundle.digest, folder))
    start = dist_dir.relpath / folder / "run"
    return BuiltPackage(digest, (BuiltPackageArtifact(folder, (f"run it with {start}",)),))


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(PackageFieldSet, RecipeFieldSet)]
