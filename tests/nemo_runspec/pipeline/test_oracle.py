"""False hits are hunted: random pipelines, random edits, and a model that knows what has to run.

The model computes every result from scratch, and knows of each build what decides its result. A
build has to run when it never ran with that, or when its data is gone and somebody needs it, and
not otherwise. What the planner says, what the schedule runs and what the store then serves are
held against it after every edit.

Only the jobs are not real: they compute in this process what the model computes, from the files
that the schedule pins for them.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemo_runspec.artifacts.content import content_digest
from nemo_runspec.artifacts.job_context import JobRecord
from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.pipeline.cache import PlanCache
from nemo_runspec.pipeline.decide import Made, State
from nemo_runspec.pipeline.graph import Graph
from nemo_runspec.pipeline.plan import PlanResult, make_plan
from nemo_runspec.pipeline.record import record_keys
from nemo_runspec.pipeline.run import Events, Options, Stop, Summary
from nemo_runspec.pipeline.schedule import Schedule
from nemo_runspec.pipeline.task import BuildTask, Built, Started
from nemo_runspec.pipeline.world import World
from nemo_runspec.store import Store, VersionDraft, open_store
from runspec import Fingerprints, parse_text
from runspec.plan import (
    CONFIGS_FOLDER,
    Plan,
    PlanArtifact,
    PlanInput,
    PlanNode,
    PlanRecipe,
)

RESULT = "result.txt"
# Few different results, so that stages often come out the same after an edit.
RESULTS = 4
VARIABLES = ("ORACLE_A", "ORACLE_B")
VALUES = st.integers(0, 5)
# What a build depends on, and nothing that it does not: the oracle's own key.
Evidence = tuple[Any, ...]


@dataclass
class Module:
    """A first-party file: what it computes with, and how it is written."""

    value: int
    wording: int = 0

    @property
    def digest(self) -> str:
        return digest_of(["module", self.value, self.wording])


@dataclass
class Recipe:
    """A script, the modules it imports, the packages it can import, the variable it declares."""

    modules: tuple[int, ...]
    packages: int = 0
    declared: int = 0


@dataclass
class Stage:
    """An artifact target.

    Attributes:
        recipe: position of its recipe.
        above: positions of the stages that it is made from, in order.
        in_config: whether its config names them, or its target alone.
        content: the target's `content`.
        value: a value of its config.
        override: a value of its target's overrides; None without one.
        variable: the variable that its config reads; None if it reads none.
        external: the external input that it reads; None if it reads none.
        launcher: a value that only the launcher reads.
        ignored: a value that its target says does not count.
    """

    recipe: int
    above: tuple[int, ...]
    in_config: bool
    content: str
    value: int
    override: int | None
    variable: str | None
    external: int | None
    launcher: int = 0
    ignored: int = 0


@dataclass
class Tree:
    """A working tree, and the machine it is on."""

    modules: list[Module]
    recipes: list[Recipe]
    stages: list[Stage]
    externals: list[int]
    variables: dict[str, int]
    base: int = 0
    comment: int = 0
    user: int = 0

    def above(self, goals: Sequence[int]) -> list[int]:
        """The stages that goals need, themselves included, in order."""
        needed: set[int] = set()
        waiting = list(goals)
        while waiting:
            index = waiting.pop()
            if index not in needed:
                needed.add(index)
                waiting += self.stages[index].above
        return sorted(needed)

    def result(self, index: int, inputs: Sequence[str]) -> str:
        """What a stage makes of the results it is made from: the job, and the model of it."""
        stage = self.stages[index]
        recipe = self.recipes[stage.recipe]
        total = sum(self.modules[module].value for module in recipe.modules)
        total += recipe.packages + recipe.declared + self.base
        total += stage.value if stage.override is None else stage.override
        total += 0 if stage.variable is None else self.variables[stage.variable]
        total += 0 if stage.external is None else self.externals[stage.external]
        for position, text in enumerate(inputs, start=2):
            total += position * int(text)
        return str(total % RESULTS)


@dataclass
class Oracle:
    """What has run so far, by what decided it, and where the data of that is."""

    made: dict[Evidence, Path] = field(default_factory=dict)

    def evidence(self, tree: Tree, goals: Sequence[int]) -> dict[int, tuple[Evidence, str]]:
        """What decides each stage that the goals need, and its result, from scratch."""
        found: dict[int, tuple[Evidence, str]] = {}
        for index in tree.above(goals):
            stage = tree.stages[index]
            recipe = tree.recipes[stage.recipe]
            inputs = []
            for above in stage.above:
                evidence, text = found[above]
                counts = tree.stages[above].content == "hash"
                inputs.append((above, text if counts else evidence))
            found[index] = (
                (
                    index,
                    tuple(tree.modules[module].digest for module in recipe.modules),
                    recipe.packages,
                    recipe.declared,
                    tree.base,
                    stage.value if stage.override is None else stage.override,
                    None if stage.variable is None else tree.variables[stage.variable],
                    None if stage.external is None else tree.externals[stage.external],
                    tuple(inputs),
                ),
                tree.result(index, [found[above][1] for above in stage.above]),
            )
        return found

    def expected(self, tree: Tree, goals: Sequence[int], forced: Sequence[int]) -> set[int]:
        """The stages that have to run to bring goals up to date."""
        evidence = self.evidence(tree, goals)
        runs = {
            index for index, (why, _) in evidence.items() if index in forced or why not in self.made
        }
        for index in sorted(evidence, reverse=True):
            if index in runs or self.made[evidence[index][0]].exists():
                continue
            if index in goals or any(index in tree.stages[below].above for below in runs):
                runs.add(index)
        return runs


def digest_of(value: Any) -> str:
    """Return a digest of plain data."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def address(index: int) -> str:
    """Return the address of a stage's target."""
    return f"src/oracle:stage{index}"


