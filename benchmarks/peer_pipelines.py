"""The staleness suite's pipeline as users of other tools write it who know their tool.

The entry script, the input, the lockfile and the output of the stage above are declared; of the
configs, the values that a stage reads, where the tool has a place for values; the variables that a
stage reads, where it has one for those. No tool is told of the modules behind the entry script: to
list those by hand, for each stage, and to keep the lists true, is what nobody does.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from peer_tools import make, peer
from scene import BenchmarkError, environment, run

from tests.staleness.pipeline import (
    ABOVE,
    DECLARED_VARIABLE,
    INPUT,
    LOCK,
    PACKAGE,
    READ_VARIABLE,
    RESULT,
    STAGES,
    Tree,
    files,
    install_stubs,
    write_files,
)
from tests.staleness.rows import Planned, Row

RAN = "ran.log"
# What a stage reads of its config.
READ = {"first": ("scale", "offset"), "second": ("weight",), "join": ()}


def script(stage: str) -> str:
    """Return the path of a stage's entry script."""
    return f"{PACKAGE}/{stage}.py"


def config(stage: str) -> str:
    """Return the path of a stage's config."""
    return f"{PACKAGE}/config/{stage}/default.yaml"


def output(stage: str) -> str:
    """Return the path of a stage's result."""
    return f"out/{stage}/{RESULT}"


def inputs(stage: str) -> list[str]:
    """Return the files that a stage depends on, less its config."""
    above = [output(name) for name in ABOVE[stage]]
    return [script(stage), LOCK, *above] if above else [script(stage), LOCK, INPUT]


def command(stage: str) -> str:
    """Return the shell command of a stage."""
    return (
        f"env PYTHONPATH=.:site RUNSPEC_OUTPUT_DIR=out/{stage} {sys.executable} "
        f"{script(stage)} --config {config(stage)}"
    )


