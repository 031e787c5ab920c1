"""A plan, the store and the profile it meets: what `plan`, `materialize` and `run` begin with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings, environment_settings
from nemo_runspec.artifacts.view import StoreView, open_view
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.env import parse_env
from nemo_runspec.exceptions import ProfileError, UsageError
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.pipeline.cache import PlanCache, cache_folder
from nemo_runspec.pipeline.graph import Graph
from nemo_runspec.pipeline.world import World
from nemo_runspec.utils import find_repository_root
from runspec.plan import Plan, read_plan

_PARALLEL_ON_CLUSTERS = 16


class NoStoreError(UsageError):
    """Artifacts are not recorded here, so nothing can be fresh."""


@dataclass(frozen=True)
class Pipeline:
    """A plan in its surroundings.

    Args:
        folder: the plan's: `plan.json` and `configs`.
        graph: its artifacts.
        world: what their keys depend on.
        view: the store, through the namespace.
        settings: how the store is used.
        profile: the profile of env.toml as plain data; nothing without one.
        profile_name: its name; None without one.
    """

    folder: Path
    graph: Graph
    world: World
    view: StoreView
    settings: ArtifactsSettings
    profile: Mapping[str, Any]
    profile_name: str | None

    @property
    def parallel(self) -> int:
        """So many jobs run at once: one, and more where they wait in the queue of a cluster.

        Raises:
            ProfileError: the profile says something else than a number.
            ExecutionError: its executor is unknown or cannot be loaded.
        """
        value = self.profile.get("parallel")
        if value is None:
            executor = str(self.profile.get("executor") or "local")
            is_here = get_executor(executor).runs_here
            return 1 if is_here else _PARALLEL_ON_CLUSTERS
        if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
            raise ProfileError(
                f"profile {self.profile_name!r}: parallel must be a number from 1, not {value!r}"
            )
        return int(value)


def open_pipeline(
    folder: Path,
    *,
    profile: str | None = None,
    roots: Collection[str] | None = None,
    settings: ArtifactsSettings | None = None,
) -> Pipeline:
    """Open what the build side planned.

    Args:
        folder: with `plan.json` and `configs`.
        profile: the profile of env.toml; None for this machine without one.
        roots: addresses to bring up to date instead of the plan's own.
        settings: how the store is used; default: what `[artifacts]` of env.toml says.

    Raises:
        InvalidPlanError: the plan cannot be read.
        GraphError: its artifacts cannot be ordered.
        NoStoreError: artifacts are not recorded here.
        EnvError: env.toml is broken, or lacks the profile.
        StoreError: no store can be kept where it is named.
    """
    plan = read_plan(folder)
    graph = Graph(plan if roots is None else restrict(plan, roots))
    used = environment_settings() if settings is None else settings
    view = open_view(used)
    if view is None:
        raise NoStoreError(
            "artifacts are not recorded here ([artifacts.manifest] root is null in env.toml), so "
            "nothing can be fresh; name a store there, or leave root out for .runspec/artifacts"
        )
    values = _profile(profile)
    world = World(
        graph,
        view.store,
        used,
        folder=folder,
        root=find_repository_root() or Path.cwd(),
        profile=values,
        cache=PlanCache(cache_folder()),
    )
    return Pipeline(folder, graph, world, view, used, values, profile)


def restrict(plan: Plan, roots: Collection[str]) -> Plan:
    """The part of a plan that some of its artifacts are made from, those included.

    Raises:
        UsageError: the plan has no such artifact.
    """
    artifacts = {one.address: one for one in plan.artifacts}
    for root in roots:
        if root not in artifacts:
            raise UsageError(f"the plan has no {root}")
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        address = waiting.pop()
        if address not in seen:
            seen.add(address)
            inputs = artifacts[address].inputs
            waiting.extend(each.artifact for each in inputs if each.artifact is not None)
    kept = tuple(one for one in plan.artifacts if one.address in seen)
    return replace(plan, artifacts=kept, roots=tuple(roots))


def _profile(name: str | None) -> Mapping[str, Any]:
    found = parse_env(GlobalContext(run=name)) if name else None
    if found is None:
        return {}
    from nemo_runspec.config.plain import to_plain

    return to_plain(found)
