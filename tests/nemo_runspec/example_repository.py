"""A small repository with one recipe, for tests of commands that show their own execution."""

from __future__ import annotations

import json
from pathlib import Path

SCRIPT = '''\
# /// script
# dependencies = []
# [tool.runspec]
# name = "proj/pretrain"
# [tool.runspec.run]
# launch = "direct"
# [tool.runspec.config]
# dir = "./config"
# default = "default"
# [tool.runspec.resources]
# nodes = 1
# gpus_per_node = 0
# ///
"""A recipe that says what it was given."""

import json
import os
import sys

from proj.shared import describe

if __name__ == "__main__":
    from omegaconf import OmegaConf

    config = OmegaConf.load(sys.argv[sys.argv.index("--config") + 1])
    told = OmegaConf.to_container(config.train, resolve=True)
    print("told " + json.dumps(describe(told, sys.argv[3:], os.environ.get("WORD"))))
    sys.exit(config.code)
'''


def write_repository(root: Path) -> None:
    """Writes the repository, `env.toml` without profiles included."""
    recipe = root / "src" / "proj" / "recipes" / "pretrain"
    (recipe / "config").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "env.toml").write_text("")
    (recipe / "train.py").write_text(SCRIPT)
    (recipe / "config" / "default.yaml").write_text(
        "code: 0\ntrain: {lr: 0.1, data: '${oc.env:PWD}/data.txt'}\n"
    )
    (recipe / "config" / "tiny.yaml").write_text("code: 0\ntrain: {lr: 1.0}\n")
    (root / "src" / "proj" / "__init__.py").write_text("")
    (root / "src" / "proj" / "shared.py").write_text(
        "def describe(train, arguments, word):\n"
        "    return {'train': train, 'arguments': arguments, 'word': word}\n"
    )


def told(output: str) -> dict[str, object]:
    """What the recipe said that it was given, in what was printed."""
    (line,) = [line for line in output.splitlines() if line.startswith("told ")]
    found: dict[str, object] = json.loads(line.removeprefix("told "))
    return found