class Peer(ABC):
    """A tool, and the pipeline in a folder.

    Attributes:
        name: what it is called, which is also the name of its lock.
        pipeline: the file that describes the pipeline to it.
    """

    name: str
    pipeline: str

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = Tree(root, self.pipeline, lambda stage: root / output(stage))

    @property
    def ran(self) -> Path:
        """The file in which stages leave their names."""
        return self.root / RAN

    def set_up(self) -> None:
        """Write the pipeline into the folder, and run all of it."""
        write_files(self.root, files(ran=RAN, data=INPUT))
        write_files(self.root, {self.pipeline: self.describe()})
        self.initialise()
        install_stubs(self.root / LOCK, self.root / "site")
        for goal in ("second", "join"):
            self.run(Row("set up", frozenset(), goal=goal), {})

    def copy(self, root: Path) -> Peer:
        """Return a copy of the pipeline as it is now, times of files too, in another folder."""
        shutil.copytree(self.root, root, symlinks=True)
        return type(self)(root)

    @abstractmethod
    def describe(self) -> str:
        """Return the text of the pipeline's file."""

    def initialise(self) -> None:  # noqa: B027  # most want nothing
        """Do what the tool wants done before the first run."""

    @abstractmethod
    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        """Say what will run, without running it."""

    @abstractmethod
    def bring(self, row: Row) -> Sequence[str]:
        """Return the command that brings the row's goal up to date."""

    def run(self, row: Row, variables: Mapping[str, str]) -> None:
        """Bring the row's goal up to date, as a user does who installs what is locked before."""
        install_stubs(self.root / LOCK, self.root / "site")
        self.call(self.bring(row), variables)

    def call(self, argv: Sequence[str], variables: Mapping[str, str]) -> str:
        """Run a command of the tool and return what it printed.

        Raises:
            BenchmarkError: if it fails.
        """
        result = subprocess.run(
            argv,
            cwd=self.root,
            env=environment(**{**QUIET, **variables}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        if result.returncode:
            raise BenchmarkError(f"{self.name}: {' '.join(argv)} failed:\n{result.stdout}")
        return result.stdout


QUIET = {"DVC_NO_ANALYTICS": "1", "NO_COLOR": "1"}


def named(pattern: str, text: str) -> Planned:
    """Return the stages that a dry run names."""
    return Planned(frozenset(re.findall(pattern, text)) & frozenset(STAGES))


class Make(Peer):
    """GNU make: files and their times."""

    name = "make"
    pipeline = "Makefile"

    def describe(self) -> str:
        rules = [f"export {DECLARED_VARIABLE} = 1"]
        rules += [
            f"{output(stage)}: {' '.join([*inputs(stage), config(stage)])}\n\t{command(stage)}"
            for stage in STAGES
        ]
        return "\n\n".join(rules) + "\n"

    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        text = self.call([make(), "--dry-run", output(row.goal)], variables)
        return named(r"RUNSPEC_OUTPUT_DIR=out/(\w+)", text)

    def bring(self, row: Row) -> Sequence[str]:
        return [make(), *(["--jobs=2"] if row.profile else []), output(row.goal)]


class Doit(Peer):
    """doit: digests of files, and values by `config_changed`."""

    name = "doit"
    pipeline = "dodo.py"

    def describe(self) -> str:
        tasks = [
            {
                "name": stage,
                "command": command(stage),
                "files": inputs(stage),
                "config": config(stage),
                "keys": READ[stage],
                "variables": {READ_VARIABLE: "0"} if stage == "first" else {},
                "target": output(stage),
            }
            for stage in STAGES
        ]
        return f"""\
import os
from pathlib import Path

from doit.tools import config_changed

{DECLARED_VARIABLE} = 1
os.environ["{DECLARED_VARIABLE}"] = str({DECLARED_VARIABLE})


def settings(path, keys):
    lines = [line.partition("#")[0].strip() for line in Path(path).read_text().split("\\n")]
    pairs = [line.partition(": ") for line in lines]
    return {{key: value for key, _, value in pairs if key in keys}}


def declaration(task):
    values = settings(task["config"], task["keys"])
    for name, default in task["variables"].items():
        values[name] = os.environ.get(name, default)
    if task["name"] == "first":
        values["declared"] = str({DECLARED_VARIABLE})
    return {{
        "actions": [task["command"]],
        "file_dep": task["files"],
        "targets": [task["target"]],
        "uptodate": [config_changed(values)],
    }}


TASKS = {json.dumps(tasks, indent=4)}


def task_first():
    return declaration(TASKS[0])


def task_second():
    return declaration(TASKS[1])


def task_join():
    return declaration(TASKS[2])
"""

    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        text = self.call([self._program(), "list", "--status"], variables)
        wanted = {row.goal, *ABOVE[row.goal]}
        return Planned(named(r"(?m)^R (\w+)", text).stale & wanted)

    def bring(self, row: Row) -> Sequence[str]:
        return [self._program(), "run", *(["-n", "2"] if row.profile else []), row.goal]

    def _program(self) -> str:
        return str(peer(self.name) / "doit")


class Snakemake(Peer):
    """Snakemake: times of files, digests of small ones, parameters, code of the rule."""

    name = "snakemake"
    pipeline = "Snakefile"

    def describe(self) -> str:
        rules = []
        for stage in STAGES:
            variables = (
                f'        offset=os.environ.get("{READ_VARIABLE}", "0"),\n'
                f"        declared={DECLARED_VARIABLE},\n"
                if stage == "first"
                else ""
            )
            declared = f"env {DECLARED_VARIABLE}={{params.declared}} " if stage == "first" else ""
            rules.append(
                f"rule {stage}:\n"
                f"    input: {', '.join(map(repr, inputs(stage)))}\n"
                f"    output: {output(stage)!r}\n"
                "    params:\n"
                f"        settings=settings({config(stage)!r}, {READ[stage]!r}),\n"
                f"{variables}"
                f"    shell: {declared + command(stage)!r}\n"
            )
        head = f"""\
import os

import yaml

{DECLARED_VARIABLE} = 1


def settings(path, keys):
    with open(path) as file:
        values = yaml.safe_load(file)
    return {{key: values[key] for key in keys}}
"""
        return "\n\n".join([head, *rules])

    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        text = self.call([*self._program(), "--dry-run", output(row.goal)], variables)
        return named(r"(?m)^(?:local)?rule (\w+):", text)

    def bring(self, row: Row) -> Sequence[str]:
        return [*self._program(), "--cores", "2" if row.profile else "1", output(row.goal)]

    def _program(self) -> list[str]:
        return [str(peer(self.name) / "snakemake")]


class Redun(Peer):
    """redun: arguments of tasks and the text of their functions; files by size and time.

    (Its `ContentFile` raises an exception where a result was deleted.)
    """

    name = "redun"
    pipeline = "workflow.py"

    def describe(self) -> str:
        head = f"""\
import os
import subprocess

import yaml
from redun import File, task

redun_namespace = "staleness"

{DECLARED_VARIABLE} = 1


def settings(path, keys):
    with open(path) as file:
        values = yaml.safe_load(file)
    return {{key: values[key] for key in keys}}


def started(command, settings):
    env = {{**os.environ, "{DECLARED_VARIABLE}": str(settings.get("declared"))}}
    subprocess.run(command, shell=True, check=True, env=env)


GIVEN = {{}}


def of(stages):
    return {{stage: GIVEN[stage] for stage in stages}}
"""
        tasks = []
        for stage in STAGES:
            values = f"settings({config(stage)!r}, {READ[stage]!r})"
            if stage == "first":
                values = (
                    f'{{**{values}, "offset": os.environ.get("{READ_VARIABLE}", "0"), '
                    f'"declared": {DECLARED_VARIABLE}}}'
                )
            above = ", ".join(f"bring_{name}(given)" for name in ABOVE[stage])
            own = inputs(stage)[: len(inputs(stage)) - len(ABOVE[stage])]
            tasks.append(
                "@task()\n"
                f"def {stage}(files, settings, above):\n"
                f"    started({command(stage)!r}, settings)\n"
                f"    return File({output(stage)!r})\n\n\n"
                f"def bring_{stage}(given):\n"
                f"    return {stage}(*given[{stage!r}], [{above}])\n\n\n"
                f"GIVEN[{stage!r}] = [\n"
                f"    [{', '.join(f'File({path!r})' for path in own)}],\n"
                f"    {values},\n"
                "]\n\n\n"
                # What is read is an argument of the task that is asked for, as redun wants it: the
                # task itself comes from the cache, which a dry run needs to see beyond it.
                "@task()\n"
                f"def goal_{stage}(given=of({(*ABOVE[stage], stage)!r})):\n"
                f"    return bring_{stage}(given)\n"
            )
        return "\n\n".join([head, *tasks])

    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        argv = [self._program(), "run", "--dryrun", self.pipeline, f"goal_{row.goal}"]
        result = subprocess.run(
            argv,
            cwd=self.root,
            env=environment(**{**QUIET, **variables}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
        )
        text = result.stdout + result.stderr
        stale = named(r"Dryrun Job \w+: +staleness\.(\w+)\(", text).stale
        if result.returncode == 0:
            return Planned(stale)
        if "Additional jobs would run" not in text:
            raise BenchmarkError(f"{self.name}: {' '.join(argv)} failed:\n{text}")
        # It sees no further than the first task that is not in its cache.
        return Planned(stale, frozenset({row.goal, *ABOVE[row.goal]}))

    def bring(self, row: Row) -> Sequence[str]:
        return [self._program(), "run", self.pipeline, f"goal_{row.goal}"]

    def _program(self) -> str:
        return str(peer(self.name) / "redun")


class Dvc(Peer):
    """DVC: digests of files, values of parameter files, the text of the command."""

    name = "dvc"
    pipeline = "dvc.yaml"

    def describe(self) -> str:
        stages = {}
        for stage in STAGES:
            declared = f"env {DECLARED_VARIABLE}=1 " if stage == "first" else ""
            stages[stage] = {
                "cmd": declared + command(stage),
                "deps": inputs(stage),
                **({"params": [{config(stage): list(READ[stage])}]} if READ[stage] else {}),
                "outs": [output(stage)],
            }
        return json.dumps({"stages": stages}, indent=2) + "\n"

    def initialise(self) -> None:
        # The shortest way there is; with git it does the same, and commits nothing by itself.
        run([self._program(), "init", "--no-scm", "--quiet"], self.root, environment(**QUIET))

    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        try:
            text = self.call([self._program(), "repro", "--dry", row.goal], variables)
        except BenchmarkError as error:
            if "No such file or directory" in str(error):  # it looks for what it has not made
                return Planned(frozenset(), failed=True)
            raise
        # It says of every stage that changed that it is cached and then that it runs.
        return named(r"Running stage '(\w+)'", text)

    def bring(self, row: Row) -> Sequence[str]:
        return [self._program(), "repro", row.goal]

    def _program(self) -> str:
        return str(peer(self.name) / "dvc")


PEERS: tuple[type[Peer], ...] = (Dvc, Snakemake, Redun, Doit, Make)
