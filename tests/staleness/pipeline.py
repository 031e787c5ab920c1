"""A pipeline of two stages and a join, as small as shows what makes a result stale.

`first` imports `helper`, which imports `deeper`; `second` reads what `first` wrote; `join` reads
it too, but no `${art:…}` in its config says so. The scripts are recipes of ours and, as they stand,
plain scripts that any build tool can start: `python first.py --config FILE`, in the folder that
holds `staleness/`, with RUNSPEC_OUTPUT_DIR naming the folder to write to. Each notes that it ran,
and what it writes is a function of all that it reads, so that a stale result shows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "staleness"
# Every stage, what is above it first.
STAGES = ("first", "second", "join")
ABOVE: Mapping[str, Sequence[str]] = {"first": (), "second": ("first",), "join": ("first",)}
RESULT = "result.txt"

INPUT = f"{PACKAGE}/data/input.txt"
LOCK = f"{PACKAGE}/staleness.lock"
# The variable that a config reads, and the one that first.py declares for itself.
READ_VARIABLE = "STALENESS_OFFSET"
DECLARED_VARIABLE = "STALENESS_DECLARED"

BLOCK = """\
# /// script
# [tool.runspec]
# schema = "1"
# name = "staleness/{stage}"{more}
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.config]
# dir = "./config/{stage}"
"""
FIRST = (
    BLOCK.format(stage="first", more="")
    + f"""\
#
# [tool.runspec.env]
# {DECLARED_VARIABLE} = "1"
# ///
import os
import sys
from pathlib import Path

import six

from staleness.helper import scaled
from staleness.settings import finish, read

config = read(sys.argv)
numbers = [int(word) for word in Path(config["input"]).read_text().split()]
declared = int(os.environ["{DECLARED_VARIABLE}"])
result = [scaled(number, int(config["scale"])) + int(config["offset"]) for number in numbers]
finish(config, "first", f"{{sum(result)}} {{declared}} {{six.__version__}}")
"""
)
SECOND = (
    BLOCK.format(stage="second", more='\n# image = "registry.example.org/staleness:1"')
    + """\
# ///
import sys
from pathlib import Path

from staleness.settings import finish, read

config = read(sys.argv)
number, _, rest = Path(config["data"]).read_text().partition(" ")
finish(config, "second", f"{int(number) * int(config['weight'])} {rest}")
"""
)
JOIN = (
    BLOCK.format(stage="join", more="")
    + """\
# ///
import sys
from pathlib import Path

from staleness.settings import finish, inputs, read

config = read(sys.argv)
texts = [Path(file).read_text() for file in inputs(["out/first/result.txt"])]
finish(config, "join", "+".join(texts))
"""
)
HELPER = """\
from staleness.deeper import BIAS

FACTOR = 3


def scaled(number, scale):
    return number * scale * FACTOR + BIAS
"""
DEEPER = "BIAS = 4\n"
# Flat YAML is read by hand, so that no stage needs a package for it. Ours hands a job its config
# composed; elsewhere `${oc.env:…}` and `${art:…}` are left to be read here.
SETTINGS = """\
import json
import os
import re
from pathlib import Path


def read(argv):
    text = Path(argv[argv.index("--config") + 1]).read_text()
    return {key: _value(value) for key, value in re.findall(r"(?m)^(\\w+): (.+?)(?: +#.*)?$", text)}


