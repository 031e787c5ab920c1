"""What the probe of `--preflight` and `doctor` does on a node, with the job's own Python.

It is sent there as a file: standard library only, no import of ours. Called as
`probe.py --config ORDER`; ORDER is a JSON file that says what to look at and where to answer.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
import uuid
from collections.abc import Callable, Iterator

Row = tuple[str, bool, str]


def main(order_path: str) -> int:
    """Look at everything, and write what was found.

    Returns:
        0: what is wrong stands in the answer.
    """
    with open(order_path, encoding="utf-8") as file:
        order = json.load(file)
    checks: list[tuple[str, Callable[[], tuple[bool, str]]]] = [
        ("python", _python),
        ("packages", lambda: _packages(order["requirements"])),
        ("imports", lambda: _imports(order["code"], order["script"])),
        ("store", lambda: _writable(order["store"], "_probe")),
        ("output", lambda: _writable(order["output"], "")),
        ("gpus", lambda: _gpus(order["gpus"])),
    ]
    rows: list[Row] = []
    for name, check in checks:
        try:
            good, detail = check()
        except Exception as error:  # whatever it is, it is what was found
            good, detail = False, f"{type(error).__name__}: {error}"
        if detail:
            rows.append((name, good, detail))
    answer = {"host": platform.node(), "rows": rows}
    temporary = f"{order['answer']}.{uuid.uuid4().hex}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(temporary, order["answer"])
    return 0


def _python() -> tuple[bool, str]:
    return True, f"{platform.python_version()}, {sys.executable} on {platform.node()}"


def _packages(requirements: dict[str, str]) -> tuple[bool, str]:
    if not requirements:
        return True, ""
    missing, other = [], []
    for name, version in sorted(requirements.items()):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found != version:
            other.append(f"{name} {found} instead of {version}")
    detail = f"{len(requirements) - len(missing)} of {len(requirements)}"
    if missing:
        # Some are for other systems only; what the code imports counts, below.
        detail += f"; not here: {', '.join(missing)}"
    if other:
        detail += f"; {', '.join(other)}"
    return True, detail


def _imports(code: str | None, script: str | None) -> tuple[bool, str]:
    """Whether the script and what it imports of its own compiles, and what else it imports is
    found; nothing of it is run."""
    if code is None or script is None:
        return True, ""
    problems: list[str] = []
    seen = {os.path.realpath(script)}
    waiting = [script]
    outside: set[str] = set()
    while waiting:
        path = waiting.pop()
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
        for name in _imported(tree):
            own = _own_file(name)
            if own is None:
                outside.add(name.partition(".")[0])
            elif os.path.realpath(own) not in seen and _is_below(own, code):
                seen.add(os.path.realpath(own))
                waiting.append(own)
    problems += [name for name in sorted(outside) if not _is_found(name)]
    if problems:
        return False, f"cannot be imported: {', '.join(problems)}"
    return True, f"{len(seen)} files of its own, {len(outside)} packages"


def _imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a file cannot do without: imported at its top, outside of any `try`/`if`."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _own_file(name: str) -> str | None:
    """The file of a module of the job's own code, found without importing its package."""
    parts = name.split(".")
    for folder in sys.path:
        base = os.path.join(folder, *parts)
        for path in (f"{base}.py", os.path.join(base, "__init__.py")):
            if os.path.isfile(path):
                return path
    return None


def _is_below(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)


def _is_found(name: str) -> bool:
    if name in sys.builtin_module_names:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _writable(folder: str | None, below: str) -> tuple[bool, str]:
    """Whether a file can be created there that nobody else creates, and be removed."""
    if folder is None:
        return True, ""
    if re.match(r"[a-z][a-z0-9+.-]*://", folder):
        return True, f"{folder} is no folder: looked at by the launcher"
    path = os.path.join(folder, below, f"preflight-{uuid.uuid4().hex}")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(path)
    except OSError as error:
        return False, f"{folder} cannot be written: {error.strerror}"
    return True, folder


def _gpus(wanted: int | None) -> tuple[bool, str]:
    if wanted is None:
        return True, ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        entries = [entry.strip() for entry in visible.split(",")]
        seen = len([entry for entry in entries if entry not in ("", "-1", "NoDevFiles")])
    else:
        devices = os.listdir("/dev")
        seen = sum(1 for d in devices if d.startswith("nvidia") and d[6:].isdecimal())
    return seen >= wanted, f"{seen} of {wanted}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--config") + 1]))
