"""Plans, stores and builds for the tests: stores and configs are real, jobs are not run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.pipeline.cache import PlanCache
from nemo_runspec.pipeline.decide import Decision, State, Upstream, decide, outcome
from nemo_runspec.pipeline.graph import Graph
from nemo_runspec.pipeline.plan import PlanResult, make_plan
from nemo_runspec.pipeline.world import World
from nemo_runspec.store import KeyRecord, Manifest, VersionDraft, open_store
from runspec.bundle import Fingerprints
from runspec.models import Runspec, RunspecConfig, RunspecRun
from runspec.plan import (
    CONFIGS_FOLDER,
    PLAN_FILE,
    Plan,
    PlanArtifact,
    PlanInput,
    PlanNode,
    PlanRecipe,
    to_json,
)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Example:
    """A small pipeline in a folder: change its parts, ask what is stale, build what is.

    `build` does what a schedule does, with a job that writes a file: what stands in `outputs` for
    the artifact, else a text of its key.
    """

    folder: Path
    sources: dict[str, str] = field(default_factory=dict)
    recipes: dict[str, PlanRecipe] = field(default_factory=dict)
    artifacts: dict[str, PlanArtifact] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    roots: tuple[str, ...] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    settings: ArtifactsSettings | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    cache: PlanCache | None = None

    def __post_init__(self) -> None:
        if self.settings is None:
            self.settings = ArtifactsSettings(root=str(self.folder / "store"))
        self.store = open_store(
            str(self.settings.root), storage_options=self.settings.storage_options
        )

    def add_recipe(
        self,
        name: str,
        sources: Mapping[str, str] | None = None,
        *,
        image: str | None = None,
        env: Mapping[str, str] | None = None,
        run: RunspecRun | None = None,
        requirements: Mapping[str, str] | None = None,
        constraints: Sequence[str] = ("CPython>=3.11",),
    ) -> str:
        address = f"src/pipe:{name}"
        script = f"src/pipe/{name}.py"
        self.sources.update(sources or {script: "print(1)"})
        self._files_of = getattr(self, "_files_of", {})
        self._files_of[address] = tuple(sources or {script: ""})
        needs = dict(requirements or {"numpy": "1.26.4"})
        self.recipes[address] = PlanRecipe(
            spec=Runspec(
                name=name,
                image=image,
                env=env or {},
                run=run or RunspecRun(launch="direct"),
                config=RunspecConfig(dir="./config", default="default"),
                script_path=Path(script),
            ),
            script=script,
            node=0,
            fingerprints=Fingerprints("", digest(str(sorted(needs.items()))), digest("config")),
            requirements=needs,
            interpreter_constraints=tuple(constraints),
        )
        return address

    def add(
        self,
        name: str,
        *,
        recipe: str | None = None,
        config: str = "{}",
        inputs: Sequence[str | PlanInput] = (),
        **values: Any,
    ) -> str:
        """An artifact target; an input is the name of another one, or `name:v3` of the store."""
        address = f"src/pipe:{name}-artifact"
        if recipe is None:
            recipe = self.add_recipe(name)
        path = f"src/pipe/config/{name}.yaml"
        self.configs.setdefault(path, config)
        resolved = tuple(
            each
            if isinstance(each, PlanInput)
            else PlanInput(each, None, None)
            if ":" in each
            else PlanInput(f"{each}:latest", None, f"src/pipe:{each}-artifact")
            for each in inputs
        )
        self.artifacts[address] = PlanArtifact(
            address=address,
            name=name,
            recipe=recipe,
            config=name,
            **{"chain": (path,), "inputs": resolved, **values},
        )
        return address

    def change(self, name: str, **values: Any) -> None:
        address = f"src/pipe:{name}-artifact"
        self.artifacts[address] = replace(self.artifacts[address], **values)

    def change_recipe(self, name: str, **values: Any) -> None:
        address = f"src/pipe:{name}"
        self.recipes[address] = replace(self.recipes[address], **values)

    def plan(self) -> Plan:
        files = [(path, digest(text)) for path, text in sorted(self.sources.items())]
        files += [(path, digest(text)) for path, text in sorted(self.configs.items())]
        index = {path: n for n, (path, _) in enumerate(files)}
        nodes: list[PlanNode] = []
        recipes: dict[str, PlanRecipe] = {}
        for address, recipe in self.recipes.items():
            own = self._files_of[address]
            code = digest(str(sorted((path, digest(self.sources[path])) for path in own)))
            recipes[address] = replace(
                recipe, node=len(nodes), fingerprints=replace(recipe.fingerprints, code=code)
            )
            nodes.append(PlanNode(tuple(index[path] for path in own), ()))
        roots = self.roots
        if roots is None:
            used = {each.artifact for one in self.artifacts.values() for each in one.inputs}
            roots = tuple(address for address in self.artifacts if address not in used)
        return Plan(tuple(files), tuple(nodes), recipes, tuple(self.artifacts.values()), roots)

    def write(self) -> Path:
        """The plan's folder, as the build side writes it."""
        folder = self.folder / "plan"
        for path, text in self.configs.items():
            target = folder / CONFIGS_FOLDER / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        folder.mkdir(exist_ok=True)
        (folder / PLAN_FILE).write_text(to_json(self.plan()))
        return folder

    def enter(self, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
        """Goes to a repository whose `env.toml` names the store, for commands that are run there.

        Args:
            monkeypatch: pytest's.
            more: what else is in `env.toml`.
        """
        root = self.folder / "repo"
        root.mkdir(exist_ok=True)
        (root / "BUILDROOT").touch()
        store = f'[artifacts.manifest]\nroot = "{self.store.root}"\n'
        (root / "env.toml").write_text(f"{store}{more}")
        monkeypatch.chdir(root)
        monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.folder / "cache"))

    def world(self) -> World:
        folder = self.write()
        assert self.settings is not None
        root = self.folder / "repo"
        root.mkdir(exist_ok=True)
        return World(
            Graph(self.plan()),
            self.store,
            self.settings,
            folder=folder,
            root=root,
            profile=self.profile,
            environ=self.environ,
            cache=self.cache,
        )

    def look(self, force: Sequence[str] = ()) -> PlanResult:
        return make_plan(self.world(), force=force)

    def states(self) -> dict[str, str]:
        return {node.name: node.state.value for node in self.look().nodes}

    def why(self, name: str) -> str:
        return self.look().node(f"src/pipe:{name}-artifact").why

    def build(self, force: Sequence[str] = ()) -> list[str]:
        """Runs what is stale; returns the names that ran, in order."""
        world = self.world()
        ran: list[str] = []
        now: dict[str, Upstream] = {}
        for artifact in world.graph.order:
            self._bring_up(world, artifact.address, now, ran, force)
        return ran

    def _bring_up(
        self,
        world: World,
        address: str,
        now: dict[str, Upstream],
        ran: list[str],
        force: Sequence[str] = (),
        *,
        wanted: bool = False,
    ) -> None:
        artifact = world.graph.artifacts[address]
        wanted = wanted or address in world.graph.roots
        forced = address in force and artifact.name not in ran
        decision = decide(world, artifact, now, forced=forced, wanted=wanted)
        if decision.state is State.STALE:
            for above in decision.needs:
                self._bring_up(world, above, now, ran, wanted=True)
            decision = decide(world, artifact, now, forced=forced, wanted=wanted)
            for element in decision.elements:
                if element.decision.state is State.STALE and element.task.name not in ran:
                    self._run(world, element.decision)
                    ran.append(element.task.name)
            if decision.elements:
                world.forget()
                decision = decide(world, artifact, now, wanted=wanted)
            if decision.state is State.STALE:
                self._run(world, decision)
                ran.append(artifact.name)
            world.forget()
            decision = decide(world, artifact, now, wanted=wanted)
        now[address] = outcome(artifact, decision)

    def _run(self, world: World, decision: Decision) -> Manifest:
        assert decision.key is not None and decision.parts is not None
        name = decision.name
        text = self.outputs.get(name, decision.key)
        number = (self.store.latest(name) or 0) + 1
        data = self.folder / "outputs" / name / str(number)
        data.mkdir(parents=True)
        (data / "data.txt").write_text(text)
        for file in self.metadata.get(name, {}).get("files", {}):
            (data / file).write_text(self.metadata[name]["files"][file])
        metadata = {k: v for k, v in self.metadata.get(name, {}).items() if k != "files"}
        manifest = self.store.add_version(
            name,
            VersionDraft(
                path=str(data),
                metadata=metadata,
                document=metadata,
                key=decision.key,
                parts=decision.parts.document(),
                explain=decision.explain,
                content=f"sha256:{digest(text + str(self.metadata.get(name)))}",
                used_artifacts=tuple(
                    each.now.reference for each in decision.inputs if hasattr(each.now, "reference")
                ),
                run={"gpu_hours": 2.5, "seconds": 9000.0},
            ),
        )
        record = KeyRecord(
            manifest.version, manifest.identity, manifest.path, manifest.content, "2026-01-01"
        )
        self.store.set_key(name, decision.key, record)
        return manifest