def name(index: int) -> str:
    """Return the name of a stage's artifact."""
    return f"oracle/stage{index}"


def configs(tree: Tree) -> dict[str, str]:
    """Return the text of each YAML file, by path."""
    texts = {"base.yaml": f"base: {tree.base}  # {'x' * tree.comment}\n"}
    for index, stage in enumerate(tree.stages):
        run: dict[str, Any] = {"env": {"note": stage.launcher}}
        train: dict[str, Any] = {"value": stage.value, "ignored": stage.ignored}
        if stage.variable is not None:
            train["read"] = f"${{oc.env:{stage.variable}}}"
        train["who"] = "${oc.env:USER}"
        train["where"] = "${run.output_dir}/x"
        if stage.in_config:
            for above in stage.above:
                run[f"input{above}"] = f"{name(above)}:latest"
                train[f"input{above}"] = f"${{art:input{above},path}}"
        document = {"defaults": ["base"], "run": run, "train": train}
        texts[f"stage{index}.yaml"] = f"# {'y' * tree.comment}\n{json.dumps(document)}\n"
    return {f"src/oracle/config/{path}": text for path, text in texts.items()}


def plan_of(tree: Tree, goals: Sequence[int], folder: Path) -> Plan:
    """Return the plan that the build side writes of a tree, and write its configs."""
    texts = configs(tree)
    shutil.rmtree(folder, ignore_errors=True)
    files = {}
    for path, text in texts.items():
        file = folder / CONFIGS_FOLDER / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        files[path] = hashlib.sha256(text.encode()).hexdigest()
    for index, module in enumerate(tree.modules):
        files[f"src/oracle/module{index}.py"] = module.digest
    order = sorted(files)
    module_nodes = tuple(
        PlanNode((order.index(f"src/oracle/module{index}.py"),), ())
        for index in range(len(tree.modules))
    )
    recipes = {}
    nodes = list(module_nodes)
    for index, recipe in enumerate(tree.recipes):
        nodes.append(PlanNode((), recipe.modules))
        recipes[f"src/oracle:recipe{index}"] = PlanRecipe(
            spec=parse_text(
                f'# /// script\n# [tool.runspec]\n# schema = "1"\n# name = "oracle/{index}"\n'
                '# [tool.runspec.run]\n# launch = "direct"\n'
                f'# [tool.runspec.env]\n# DECLARED = "{recipe.declared}"\n# ///\n',
                f"src/oracle/recipe{index}.py",
            ),
            script=f"src/oracle/recipe{index}.py",
            node=len(nodes) - 1,
            fingerprints=Fingerprints(
                digest_of([tree.modules[module].digest for module in recipe.modules]),
                digest_of(["packages", recipe.packages]),
                "0" * 64,
            ),
            requirements={"numpy": f"2.{recipe.packages}"},
        )
    wanted = tree.above(goals)
    artifacts = tuple(
        PlanArtifact(
            address=address(index),
            name=name(index),
            recipe=f"src/oracle:recipe{stage.recipe}",
            config=f"stage{index}",
            chain=("src/oracle/config/base.yaml", f"src/oracle/config/stage{index}.yaml"),
            overrides=() if stage.override is None else (f"train.value={stage.override}",),
            inputs=tuple(
                PlanInput(
                    f"{name(above)}:latest",
                    f"input{above}" if stage.in_config else None,
                    address(above),
                )
                for above in stage.above
            ),
            output=".",
            external_inputs=() if stage.external is None else (f"data/{stage.external}",),
            key_ignores=("train.ignored",),
            content=stage.content,
        )
        for index, stage in enumerate(tree.stages)
        if index in wanted
    )
    return Plan(
        files=tuple((path, files[path]) for path in order),
        nodes=tuple(nodes),
        recipes=recipes,
        artifacts=artifacts,
        roots=tuple(address(index) for index in goals),
    )


