"""A repository with recipes and artifact targets, planned and bundled as the build side does it.

The bundles are real, and so are the processes that run them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_runspec.store import Manifest, Store, open_store
from runspec import Bundle, Fingerprints, parse, to_json
from runspec import plan as plans
from runspec.plan import Plan, PlanArtifact, PlanInput, PlanNode, PlanRecipe
from tests.nemo_runspec.executor_contract import PATIENCE_SECONDS

MAIN = "import sys; from nemo_runspec.cli import main; sys.exit(main())"

BLOCK = """\
# /// script
# [tool.runspec]
# schema = "1"
# name = "{name}"
# [tool.runspec.run]
# launch = "direct"
# [tool.runspec.config]
# dir = "./config/{name}"
# ///
"""

# Writes what the config says below the output folder, and says that it ran.
PLAIN = """
import json, os, sys
from pathlib import Path
text = Path(sys.argv[2]).read_text()
out = Path(os.environ["RUNSPEC_OUTPUT_DIR"])
with open(os.environ["RAN"], "a") as ran:
    ran.write(NAME + "\\n")
(out / "data.txt").write_text(VALUE)
"""

LIBRARY = """
import sys
sys.path[:0] = PATHS
import os
from pathlib import Path
from omegaconf import OmegaConf
from nemo_runspec.artifacts import Artifact, log_artifact, setup_artifact_tracking
config = OmegaConf.load(sys.argv[2])
tracking = setup_artifact_tracking(config)
config = OmegaConf.to_container(config, resolve=True)
out = Path(os.environ["RUNSPEC_OUTPUT_DIR"])
with open(os.environ["RAN"], "a") as ran:
    ran.write(NAME + "\\n")
