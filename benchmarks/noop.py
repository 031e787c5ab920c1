"""The no-op: everything is up to date, and a tool finds that out.

Each tool has the same graph: chains of ten stages, each of which copies what the one before it
made. For the peers it stands in a file of theirs; all is up to date in their own books before
anything is measured.
"""

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import Figure, alternate
from peer_tools import our_python, peer
from scene import REPOSITORY, BenchmarkError, environment, run

SIZES = (100, 1_000)
# As in plan_scene.py.
CHAIN = 10
# dvc and redun take ten seconds and more for a thousand stages.
MOST_ROUNDS = 3
QUIET = {"DVC_NO_ANALYTICS": "1", "NO_COLOR": "1"}


def stages(count: int) -> Iterator[tuple[str, str, str]]:
    """Yield so many stages: name, the file it reads and the file it writes."""
    for number in range(count):
        chain, position = divmod(number, CHAIN)
        above = f"out/{chain}-{position - 1}" if position else f"data/{chain}"
        yield f"s{chain}-{position}", above, f"out/{chain}-{position}"


class Peer(ABC):
    """A tool with a pipeline of so many stages in a folder, all of it up to date.

    Attributes:
        name: what it is called, which is also the name of its lock.
        nothing: what it prints when there is nothing to do.
    """

    name: str
    nothing = ""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        (root / "data").mkdir(parents=True)
        (root / "out").mkdir()
        for chain in range(-(-count // CHAIN)):
            (root / "data" / str(chain)).write_text(f"{chain}\n")
        self.set_up(count)
        self.noop()

    @abstractmethod
    def set_up(self, count: int) -> None:
        """Write the pipeline and bring it up to date."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command that brings everything up to date."""

    def noop(self) -> float:
        """Run it; return its seconds.

        Raises:
            BenchmarkError: if something ran.
        """
        before = self._times()
        seconds = self.call(*self.command())
        if self._times() != before:
            raise BenchmarkError(f"{self.name}: ran what was up to date")
        return seconds

    def call(self, *arguments: str) -> float:
        """Run the tool, and return its seconds."""
        argv = [str(peer(self.name) / self.name), *arguments]
        return run(argv, self.root, environment(**QUIET)).wall

    def make_outputs(self, count: int) -> None:
        """Make what a first run makes, for a tool that takes that over."""
        for _, above, output in stages(count):
            (self.root / output).write_bytes((self.root / above).read_bytes())

    def _times(self) -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in (self.root / "out").iterdir()}


class Dvc(Peer):
    """`dvc repro`."""

    name = "dvc"

    def set_up(self, count: int) -> None:
        self.call("init", "--no-scm", "--quiet")
        table = {
            name: {"cmd": f"cp {above} {output}", "deps": [above], "outs": [output]}
            for name, above, output in stages(count)
        }
        (self.root / "dvc.yaml").write_text(json.dumps({"stages": table}))
        self.make_outputs(count)
        self.call("commit", "--force", "--quiet")

    def command(self) -> Sequence[str]:
        return ["repro", "--quiet"]


class Snakemake(Peer):
    """`snakemake`."""

    name = "snakemake"

    def set_up(self, count: int) -> None:
        rules = [
            f"rule {name.replace('-', '_')}:\n"
            f"    input: {above!r}\n    output: {output!r}\n    shell: 'cp {{input}} {{output}}'\n"
            for name, above, output in stages(count)
        ]
        last = [
            output
            for number, (_, _, output) in enumerate(stages(count), start=1)
            if number % CHAIN == 0 or number == count
        ]
        head = f"rule all:\n    input: {last!r}\n"
        (self.root / "Snakefile").write_text("\n\n".join([head, *rules]))
        self.make_outputs(count)
        self.call("--cores", "1", "--touch", "--quiet", "all")

    def command(self) -> Sequence[str]:
        return ["--cores", "1"]


class Redun(Peer):
    """`redun run`; its tasks are functions of its own process."""

    name = "redun"

    def set_up(self, count: int) -> None:
        (self.root / "workflow.py").write_text(f"""\
import shutil

from redun import File, task

redun_namespace = "noop"


@task()
def copied(file, output):
    shutil.copy(file.path, output)
    return File(output)


@task()
def main(inputs=[File(f"data/{{chain}}") for chain in range({-(-count // CHAIN)})]):
    made = []
    for chain, file in enumerate(inputs):
        for position in range(min({CHAIN}, {count} - {CHAIN} * chain)):
            file = copied(file, f"out/{{chain}}-{{position}}")
        made.append(file)
    return made
""")
        self.call(*self.command())

    def command(self) -> Sequence[str]:
        return ["run", "workflow.py", "main"]


class Doit(Peer):
    """`doit`."""

    name = "doit"

    def set_up(self, count: int) -> None:
        tasks = [
            {
                "basename": name,
                "actions": [f"cp {above} {output}"],
                "file_dep": [above],
                "targets": [output],
            }
            for name, above, output in stages(count)
        ]
        text = f"def task_all():\n    yield from {tasks!r}\n"
        (self.root / "dodo.py").write_text(text)
        self.call("run")

    def command(self) -> Sequence[str]:
        return ["run"]


PEERS: tuple[type[Peer], ...] = (Dvc, Snakemake, Redun, Doit)


class OurPlan:
    """`nemo-runspec plan` over a plan as `pants plan` makes it, and a store that has it all.

    Args:
        root: an empty folder's path.
        count: how many artifacts.
    """

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        root.mkdir(parents=True)
        (root / "BUILDROOT").touch()
        run(
            [our_python(), str(REPOSITORY / "benchmarks/plan_scene.py"), str(root), str(count)],
            root,
            self._environment(),
        )
        self.noop()

    def noop(self) -> float:
        """Run it; return its seconds.

        Raises:
            BenchmarkError: if anything is stale.
        """
        argv = [our_python(), "-m", "nemo_runspec", "plan", "plan", "--format=json"]
        process = run(argv, self.root, self._environment())
        if not json.loads(process.output)["is_fresh"]:
            raise BenchmarkError(f"nemo-runspec plan: something is stale\n{process.output}")
        return process.wall

    def _environment(self) -> dict[str, str]:
        # A cache of its own: what other runs composed is not there.
        cache = str(self.root / "cache")
        return environment(PYTHONPATH=str(REPOSITORY / "src"), XDG_CACHE_HOME=cache)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="noop-") as name:
        yield Path(name).resolve()


def noop_figures(rounds: int) -> list[Figure]:
    """Return the figures of the no-op at each size, a peer each."""
    found = []
    for size in SIZES:
        with ExitStack() as stack:
            root = stack.enter_context(folder())
            contenders = {kind.name: kind(root / kind.name, size).noop for kind in PEERS}
            ours = OurPlan(root / "ours", size)
            seconds = alternate({"ours": ours.noop, **contenders}, min(rounds, MOST_ROUNDS))
        found += [
            Figure(
                f"no-op, {size:,} artifacts, {kind.name}",
                "nemo-runspec plan",
                (kind.__doc__ or "").rstrip("."),
                seconds["ours"],
                seconds[kind.name],
            )
            for kind in PEERS
        ]
    return found