class ComputingBuilder:
    """Builds in this process: what `nemo_runspec.pipeline.build.Builder` does, less the job."""

    def __init__(self, tree: Tree, store: Store, outputs: Path) -> None:
        self.store = store
        self.ran: list[int] = []
        self._tree = tree
        self._outputs = outputs

    def build(
        self, task: BuildTask, started: Callable[[Started], None], is_mine: Callable[[], bool]
    ) -> Built:
        """Compute a stage from the versions that were pinned for it."""
        index = int(task.name.removeprefix("oracle/stage"))
        self.ran.append(index)
        pinned = [each.now for each in task.decision.inputs]
        assert all(isinstance(each, Made) for each in pinned)
        texts = [Path(each.path, RESULT).read_text() for each in pinned if isinstance(each, Made)]
        folder = Path(tempfile.mkdtemp(prefix=f"stage{index}-", dir=self._outputs))
        (folder / RESULT).write_text(self._tree.result(index, texts))
        mode: Any = task.artifact.content
        parts = task.decision.parts
        assert parts is not None
        manifest = self.store.add_version(
            task.name,
            VersionDraft(
                path=str(folder),
                key=task.key,
                parts=parts.document(),
                explain=task.decision.explain,
                content=content_digest(folder, {}, mode, base=folder),
            ),
        )
        record = JobRecord(
            name=task.name,
            version=manifest.version,
            path=manifest.path,
            content=manifest.content,
            checkpoint=False,
            identity=manifest.identity,
        )
        assert is_mine()
        record_keys(self.store, task.key, [record], last=task.name)
        made = Made(task.name, task.name, manifest.version, manifest.identity, manifest.path)
        return Built(made, 0.0, 0.0)

    def gather(self, task: BuildTask, elements: object) -> Built:
        """There is no fan-out here."""
        raise AssertionError(f"{task.name}, {elements}: nothing is to be gathered")


