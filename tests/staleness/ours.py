"""The staleness suite's pipeline as targets of ours, in a clone of this repository."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.repository import Repository
from tests.staleness.pipeline import INPUT, LOCK, PACKAGE, RESULT, STAGES, Tree, files
from tests.staleness.rows import Planned, Row

BUILD = f"""\
python_sources(sources=["*.py"], resolve="staleness")

python_requirement(name="six", requirements=["six>=1.16"], resolve="staleness")

python_requirement(name="iniconfig", requirements=["iniconfig>=2"], resolve="staleness")

runspec_configs(name="configs", sources=["config/**/*.yaml"])

runspec_recipe(name="first", script="first.py", resolve="staleness")

runspec_recipe(name="second", script="second.py", resolve="staleness")

runspec_recipe(name="join", script="join.py", resolve="staleness")

artifact(
    name="first-result",
    recipe=":first",
    artifact_name="staleness-first",
    output="{RESULT}",
    external_inputs=["{INPUT}"],
)

artifact(
    name="second-result", recipe=":second", artifact_name="staleness-second", output="{RESULT}"
)

artifact(
    name="join-result",
    recipe=":join",
    artifact_name="staleness-join",
    output="{RESULT}",
    inputs=[":first-result"],
)
"""
# `other` runs the same.
ENV_TOML = """\
[artifacts]
check = "{check}"

[other]
executor = "local"
retries = 1
"""
RESOLVES = {"PANTS_PYTHON_RESOLVES": f"+{{'staleness': '{LOCK}'}}"}


def address(stage: str) -> str:
    """Return the address of the artifact that a stage makes."""
    return f"{PACKAGE}:{stage}-result"


@dataclass
class Ours:
    """The pipeline in a repository.

    Attributes:
        repository: the repository; its Pants stays warm.
    """

    repository: Repository
    _variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def ran(self) -> Path:
        """The file in which stages leave their names."""
        return self.repository.root / ".runspec" / "ran.log"

    @property
    def tree(self) -> Tree:
        """The working tree, to edit."""
        return Tree(self.repository.root, f"{PACKAGE}/first.py", self.output)

    def set_up(self) -> None:
        """Write the pipeline, and run all of it."""
        self.ran.parent.mkdir(exist_ok=True)
        data = self.repository.root / INPUT
        for path, text in files(ran=str(self.ran), data=str(data)).items():
            self.repository.write(path, text)
        self.repository.write(f"{PACKAGE}/BUILD", BUILD)
        self.check("exists")
        self._materialize([address("second"), address("join")], (), {})

    def check(self, how: str) -> None:
        """Have outputs looked at so before a version counts as fresh."""
        self.repository.write("env.toml", ENV_TOML.format(check=how))

    def output(self, stage: str) -> Path:
        """Return where the result of a stage is, for the tree and the environment as they are."""
        nodes = self.nodes([address(stage)], (), self._variables)
        (path,) = [node["path"] for node in nodes if node["address"] == address(stage)]
        assert path is not None, nodes
        return Path(path)

    def nodes(
        self, goals: Sequence[str], options: Sequence[str], variables: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return what `pants plan` says of goals and all above them."""
        text = self.repository.pants("plan", "--format=json", *options, *goals, variables=variables)
        nodes: list[dict[str, Any]] = json.loads(text)["nodes"]
        return nodes

    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        """Say what will run, without running it."""
        found: dict[str, set[str]] = {"stale": set(), "depends": set()}
        for node in self.nodes([address(row.goal)], self._options(row), variables):
            stage = node["name"].removeprefix("staleness-")
            assert stage in STAGES
            found.setdefault(node["state"], set()).add(stage)
        return Planned(frozenset(found["stale"]), frozenset(found["depends"]))

    def run(self, row: Row, variables: Mapping[str, str]) -> None:
        """Bring the row's goal up to date."""
        self._variables = variables
        self._materialize([address(row.goal)], self._options(row), variables)

    def _options(self, row: Row) -> Sequence[str]:
        return ["--profile=other"] if row.profile else []

    def _materialize(
        self, goals: Sequence[str], options: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        self.repository.pants("materialize", *options, *goals, variables=variables)
