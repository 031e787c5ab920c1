"""What a key depends on besides a target and its inputs: the store, the configs, the machine.

Everything that is asked of the store or the file system for a decision is asked here, and kept
until :meth:`World.forget`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.masking import is_secret_name, mask_secrets
from nemo_runspec.pipeline.cache import PlanCache
from nemo_runspec.pipeline.compose_key import SECRET, Composed, Composer
from nemo_runspec.pipeline.elements import ElementTask
from nemo_runspec.pipeline.external import (
    ExternalInputError,
    fingerprint,
    is_unchecked,
)
from nemo_runspec.pipeline.graph import Graph
from nemo_runspec.pipeline.key import InputPart, KeyParts, Parts, key_of
from nemo_runspec.pipeline.left_jobs import LeftJobs
from nemo_runspec.pipeline.reason import Category, Reason, diff_parts, input_label
from nemo_runspec.store import KeyRecord, Manifest, Store, parse_artifact_reference
from nemo_runspec.store.lineage import Revocations
from nemo_runspec.utils import split_url, url_scheme
from runspec.plan import CONFIGS_FOLDER, PlanArtifact, PlanInput

_AT_ONCE = 32
# How many versions a stale build is compared with, to find the one it differs from least.
_COMPARED = 4
_ART = re.compile(r"\$\{art:\s*[\"']?(?P<key>[^,}\s\"']+)[\"']?\s*(?:,\s*(?P<field>[^}]*?)\s*)?\}")


@dataclass(frozen=True)
class Found:
    """The answer of a store to a key.

    Attributes:
        store_name: the artifact's name in the store: within the namespace it was found in.
        record: the record.
    """

    store_name: str
    record: KeyRecord


@dataclass(frozen=True)
class Resolved:
    """A version that a reference means.

    Attributes:
        name: the artifact's name as the reference says it.
        store_name: its name in the store.
        version: the version's number.
        identity: what it counts as in a key.
        path: where its data is.
    """

    name: str
    store_name: str
    version: int
    identity: str
    path: str


class World:
    """What decisions are made in.

    Args:
        graph: the artifacts.
        store: where versions are.
        settings: how the store is used.
        folder: the plan's: its configs lie in it.
        root: the build root.
        profile: ``run.env`` as plain data: the executor, the image, ``env_vars``.
        environ: the launcher's environment; default: this process'.
        cache: where composed configs are kept; None keeps none.

    Attributes:
        held: leases that this process holds itself.
        left_jobs: finds jobs that make a version while nobody holds its lease, for those who only
            look; None for those who build, and pick such jobs up.
    """

    def __init__(
        self,
        graph: Graph,
        store: Store,
        settings: ArtifactsSettings,
        *,
        folder: Path,
        root: Path,
        profile: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        cache: PlanCache | None = None,
    ) -> None:
        self.graph = graph
        self.store = store
        self.settings = settings
        self.root = root
        self.held: set[str] = set()
        self.left_jobs: LeftJobs | None = None
        self._profile = dict(profile or {})
        variables = self._profile.get("env_vars")
        self._composer = Composer(
            graph.plan,
            folder / CONFIGS_FOLDER,
            root=root,
            environ=os.environ if environ is None else environ,
            profile_env=(
                {str(name): str(value) for name, value in variables.items()}
                if isinstance(variables, Mapping)
                else {}
            ),
            cache=cache,
        )
        self._own: dict[str, KeyParts] = {}
        self._files: dict[str, dict[str, str]] = {}
        self._resolved: dict[str, Resolved | str] = {}
        self._external: dict[str, tuple[str | None, str]] = {}
        self._data: dict[str, str | None] = {}
        self._present: dict[str, bool] = {}
        self._gone: dict[tuple[str, int], str | None] = {}
        self._latest: dict[str, Manifest | None] = {}
        self._revoked: Revocations | None = None

    # Around a plan

    def preload(self) -> None:
        """Read ahead what a plan of all artifacts needs, in few requests."""
        artifacts = self.graph.order
        self._composer.preload(artifacts)
        if self.store.is_local:
            return
        names = {each for one in artifacts for each in self.store_names(one.name)}
        self.store.prefetch(names)
        newest = self.store.latest_manifests(names)
        self._latest.update({name: newest.get(name) for name in names})
        paths = {each.path for each in newest.values() if _is_remote(each.path)}
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            self._present.update(zip(paths, pool.map(self._exists, paths), strict=True))
            versions = [(each.name, each.version) for each in newest.values()]
            marks = pool.map(lambda version: self.store.gone(*version), versions)
            self._gone.update(zip(versions, marks, strict=True))

    def flush(self) -> None:
        """Keep on disk what composing took time."""
        self._composer.flush()

    def forget(self) -> None:
        """Ask anew from here on, but for what references outside of the plan mean.

        Those stay at the versions that they had first, so that one run sees one version of each.
        """
        self.store.forget()
        self._own.clear()
        self._external.clear()
        self._data.clear()
        self._present.clear()
        self._gone.clear()
        self._latest.clear()
        self._revoked = None

    # What a key is made of

    def parts(
        self, artifact: PlanArtifact, inputs: tuple[InputPart, ...], *, element: Any = None
    ) -> KeyParts:
        """The parts of a build's key.

        Raises:
            ConfigError: its config cannot be composed.
            ExternalInputError: an external input has no fingerprint; see
                :meth:`external_problems`.
        """
        own = self._own.get(artifact.address)
        if own is None:
            external = [(uri, self._fingerprint(uri)[0]) for uri in artifact.external_inputs]
            own = self._own[artifact.address] = self._own_parts(artifact, external)
        return own.with_inputs(inputs, element)

    def explain(
        self, artifact: PlanArtifact, versions: Mapping[tuple[str | None, str], str]
    ) -> dict[str, Any]:
        """What the parts of a build's key stand for; kept in the manifest, no part of the key.

        Args:
            artifact: the target.
            versions: of the inputs, by key of the ``run`` section and name.
        """
        recipe = self.graph.plan.recipes[artifact.recipe]
        if artifact.recipe not in self._files:
            self._files[artifact.recipe] = self.graph.plan.files_of(artifact.recipe)
        reads = self._composer.composed(artifact).reads
        return {
            "files": self._files[artifact.recipe],
            "requirements": dict(recipe.requirements),
            "env": mask_secrets(dict(reads)),
            "inputs": {
                input_label(key, name): version for (key, name), version in versions.items()
            },
        }

    def external_problems(self, artifact: PlanArtifact) -> tuple[str, ...]:
        """What keeps the external inputs of a target from being told apart."""
        found = (self._fingerprint(uri) for uri in artifact.external_inputs)
        return tuple(problem for value, problem in found if value is None)

    def unchecked(self, artifact: PlanArtifact) -> tuple[str, ...]:
        """The external inputs of a target that are not looked at, as it says itself."""
        return tuple(
            str(mask_secrets(uri)) for uri in artifact.external_inputs if is_unchecked(uri)
        )

    def data_fingerprint(self, location: str) -> str | None:
        """The fingerprint of the data at a path or URL; None when there is none."""
        if location not in self._data:
            is_url = url_scheme(location) is not None
            try:
                self._data[location] = (
                    None
                    if not is_url and not os.path.exists(location)
                    else fingerprint(
                        location, root=self.root, limit=self.settings.external_hash_limit
                    )
                )
            except ExternalInputError:
                self._data[location] = None
        return self._data[location]

    def counts_whole_input(
        self, artifact: PlanArtifact, task: ElementTask, source: PlanInput
    ) -> bool:
        """Whether an element counts together with the whole input that its list is in."""
        if not task.stands_for_input:
            return True
        if source.key is None:
            return False
        config = self._composer.composed(artifact).config
        return any(
            match["key"] == source.key and (match["field"] or "path").strip("'\"") != "path"
            for match in _ART.finditer(config)
        )

    # What the store has

    def own_name(self, name: str) -> str:
        """The name that a version is written under: within the namespace, if there is one."""
        namespace = self.settings.namespace
        if namespace is None or name.startswith(f"{namespace}/"):
            return name
        return f"{namespace}/{name}"

    def store_names(self, name: str) -> tuple[str, ...]:
        """The names that an artifact is looked for under, one's own first."""
        return tuple(dict.fromkeys((self.own_name(name), name)))

    def lease_id(self, name: str, key: str) -> str:
        """The lease that whoever makes this version holds."""
        return f"{self.own_name(name)}/{key}"

    def find(self, name: str, key: str) -> Found | None:
        """The version that has a key."""
        for store_name in self.store_names(name):
            record = self.store.find_key(store_name, key)
            if record is not None:
                return Found(store_name, record)
        return None

    def refusal(self, found: Found) -> Reason | None:
        """Why the version that has a key is not good enough; None when it is."""
        record, reference = found.record, f"{found.store_name}:v{found.record.version}"
        revoked = self._revocations().find(found.store_name, record.version)
        if revoked is not None:
            which = revoked.reference
            made_from = "" if which == reference else f", which {reference} is made from,"
            why = mask_secrets(revoked.tombstone.reason)
            return Reason(Category.REVOKED, f"{which}{made_from} was revoked: {why}")
        mark = self._mark(found.store_name, record.version)
        if mark is not None:
            return Reason(Category.GONE, f"the data of {reference} is gone: {mask_secrets(mark)}")
        if not self._is_there(record.path):
            path = mask_secrets(record.path)
            return Reason(Category.GONE, f"the data of {reference} is gone: {path}")
        if self.settings.check != "exists":
            return self._tampering(found)
        return None

    def resolve(self, reference: str) -> Resolved | str:
        """The version that a reference means, or why there is none.

        The answer stays the same as long as this world is there.

        Raises:
            ConfigError: the text is no reference.
            StoreError: the store cannot be read.
        """
        if reference not in self._resolved:
            self._resolved[reference] = self._look_up(reference)
        return self._resolved[reference]

    def metadata(self, store_name: str, version: int) -> Mapping[str, Any]:
        """A version's ``metadata.json``."""
        return self.store.metadata(store_name, version)

    def holder(self, lease_id: str) -> Mapping[str, Any] | None:
        """Who holds a lease, in their own words; None when nobody else does."""
        if lease_id in self.held:
            return None
        held = self.store.lease_holder(lease_id)
        if held is not None:
            return {"since": held.acquired_at, **held.holder}
        name, _, key = lease_id.rpartition("/")
        return None if self.left_jobs is None else self.left_jobs.find(name, key)

    def latest(self, name: str) -> Manifest | None:
        """The newest version of an artifact, one's own first."""
        names = self.store_names(name)
        unknown = [each for each in names if each not in self._latest]
        if unknown:
            newest = self.store.latest_manifests(unknown)
            self._latest.update({each: newest.get(each) for each in unknown})
        return next((found for each in names if (found := self._latest[each])), None)

    # Why it is not fresh

    def reasons(self, name: str, parts: Parts, explain: Mapping[str, Any]) -> tuple[Reason, ...]:
        """Why the store has no version with these parts, compared with the one nearest to them."""
        document, key = parts.document(), key_of(parts)
        latest = self.latest(name)
        if latest is None:
            return (Reason(Category.NEVER_BUILT, "never built"),)
        best: list[Reason] | None = None
        for manifest in self._versions_before(latest):
            if manifest.parts is None:
                continue
            if manifest.key == key:
                return (Reason(Category.UNKNOWN, _unfinished(manifest)),)
            found = diff_parts(
                manifest.parts, document, old_explain=manifest.explain, new_explain=explain
            )
            if best is None or len(found) < len(best):
                best = found
        if best is None:
            why = f"{latest.reference} was logged by hand: what it was made from is not known"
            return (Reason(Category.UNKNOWN, why),)
        return tuple(best) or (
            Reason(Category.UNKNOWN, "the form of keys changed since it was built"),
        )

    def own_reasons(self, artifact: PlanArtifact, explain: Mapping[str, Any]) -> tuple[Reason, ...]:
        """What changed of a build itself, where its inputs are not known yet."""
        latest = self.latest(artifact.name)
        if latest is None:
            return (Reason(Category.NEVER_BUILT, "never built"),)
        if latest.parts is None:
            return ()
        new = self.parts(artifact, ()).document()
        old = latest.parts
        without = ["inputs", "element", "elements"]
        if "elements" in old:
            # A gathered version keeps what its elements are; their configs are in theirs.
            without += sorted({*new} - {"recipe"})
            old = {**old, "code": None, "environment": None}
        return tuple(
            diff_parts(old, new, old_explain=latest.explain, new_explain=explain, without=without)
        )

    # Helpers

    def _own_parts(
        self, artifact: PlanArtifact, external: list[tuple[str, str | None]]
    ) -> KeyParts:
        recipe = self.graph.plan.recipes[artifact.recipe]
        composed = self._composer.composed(artifact)
        spec = recipe.spec
        return KeyParts(
            recipe=artifact.recipe,
            code=recipe.fingerprints.code,
            environment={
                "constraints": list(recipe.interpreter_constraints),
                "image": self._image(artifact, composed),
                "inherit_path": recipe.inherit_path,
                "requirements": recipe.fingerprints.environment,
            },
            command={
                "launch": spec.run.kind,
                "cmd": spec.run.cmd,
                "workdir": composed.workdir,
                "passthrough": [],
            },
            env={
                name: SECRET if is_secret_name(name) else value for name, value in spec.env.items()
            },
            config=composed.config,
            external=tuple(
                (str(mask_secrets(uri)), value) for uri, value in external if value is not None
            ),
            output=_output(artifact),
        )

    def _image(self, artifact: PlanArtifact, composed: Composed) -> str | None:
        """The image that the job really runs in."""
        if str(self._profile.get("executor") or "local") == "local":
            return None  # it runs jobs without any
        if composed.image is not None:
            return composed.image
        # What the recipe leaves open is the profile's.
        named = self._profile.get("container_image") or self._profile.get("container")
        if not named:
            return None
        spec = self.graph.plan.recipes[artifact.recipe].spec
        return self._composer.substitute(str(named), spec)

    def _fingerprint(self, uri: str) -> tuple[str | None, str]:
        """The fingerprint of an external input, else what is wrong with it."""
        if uri not in self._external:
            try:
                value = fingerprint(uri, root=self.root, limit=self.settings.external_hash_limit)
                self._external[uri] = (value, "")
            except ExternalInputError as error:
                self._external[uri] = (None, str(error))
        return self._external[uri]

    def _look_up(self, reference: str) -> Resolved | str:
        parsed = parse_artifact_reference(reference)
        problem = ""
        for store_name in self.store_names(parsed.name):
            try:
                found = self.store.resolve(type(parsed)(store_name, parsed.version))
            except ArtifactError as error:
                if not _is_answer(error):
                    raise
                problem = str(error)
                continue
            return Resolved(parsed.name, store_name, found.version, found.identity, found.path)
        return problem

    def _revocations(self) -> Revocations:
        if self._revoked is None:
            self._revoked = Revocations(self.store)
        return self._revoked

    def _mark(self, store_name: str, version: int) -> str | None:
        if (store_name, version) not in self._gone:
            self._gone[store_name, version] = self.store.gone(store_name, version)
        return self._gone[store_name, version]

    def _is_there(self, path: str) -> bool:
        if not _is_remote(path):
            return os.path.exists(split_url(path)[1])
        if path not in self._present:
            self._present[path] = self._exists(path)
        return self._present[path]

    def _exists(self, path: str) -> bool:
        from nemo_runspec.optional import optional_import

        core = optional_import("fsspec.core", needed_for=path)
        filesystem, inner = core.url_to_fs(path, **self._options(path))
        return bool(filesystem.exists(inner))

    def _options(self, path: str) -> dict[str, Any]:
        """The options of the store's file system, for data that lies on the same one."""
        scheme = url_scheme(path)
        is_same = scheme is not None and scheme == url_scheme(self.settings.root or "")
        return dict(self.settings.storage_options or {}) if is_same else {}

    def _tampering(self, found: Found) -> Reason | None:
        from nemo_runspec.artifacts.content import recorded_digest

        manifest = self.store.manifest(found.store_name, found.record.version)
        differs = recorded_digest(
            manifest,
            self.store.metadata(found.store_name, found.record.version),
            "stat" if self.settings.check == "stat" else "hash",
            storage_options=self._options(manifest.path),
        )
        if differs is None or differs[0] == differs[1]:
            return None
        how = "sizes or times" if self.settings.check == "stat" else "the content"
        return Reason(
            Category.TAMPERED, f"{manifest.reference} was changed since: {how} of {manifest.path}"
        )

    def _versions_before(self, latest: Manifest) -> list[Manifest]:
        """A version and the few before it; on an object store itself alone."""
        found = [latest]
        if self.store.is_local:
            for version in range(latest.version - 1, max(0, latest.version - _COMPARED), -1):
                try:
                    found.append(self.store.manifest(latest.name, version))
                except ArtifactError:
                    # A number that nobody finished, or a broken manifest of old.
                    continue
        return found


def _output(artifact: PlanArtifact) -> dict[str, str]:
    """What the target says of its output, as far as it decides what a build makes.

    A script that logs its versions itself says their type itself, and logs the same one when it is
    run by hand, where nobody knows of a target.
    """
    if artifact.output is None:
        return {}
    named = {} if artifact.type is None else {"type": artifact.type}
    return {"path": artifact.output, **named}


def _is_answer(error: ArtifactError) -> bool:
    """Whether an error says that there is no such version, rather than that nobody can tell."""
    from nemo_runspec.exceptions import ArtifactNotFoundError, ArtifactVersionNotFoundError
    from nemo_runspec.store import ArtifactRevokedError

    kinds = (ArtifactNotFoundError, ArtifactVersionNotFoundError, ArtifactRevokedError)
    return isinstance(error, kinds)


def _is_remote(path: str) -> bool:
    return url_scheme(path) not in (None, "file", "local")


def _unfinished(manifest: Manifest) -> str:
    return f"the build that logged {manifest.reference} did not end well"