@dataclass
class Machine:
    """A folder with a store, data and a cache, in which trees are brought up to date."""

    folder: Path
    oracle: Oracle = field(default_factory=Oracle)

    def world(self, tree: Tree, goals: Sequence[int]) -> World:
        """Return what a new process knows of a tree."""
        for index, value in enumerate(tree.externals):
            file = self.folder / "data" / str(index)
            file.parent.mkdir(exist_ok=True)
            file.write_text(str(value))
        plan_folder = self.folder / "plan"
        root = str(self.folder / "store")
        return World(
            Graph(plan_of(tree, goals, plan_folder)),
            open_store(root),
            ArtifactsSettings(root=root),
            folder=plan_folder,
            root=self.folder,
            profile={"executor": "local", "nodes": tree.user},
            environ={
                **{variable: str(value) for variable, value in tree.variables.items()},
                "USER": f"user{tree.user}",
            },
            cache=PlanCache(self.folder / "cache"),
        )

    def bring_up_to_date(
        self, tree: Tree, goals: Sequence[int], forced: Sequence[int], parallel: int
    ) -> None:
        """Plan, run, and hold both against the oracle."""
        expected = self.oracle.expected(tree, goals, forced)
        evidence = self.oracle.evidence(tree, goals)
        force = frozenset(map(address, forced))

        planned = states(make_plan(self.world(tree, goals), force=force))
        builder, summary = self._run(tree, goals, force, parallel)
        assert summary.exit_code == 0
        ran = set(builder.ran)
        assert ran == expected, f"ran {sorted(ran)}, and {sorted(expected)} had to"
        assert len(builder.ran) == len(ran), f"ran twice: {builder.ran}"
        stale, depends = planned[State.STALE], planned[State.DEPENDS]
        assert stale <= ran <= stale | depends, f"ran {sorted(ran)}, planned {planned}"

        after = make_plan(self.world(tree, goals))
        for node in after.nodes:
            index = int(node.name.removeprefix("oracle/stage"))
            why, right = evidence[index]
            assert node.state in (State.FRESH, State.GONE), f"{node.name}: {node.why}"
            assert node.path is not None
            self.oracle.made[why] = Path(node.path)
            if index in goals or index in ran:
                assert node.state is State.FRESH, f"{node.name}: {node.why}"
            if node.state is State.FRESH:
                assert Path(node.path, RESULT).read_text() == right, f"{node.name} is wrong"
        again, _ = self._run(tree, goals, frozenset(), parallel)
        assert not again.ran, f"ran again: {again.ran}"

    def _run(
        self, tree: Tree, goals: Sequence[int], force: frozenset[str], parallel: int
    ) -> tuple[ComputingBuilder, Summary]:
        world = self.world(tree, goals)
        outputs = self.folder / "outputs"
        outputs.mkdir(exist_ok=True)
        builder = ComputingBuilder(tree, world.store, outputs)
        schedule = Schedule(
            world.graph,
            world,
            builder,  # type: ignore[arg-type]
            Options(parallel=parallel, forced=force),
            Events(),
            Stop(),
        )
        return builder, schedule.run()


def states(result: PlanResult) -> Mapping[State, set[int]]:
    """Return the stages of a plan by their state."""
    found: dict[State, set[int]] = {state: set() for state in State}
    for node in result.nodes:
        found[node.state].add(int(node.name.removeprefix("oracle/stage")))
    return found