def _value(text):
    text = text.strip("'\\"")
    if found := re.fullmatch(r"\\$\\{oc\\.env:(\\w+),(\\w+)\\}", text):
        return os.environ.get(found[1], found[2])
    if found := re.fullmatch(r"\\$\\{art:(\\w+),path\\}", text):
        return f"out/{found[1]}/result.txt"
    return text


def inputs(elsewhere):
    context = os.environ.get("RUNSPEC_JOB_CONTEXT")
    if context is None:
        return elsewhere
    return [item["path"] for item in json.loads(Path(context).read_text())["input_list"]]


def finish(config, stage, result):
    folder = Path(os.environ["RUNSPEC_OUTPUT_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.txt").write_text(result)
    with open(config["ran"], "a") as file:
        file.write(f"{stage}\\n")
"""
FIRST_CONFIG = """\
# What the first stage does.
run:
  env:
    note: one
ran: {ran}
input: {input}
scale: 2
offset: ${{oc.env:STALENESS_OFFSET,0}}
"""
OTHER_CONFIG = "defaults: default\nscale: 20\n"
SECOND_CONFIG = """\
run:
  first: staleness-first:latest
ran: {ran}
data: ${{art:first,path}}
weight: 10
"""
JOIN_CONFIG = "ran: {ran}\n"

# Two small packages, of which `first` can import one; each with another version to change to.
PACKAGES = {"six": ("1.16.0", "1.17.0"), "iniconfig": ("2.0.0", "2.1.0")}
HASHES = {
    "six==1.16.0": (
        "1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e49de9c60c4c926",
        "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254",
    ),
    "six==1.17.0": (
        "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274",
        "ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81",
    ),
    "iniconfig==2.0.0": (
        "2d91e135bf72d31a410b17c16da610a82cb55f6b0477d1a902134b24a455b8b3",
        "b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374",
    ),
    "iniconfig==2.1.0": (
        "3abbd2e30b36733fee78f9c7f7308f2d0050e88f0087fd25c2645f63c773e1c7",
        "9deba5723312380e77435581c6bf4935c94cbfab9b1ed33ef8d238ea168eb760",
    ),
}


def locked(name: str, version: str) -> str:
    """Return a lockfile's entry."""
    pin = f"{name}=={version}"
    return " \\\n".join([pin, *(f"    --hash=sha256:{digest}" for digest in HASHES[pin])]) + "\n"


def files(*, ran: str, data: str) -> dict[str, str]:
    """Return the pipeline's files, by path.

    Args:
        ran: the file in which a stage that runs leaves its name.
        data: where the input is, as the configs name it.
    """
    return {
        f"{PACKAGE}/first.py": FIRST,
        f"{PACKAGE}/helper.py": HELPER,
        f"{PACKAGE}/deeper.py": DEEPER,
        f"{PACKAGE}/settings.py": SETTINGS,
        f"{PACKAGE}/second.py": SECOND,
        f"{PACKAGE}/join.py": JOIN,
        f"{PACKAGE}/config/first/default.yaml": FIRST_CONFIG.format(ran=ran, input=data),
        f"{PACKAGE}/config/first/other.yaml": OTHER_CONFIG,
        f"{PACKAGE}/config/second/default.yaml": SECOND_CONFIG.format(ran=ran),
        f"{PACKAGE}/config/join/default.yaml": JOIN_CONFIG.format(ran=ran),
        INPUT: "1 2 3\n",
        LOCK: "".join(locked(name, versions[0]) for name, versions in PACKAGES.items()),
    }


@dataclass(frozen=True)
class Tree:
    """A working tree with the pipeline in it, to edit.

    Attributes:
        root: the folder that holds `staleness/`.
        declared_in: the file, relative to it, that gives `first` the variable it declares.
        output: says where the result of a stage is.
    """

    root: Path
    declared_in: str
    output: Callable[[str], Path]
    _originals: dict[Path, str] = field(default_factory=dict)

    def change(self, path: str, old: str, new: str) -> None:
        """Replace a text that is in a file once."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path}: {old!r} is there {text.count(old)} times"
        self._originals.setdefault(file, text)
        file.write_text(text.replace(old, new), encoding="utf-8")

    def declare(self, value: int) -> None:
        """Change the variable that `first` declares."""
        found = _declaration(self.root / self.declared_in)
        self.change(self.declared_in, found[0], f"{found[1]}{value}")

    def restore(self) -> None:
        """Undo all changes of files; outputs that were touched stay so."""
        for file, text in self._originals.items():
            file.write_text(text, encoding="utf-8")
        self._originals.clear()


def write_files(root: Path, texts: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for path, text in texts.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def install_stubs(lock: Path, folder: Path) -> None:
    """Do to a folder of modules what `pip install` does: each package in the version locked."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in re.findall(r"(?m)^(\w+)==(\S+)", lock.read_text(encoding="utf-8")):
        module, text = folder / f"{name}.py", f'__version__ = "{version}"\n'
        if not module.exists() or module.read_text(encoding="utf-8") != text:
            module.write_text(text, encoding="utf-8")


def truth(tree: Tree, goal: str, variables: Mapping[str, str]) -> str:
    """Return what a stage's result is, made from scratch from the tree as it is."""
    with tempfile.TemporaryDirectory(prefix="staleness-") as name:
        folder = Path(name)
        shutil.copytree(tree.root / PACKAGE, folder / PACKAGE)
        install_stubs(folder / LOCK, folder / "site")
        for stage in (*ABOVE[goal], goal):
            config = folder / PACKAGE / "config" / stage / "default.yaml"
            text = re.sub(r"(?m)^ran: .*", "ran: ran", config.read_text(encoding="utf-8"))
            config.write_text(text, encoding="utf-8")
            env = {
                "PATH": os.environ.get("PATH", os.defpath),
                **variables,
                DECLARED_VARIABLE: _declaration(tree.root / tree.declared_in)[2],
                "RUNSPEC_OUTPUT_DIR": f"out/{stage}",
                "PYTHONPATH": os.pathsep.join([".", "site"]),
            }
            command = [sys.executable, f"{PACKAGE}/{stage}.py", "--config", str(config)]
            subprocess.run(command, cwd=folder, env=env, check=True)
        return (folder / "out" / goal / RESULT).read_text(encoding="utf-8")


def _declaration(file: Path) -> re.Match[str]:
    found = re.search(rf"({DECLARED_VARIABLE}\W+)(\d+)", file.read_text(encoding="utf-8"))
    assert found is not None, f"{file} does not declare {DECLARED_VARIABLE}"
    return found
