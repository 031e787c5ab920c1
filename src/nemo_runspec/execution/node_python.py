"""The Python of a job on the node that it runs on; and this file is what finds that out there.

A copy of this file lies beside `job.sh` and is run by an interpreter of the node, on which there
may be nothing but that: standard library only, no import of ours, any Python from 3.8 on. It
prints shell assignments for `job.sh` to evaluate. The launcher imports it for jobs that run beside
it, so that there is one rule for both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Where PEX unpacks on a node: a folder of the node's own, for hundreds of small files that each
# process reads.
ROOT_VARIABLE = "RUNSPEC_PEX_ROOT"
_LOCAL_FOLDERS = ("SLURM_TMPDIR", "TMPDIR")

_PEX_PROBE = "import json, sys; print(json.dumps([sys.executable, sys.path]))"
# Without the working directory, in which a checkout may lie that is installed nowhere.
_VERSIONS_PROBE = """\
import json, sys
sys.path[:] = [entry for entry in sys.path if entry]
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in json.loads(sys.argv[1]):
    try:
        found[name] = str(version(name))
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class NodeError(Exception):
    """The job's Python cannot be had here; the message is for people."""


class Opened(NamedTuple):
    """What is in a PEX.

    Args:
        executable: the interpreter: that of a virtual environment, or the one that was given.
        packages: folders of the distributions that it does not have by itself, each named as its
            wheel, in order.
    """

    executable: str
    packages: tuple[str, ...]


