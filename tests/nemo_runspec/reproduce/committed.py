"""A git repository whose commits hold recipes, their bundles, and a `pants` that takes them.

That `pants` plans and bundles nothing: both stand in the commit. What it then does with them is
what the real one does: the real command line, on the files of the worktree that it was called in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runspec import source_digest
from runspec.plan import Plan
from tests.nemo_runspec.executor_contract import PATIENCE_SECONDS
from tests.nemo_runspec.pipeline.workshop import MAIN, Workshop, finish

PANTS = """\
#!/bin/sh
exec "$TEST_PYTHON" "$(dirname "$0")/fake_pants.py" "$@"
"""

FAKE_PANTS = """\
import os
import sys
from pathlib import Path

from nemo_runspec.cli import main
from nemo_runspec.pipeline.setting import restrict
from runspec.plan import read_plan, to_json

tree = Path(__file__).parent
os.chdir(tree)
arguments = [each for each in sys.argv[1:] if each != "--no-pantsd"]
goal, *options, address = arguments
plan = restrict(read_plan(tree / "plan"), [address])
(tree / "plan" / "plan.json").write_text(to_json(plan))
bundles = ["--bundles", str(tree / "bundles")] if goal == "materialize" else []
sys.exit(main([goal, str(tree / "plan"), *bundles, *options]))
"""


class Committed(Workshop):
    """A workshop whose plan and bundles lie in its repository, which is a real one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.git("init", "--quiet")
        (self.repository / ".gitignore").write_text(".runspec/\n__pycache__/\n")
        pants = self.repository / "pants"
        pants.write_text(PANTS)
        pants.chmod(0o755)
        (self.repository / "fake_pants.py").write_text(FAKE_PANTS)
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()

    @property
    def plan_folder(self) -> Path:
        return self.repository / "plan"

    @property
    def bundles(self) -> Path:
        return self.repository / "bundles"

    def recipe(self, name: str, script: str, *, library: bool = False, **constants: Any) -> str:
        address = super().recipe(name, script, library=library, **constants)
        source = Path("src") / "demo" / f"{name}.py"
        text = (self.bundles / name / "code" / source).read_text()
        (self.repository / source).parent.mkdir(parents=True, exist_ok=True)
        (self.repository / source).write_text(text)
        return address

    def plan(self) -> Plan:
        plan = super().plan()
        files = tuple(
            (path, source_digest(path, (self.repository / path).read_bytes()))
            for path, _ in plan.files
            if (self.repository / path).exists()
        )
        nodes = (replace(plan.nodes[0], files=tuple(range(len(files)))),)
        return replace(plan, files=files, nodes=nodes)

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
        done = subprocess.run(
            ["git", *who, *arguments],
            cwd=self.repository,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self) -> str:
        """Writes the plan and commits all there is; returns the commit."""
        self.write()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "all there is")
        return self.git("rev-parse", "HEAD")

    def environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
            "RAN": str(self.ran_file),
            "RUNSPEC_PYTHON": sys.executable,
            "TEST_PYTHON": sys.executable,
            "TMPDIR": str(self.temporary),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """The command line as a process of its own, in the repository."""
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments],
            cwd=self.repository,
            env={**os.environ, **self.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command line."""
        return finish(self.begin(*arguments), PATIENCE_SECONDS)

    def made(self, *options: str) -> None:
        """Brings everything up to date."""
        code, _, err = finish(self.start(*options, env=self.environment()))
        assert code == 0, err

    def stored(self) -> Mapping[str, bytes]:
        """All files of the store and of what was built, by path."""
        top = self.repository / ".runspec"
        files = [*(top / "artifacts").rglob("*"), *(top / "outputs").rglob("*")]
        return {str(path.relative_to(top)): path.read_bytes() for path in files if path.is_file()}

    def left_over(self) -> list[str]:
        """What `reproduce --run` left where it should leave nothing."""
        worktrees = self.git("worktree", "list", "--porcelain").count("worktree ") - 1
        ours = [path.name for path in self.temporary.glob("nemo-runspec-reproduce-*")]
        return ours + ["a worktree"] * worktrees