"""


@dataclass
class Workshop:
    """Recipes and artifacts in a folder, and the command that brings them up to date."""

    folder: Path
    recipes: dict[str, PlanRecipe] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, PlanArtifact] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    roots: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self.repository = self.folder / "repository"
        (self.repository / ".git").mkdir(parents=True)
        self.ran_file = self.folder / "ran"
        self.ran_file.touch()

    @property
    def store(self) -> Store:
        return open_store(str(self.repository / ".runspec" / "artifacts"))

    @property
    def plan_folder(self) -> Path:
        return self.folder / "plan"

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"

    def recipe(self, name: str, script: str, *, library: bool = False, **constants: Any) -> str:
        """A recipe whose script has NAME and `constants` as names."""
        address = f"src/demo:{name}"
        folder = self.bundles / name
        shutil.rmtree(folder, ignore_errors=True)
        path = folder / "code" / "src" / "demo" / f"{name}.py"
        path.parent.mkdir(parents=True)
        known = {"NAME": name, "PATHS": [p for p in sys.path if p], **constants}
        lines = "".join(f"{key} = {value!r}\n" for key, value in known.items())
        text = BLOCK.format(name=name) + lines + textwrap.dedent(script)
        path.write_text(text)
        code = hashlib.sha256(text.encode()).hexdigest()
        files = {f"src/demo/{name}.py": code}
        if library:
            files["src/nemo_runspec/config/resolvers.py"] = "e" * 64
        prints = Fingerprints(code, "b" * 64, "c" * 64)
        spec = parse(path)
        bundle = Bundle(
            recipe=address,
            spec=spec,
            script=f"code/src/demo/{name}.py",
            source_roots=("code/src",),
            fingerprints=prints,
            files=files,
            digest=hashlib.sha256((code + name).encode()).hexdigest(),
            interpreter_constraints=("CPython>=3.9",),
        )
        (folder / "bundle.json").write_text(to_json(bundle))
        self.files.update(files)
        self.recipes[address] = PlanRecipe(
            spec=spec,
            script=f"src/demo/{name}.py",
            node=0,
            fingerprints=prints,
            interpreter_constraints=("CPython>=3.9",),
        )
        return address

    def plain(self, name: str, *, value: str = "1", more: str = "", **target: Any) -> str:
        """An artifact that a script makes which knows nothing of the library."""
        script = PLAIN + textwrap.dedent(more)
        return self.artifact(name, self.recipe(name, script, VALUE=value), output=".", **target)

    def library(self, name: str, more: str, **target: Any) -> str:
        """An artifact that a script logs itself."""
        script = LIBRARY + textwrap.dedent(more)
        return self.artifact(name, self.recipe(name, script, library=True), **target)

    def artifact(
        self,
        name: str,
        recipe: str,
        *,
        config: str | None = None,
        inputs: Mapping[str, str] | Sequence[str] = (),
        **fields: Any,
    ) -> str:
        """An `artifact` target; `inputs` are names of others, by `run` key if a mapping."""
        address = f"src/demo:{name}.artifact"
        keyed: Any = inputs.items() if isinstance(inputs, Mapping) else [(None, n) for n in inputs]
        resolved = tuple(
            PlanInput(f"{each}:latest", key, f"src/demo:{each}.artifact") for key, each in keyed
        )
        named = {key: f"{each}:latest" for key, each in keyed if key}
        text = config or ""
        if named and "run:" not in text:
            text += "".join(["run:\n", *(f"  {key}: {ref}\n" for key, ref in named.items())])
        stem = recipe.rpartition(":")[2]
        path = f"src/demo/config/{stem}/default.yaml"
        self.configs[path] = text or "{}\n"
        for root in (self.plan_folder / "configs", self.bundles / stem / "code"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(self.configs[path])
        self.artifacts[address] = PlanArtifact(
            address=address, name=name, recipe=recipe, chain=(path,), inputs=resolved, **fields
        )
        return address

    def plan(self) -> Plan:
        files = tuple(self.files.items())
        roots = self.roots if self.roots is not None else tuple(self.artifacts)
        nodes = (PlanNode(tuple(range(len(files))), ()),)
        return Plan(files, nodes, self.recipes, tuple(self.artifacts.values()), roots)

    def write(self) -> list[str]:
        """Writes plan and index; returns the arguments that name them."""
        self.plan_folder.mkdir(exist_ok=True)
        (self.plan_folder / "plan.json").write_text(plans.to_json(self.plan()))
        index = {
            address: {"folder": address.rpartition(":")[2], "python": None}
            for address in self.recipes
        }
        (self.bundles / "index.json").write_text(json.dumps(index))
        return ["materialize", str(self.plan_folder), "--bundles", str(self.bundles)]

    def start(self, *options: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return self.command(*self.write(), *options, env=env)

    def command(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """The command line as a process of its own, in the repository."""
        own = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "RAN": str(self.ran_file),
            "RUNSPEC_PYTHON": sys.executable,
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments],
            cwd=self.repository,
            env={**os.environ, **own, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def materialize(
        self, *options: str, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Exit code, output and errors of `nemo-runspec materialize`."""
        return finish(self.start(*options, env=env))

    def ran(self) -> list[str]:
        """What ran since the last call, in order."""
        names = self.ran_file.read_text().split()
        self.ran_file.write_text("")
        return names

    def manifest(self, name: str, version: int | None = None) -> Manifest:
        number = version or self.store.latest(name)
        assert number is not None
        return self.store.manifest(name, number)

    def jobs(self) -> list[Path]:
        root = self.repository / ".runspec" / "jobs"
        return sorted(p for p in root.glob("2*")) if root.exists() else []

    def pipelines(self) -> list[Path]:
        return sorted((self.repository / ".runspec" / "jobs" / "_pipelines").glob("2*"))

    def events(self) -> list[dict[str, Any]]:
        """Of the newest pipeline."""
        text = (self.pipelines()[-1] / "events.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


def finish(
    process: subprocess.Popen[str], patience: float = PATIENCE_SECONDS
) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=patience)
    return process.returncode, out, err


def without_times(text: str) -> str:
    """Output without what differs from run to run."""
    text = re.sub(r"\b\d+(\.\d+)? s\b", "N s", text)
    return re.sub(r"log: \S+", "log: LOG", text)
