"""A small job bundle made by hand, as the backend would make it."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runspec import Bundle, Fingerprints, parse, to_json

SCRIPT = """\
# /// script
# [tool.runspec]
# schema = "1"
# name = "demo/train"
# [tool.runspec.run]
# launch = "{launch}"
{more}# ///
import json, os, sys

print(json.dumps({{"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd()}}))
sys.exit(int(os.environ.get("EXIT", "0")))
"""

CONFIGS = {"default": "train: {lr: 0.1}\n", "tiny": "defaults: default\ntrain: {lr: 0.2}\n"}


def make_bundle(
    folder: Path,
    *,
    launch: str = "direct",
    more: str = "",
    script: str | None = None,
    configs: Mapping[str, str] = CONFIGS,
    files: Mapping[str, str] = {},
    **fields: Any,
) -> Path:
    """Writes a bundle into `folder`.

    Args:
        folder: created.
        launch: `run.launch` of its script.
        more: further TOML lines of the block.
        script: what follows the block; default: a script that prints what it was given.
        configs: text of its YAMLs, by name.
        files: text of further files, by path below the script's folder.
        fields: of `Bundle`, instead of the usual.

    Returns:
        `folder`.
    """
    path = folder / "code" / "src" / "demo" / "train.py"
    (path.parent / "config").mkdir(parents=True)
    commented = "".join(f"# {line}\n" for line in textwrap.dedent(more).strip().splitlines())
    text = SCRIPT.format(launch=launch, more=commented)
    if script is not None:
        text = SCRIPT.format(launch=launch, more=commented).partition("import json")[0]
        text += textwrap.dedent(script)
    path.write_text(text, encoding="utf-8")
    for name, config in configs.items():
        (path.parent / "config" / f"{name}.yaml").write_text(config, encoding="utf-8")
    for name, content in files.items():
        (path.parent / name).write_text(content, encoding="utf-8")
    document: dict[str, Any] = {
        "recipe": "src/demo:train",
        "spec": parse(path),
        "script": "code/src/demo/train.py",
        "source_roots": ("code/src",),
        "fingerprints": Fingerprints("a" * 64, "b" * 64, "c" * 64),
        "files": {},
        "digest": "d" * 64,
        "contents": {
            file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted((folder / "code").rglob("*"))
            if file.is_file()
        },
        "interpreter_constraints": ("CPython>=3.9",),
        **fields,
    }
    (folder / "bundle.json").write_text(to_json(Bundle(**document)), encoding="utf-8")
    return folder