@contextmanager
def new_machine() -> Iterator[Machine]:
    """A machine whose folder is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
        yield Machine(Path(folder))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A pipeline of up to six stages, over few recipes and modules."""
    modules = [Module(draw(VALUES)) for _ in range(draw(st.integers(1, 3)))]
    recipes = []
    for _ in range(draw(st.integers(1, 3))):
        imported = draw(st.sets(st.integers(0, len(modules) - 1), min_size=1))
        recipes.append(Recipe(tuple(sorted(imported)), draw(VALUES), draw(VALUES)))
    stages: list[Stage] = []
    for index in range(draw(st.integers(1, 6))):
        above = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        stages.append(
            Stage(
                recipe=draw(st.integers(0, len(recipes) - 1)),
                above=tuple(sorted(above)),
                in_config=draw(st.booleans()),
                content=draw(st.sampled_from(["hash", "hash", "hash", "none"])),
                value=draw(VALUES),
                override=draw(st.none() | VALUES),
                variable=draw(st.none() | st.sampled_from(VARIABLES)),
                external=draw(st.none() | st.integers(0, 1)),
            )
        )
    return Tree(modules, recipes, stages, [0, 1], dict.fromkeys(VARIABLES, 0))


Edit = Callable[[Tree], None]


def setter(field_name: str, where: str) -> Callable[[st.DrawFn, Tree], None]:
    """Return an edit of one field of one of the tree's parts."""

    def edit(draw: st.DrawFn, tree: Tree) -> None:
        part = draw(st.sampled_from(getattr(tree, where)))
        setattr(part, field_name, draw(VALUES))

    return edit


def sets_variable(draw: st.DrawFn, tree: Tree) -> None:
    tree.variables[draw(st.sampled_from(VARIABLES))] = draw(VALUES)


def sets_external(draw: st.DrawFn, tree: Tree) -> None:
    tree.externals[draw(st.integers(0, 1))] = draw(VALUES)


def sets_base(draw: st.DrawFn, tree: Tree) -> None:
    tree.base = draw(VALUES)


def comments(draw: st.DrawFn, tree: Tree) -> None:
    tree.comment = draw(VALUES)


def changes_hands(draw: st.DrawFn, tree: Tree) -> None:
    tree.user = draw(VALUES)


EDITS = (
    setter("value", "modules"),
    setter("wording", "modules"),
    setter("packages", "recipes"),
    setter("declared", "recipes"),
    setter("value", "stages"),
    setter("override", "stages"),
    setter("launcher", "stages"),
    setter("ignored", "stages"),
    sets_variable,
    sets_external,
    sets_base,
    comments,
    changes_hands,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_what_has_to_run_runs_and_nothing_else(data: st.DataObject) -> None:
    tree = data.draw(trees())
    indexes = st.integers(0, len(tree.stages) - 1)
    before = [copy.deepcopy(tree)]
    with new_machine() as machine:
        for turn in range(data.draw(st.integers(2, 5), label="turns")):
            if turn:
                # Now and then the tree of an earlier turn comes back.
                if data.draw(st.integers(0, 4), label="back") == 0:
                    tree = copy.deepcopy(data.draw(st.sampled_from(before)))
                for edit in data.draw(st.lists(st.sampled_from(EDITS), max_size=2)):
                    data.draw(st.composite(edited)(edit, tree), label="edited")
                before.append(copy.deepcopy(tree))
                # In the order they were made in: their names are another each time.
                paths = [path for path in machine.oracle.made.values() if path.exists()]
                for path in data.draw(
                    st.lists(st.sampled_from(paths), max_size=2, unique=True)
                    if paths
                    else st.just([]),
                    label="deleted",
                ):
                    shutil.rmtree(path)
            goals = sorted(data.draw(st.sets(indexes, min_size=1, max_size=3), label="goals"))
            forced = sorted(
                data.draw(st.sets(st.sampled_from(goals)), label="forced")
                if data.draw(st.integers(0, 5), label="force") == 0
                else set()
            )
            machine.bring_up_to_date(tree, goals, forced, data.draw(st.integers(1, 3)))


def edited(draw: st.DrawFn, edit: Callable[[st.DrawFn, Tree], None], tree: Tree) -> Tree:
    """Make an edit with values that are drawn; return what became of the tree, to be shown."""
    edit(draw, tree)
    return copy.deepcopy(tree)