def open_pex(interpreter: str, pex: str, environ: Mapping[str, str]) -> Opened:
    """Unpacks a PEX into PEX's cache, if it is not there yet.

    Args:
        interpreter: one that the PEX is made for.
        pex: the PEX. In venv mode it becomes a virtual environment.
        environ: the environment to unpack it in; `PEX_ROOT` in it says where.

    Raises:
        NodeError: PEX refuses, for example an interpreter that it is not made for.
    """
    opened = subprocess.run(
        [interpreter, pex, "-c", _PEX_PROBE],
        env={**environ, "PEX_INTERPRETER": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if opened.returncode:
        said = os.fsdecode(opened.stderr).strip().rpartition("\n")[2]
        why = said or f"exit code {opened.returncode}"
        raise NodeError(f"{pex}: cannot be opened with {interpreter}: {why}")
    executable, path = json.loads(opened.stdout)
    return Opened(executable, tuple(entry for entry in path if entry.endswith(".whl")))


def not_shadowing(
    interpreter: str, packages: Sequence[str], environ: Mapping[str, str]
) -> tuple[tuple[str, ...], str | None]:
    """Those of `packages` whose distributions an interpreter does not have by itself.

    An image's own packages were made to fit each other and its machine: none of a bundle's may come
    before one of them.

    Args:
        interpreter: the image's.
        packages: folders named as wheels.
        environ: the environment that it looks for its own packages in.

    Returns:
        The folders to add, and a sentence on those left out whose version is another; None when
        there are none.

    Raises:
        NodeError: the interpreter does not say what it has.
    """
    if not packages:
        return (), None
    bundled = {folder: _distribution(folder) for folder in packages}
    names = sorted({name for name, _ in bundled.values()})
    asked = subprocess.run(
        [interpreter, "-c", _VERSIONS_PROBE, json.dumps(names)],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if asked.returncode:
        said = os.fsdecode(asked.stderr).strip().rpartition("\n")[2]
        raise NodeError(f"{interpreter} does not say which packages it has: {said}")
    own = json.loads(asked.stdout)
    others = sorted(
        f"{name} {own[name]}, not {version}"
        for name, version in bundled.values()
        if own.get(name, version) != version
    )
    note = "the image's own packages are used: {}".format("; ".join(others)) if others else None
    return tuple(folder for folder, (name, _) in bundled.items() if name not in own), note


def _distribution(folder: str) -> tuple[str, str]:
    """The normalised name and the version of the wheel that a folder is named as (PEP 427)."""
    name, version = os.path.basename(folder).split("-")[:2]
    return re.sub(r"[-_.]+", "-", name).lower(), version


def count_gpus(environ: Mapping[str, str] | None = None) -> int:
    """The NVIDIA GPUs that a process of this machine sees with this environment."""
    visible = (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA stops at the first invalid entry; -1 is the usual way to say none.
        entries = [entry.strip() for entry in visible.split(",")]
        valid = [entry not in ("", "-1", "NoDevFiles") for entry in entries]
        return valid.index(False) if False in valid else len(valid)
    try:
        devices = os.listdir("/dev")
    except OSError:
        return 0
    return sum(1 for name in devices if name.startswith("nvidia") and name[6:].isdecimal())


def _node_root(environ: Mapping[str, str]) -> str:
    """The folder of this node to unpack in; ours alone, for what runs comes from it."""
    chosen = environ.get(ROOT_VARIABLE)
    if chosen:
        os.makedirs(chosen, exist_ok=True)
        return chosen
    base = next((environ[name] for name in _LOCAL_FOLDERS if environ.get(name)), "/tmp")
    root = os.path.join(base, f"nemo-runspec-{os.getuid()}")
    try:
        os.mkdir(root, 0o700)
    except FileExistsError:
        found = os.lstat(root)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise NodeError(
                f"{root} belongs to somebody else; set {ROOT_VARIABLE} to a folder of this node"
            ) from None
    return root


def _write_shims(root: str, interpreter: str) -> str:
    """A folder in which `python` and `python3` are this interpreter; processes may share it."""
    digest = hashlib.sha256(os.fsencode(interpreter)).hexdigest()[:16]
    folder = os.path.join(root, "python", digest)
    os.makedirs(folder, exist_ok=True)
    text = f'#!/bin/sh\nexec {shlex.quote(interpreter)} "$@"\n'
    for name in ("python", "python3"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            continue
        temporary = f"{path}.{os.getpid()}.tmp"
        with open(temporary, "wb") as file:
            file.write(os.fsencode(text))
        os.chmod(temporary, 0o755)
        os.replace(temporary, path)
    return folder


def _assignments(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    """What `job.sh` evaluates."""
    root = _node_root(environ)
    opened = Opened(options.interpreter, ())
    if options.pex is not None:
        hermetic = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
        opened = open_pex(options.interpreter, options.pex, {**hermetic, "PEX_ROOT": root})
    packages = opened.packages
    if options.image:
        packages, note = not_shadowing(options.interpreter, packages, environ)
        if note is not None:
            print(f"note: {note}", file=sys.stderr)
    # Where an image has packages on PYTHONPATH, they come before the bundle's too.
    own = [environ.get("PYTHONPATH", "")] if options.image and not options.after else []
    path = [*options.before, *own, *packages, *options.after]
    # An image's `python` may be a script that sets something up before the interpreter.
    shims = _write_shims(root, options.interpreter if options.image else opened.executable)
    search = os.pathsep.join([shims, environ.get("PATH", os.defpath)])
    lines = [
        f"export PATH={shlex.quote(search)}",
        f"export PYTHONPATH={shlex.quote(os.pathsep.join(filter(None, path)))}",
    ]
    if options.gpus is not None:
        found = count_gpus(environ)
        wanted = found if options.gpus == "gpu" else min(found, int(options.gpus))
        lines.append(f"RUNSPEC_PROCESSES={max(1, wanted)}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Prints the assignments; 2 and one line on standard error when there is no Python."""
    parser = argparse.ArgumentParser(prog="node_python.py")
    parser.add_argument("--interpreter", required=True, help="the interpreter of the job")
    parser.add_argument("--pex", help="the bundle's PEX")
    parser.add_argument("--image", action="store_true", help="what the interpreter has counts")
    parser.add_argument("--before", action="append", default=[], help="of PYTHONPATH, in order")
    parser.add_argument("--after", action="append", default=[], help="of PYTHONPATH, in order")
    parser.add_argument("--gpus", help="how many GPUs to use at most, or 'gpu' for all")
    try:
        lines = _assignments(parser.parse_args(arguments), os.environ)
    except (NodeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sys.stdout.buffer.write(os.fsencode("".join(line + "\n" for line in lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
