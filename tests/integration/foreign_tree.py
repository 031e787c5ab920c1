"""A tree of recipe scripts as they stand in the field: written for other tools, without a BUILD
file.

The scripts cover what is seen there: every launch kind, `cmd` templates, work folders, images with
interpolations, config folders of one's own and shared ones, `gpus_per_node = "gpu"`, PEP 723
dependencies that no lockfile has, a block quoted in a docstring, CRLF line ends, imports that only
an image has, scripts in a package and scripts on their own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

LAUNCHES = (None, "torchrun", "ray", "direct", "python")
COMMANDS = (
    None,
    "uv run --no-project {script} --config {config}",
    "bash scripts/start.sh {script} --config {config}",
    "env A='b c' python {script} --config {config} --tag ${USER:-nobody}",
)
IMAGES = (
    None,
    "nvcr.io/nvidia/nemo:25.11.nemotron_3_nano",
    "/home/${oc.env:USER,nobody}/images/nemo rl.sqsh",
)
GPUS = ("8", "0", "1", '"gpu"')
DEPENDENCIES: tuple[list[str] | None, ...] = (
    None,
    [],
    ["numpy>=1.26"],
    ["torch>=2.5", "megatron-core==0.15.0", 'hf-transfer[fast]>=0.1; python_version < "3.13"'],
)
COUNT = 80


@dataclass(frozen=True)
class ForeignScript:
    """One script of the tree.

    Attributes:
        path: relative to the root.
        name: of its runspec.
        config: the default config's path relative to the root.
    """

    path: str
    name: str
    config: str


def block(
    name: str,
    launch: str | None,
    command: str | None,
    image: str | None,
    gpus: str,
    dependencies: list[str] | None,
    config_dir: str | None,
    default: str | None,
    index: int,
) -> str:
    """Return a PEP 723 block; every field that is None stays unsaid."""
    lines: list[str] = []
    if dependencies is not None:
        lines += ["dependencies = [", *(f"    {d!r}," for d in dependencies), "]"]
    if index % 4 == 1:
        lines += ['requires-python = ">=3.11"']
    lines += ["", "[tool.runspec]", 'schema = "1"', f'name = "{name}"']
    if index % 3 == 0:
        lines += ['docs = "https://docs.example.com/recipes/ünïcode"']
    if image is not None:
        lines += [f'image = "{image}"']
    if index % 5 == 0:
        lines += ['setup = """', "cd /opt/nemo-rl", "uv sync --frozen", '"""']
    lines += ["", "[tool.runspec.run]"]
    if launch is not None:
        lines += [f'launch = "{launch}"']
    if command is not None:
        lines += [f'cmd = "{command}"']
    if index % 7 == 0:
        lines += ['workdir = "/opt/nemo-rl"']
    if config_dir is not None or default is not None:
        lines += ["", "[tool.runspec.config]"]
        lines += [f'dir = "{config_dir}"'] if config_dir is not None else []
        lines += [f'default = "{default}"'] if default is not None else []
    lines += ["", "[tool.runspec.resources]", f"nodes = {(1, 2, 48, 384)[index % 4]}"]
    lines += [f"gpus_per_node = {gpus}"]
    if index % 6 == 0:
        lines += ["", "[tool.runspec.env]", 'NCCL_DEBUG = "WARN"', 'TEXT = "a b \\"c\\" $d"']
    commented = "\n".join(f"# {line}" if line else "#" for line in lines)
    return f"# /// script\n{commented}\n# ///\n"


DOCSTRING_WITH_BLOCK = '''"""Train a model.

A script describes itself like this:

    # /// script
    # [tool.runspec]
    # name = "an/example"
    # ///
"""
'''

BODY = """
from __future__ import annotations

import argparse
import os
{imports}

def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    print("{name}", parser.parse_known_args(), os.getcwd())


if __name__ == "__main__":
    main()
"""

CONFIG = """\
# the config of {name}
run:
  data: {data}:latest
  env:
    container: ${{oc.env:IMAGE,none}}
recipe:
  _target_: megatron.bridge.recipes.{index}
  per_split_data_args_path: ${{art:data,path}}/blend.json
train:
  train_iters: 1700
  lr: 1e-4
  warmup: ${{train.train_iters}}
checkpoint:
  save: ${{oc.env:PWD}}/output/${{run.recipe.name}}
  load: ${{.save}}
logger:
  wandb_project: ${{run.wandb.project}}
  when: ${{now:%Y-%m-%d}}
"""


def write_foreign_tree(root: Path) -> tuple[ForeignScript, ...]:
    """Write the tree below `root` and return its scripts, in the order of their paths."""
    choices = itertools.islice(
        zip(
            itertools.cycle(LAUNCHES),
            itertools.cycle(itertools.chain.from_iterable([c] * 3 for c in COMMANDS)),
            itertools.cycle(itertools.chain.from_iterable([i] * 7 for i in IMAGES)),
            itertools.cycle(itertools.chain.from_iterable([g] * 2 for g in GPUS)),
            itertools.cycle(itertools.chain.from_iterable([d] * 5 for d in DEPENDENCIES)),
        ),
        COUNT,
    )
    scripts = []
    for index, (launch, command, image, gpus, dependencies) in enumerate(choices):
        family, stage = f"family{index // 16}", f"stage{index // 4 % 4}_part"
        folder = f"recipes/{family}/{stage}"
        shares_config = index % 4 >= 2
        config_dir = "../shared_config" if shares_config else (None, "./config")[index % 2]
        default = f"part{index}" if shares_config else (f"own{index}" if index % 4 else None)
        script = f"{folder}/{('train', 'data_prep', 'convert', 'evaluate')[index % 4]}.py"
        name = f"{family}/{stage}/{Path(script).stem}"
        config = (
            f"recipes/{family}/shared_config/{default}.yaml"
            if shares_config
            else f"{folder}/config/{default or 'default'}.{'yml' if index % 8 == 1 else 'yaml'}"
        )
        imports = "\n".join(
            [
                "import torch" if image else "",
                "import nemo_rl.distributed" if index % 5 == 2 else "",
                f"from recipes.{family}.helpers import TOKENS" if index % 3 == 1 else "",
            ]
        )
        own = block(name, launch, command, image, gpus, dependencies, config_dir, default, index)
        head = {3: f"{DOCSTRING_WITH_BLOCK}{own}", 7: f'"""Train a model.\n\n{own}"""\n'}.get(
            index % 10, f"#!/usr/bin/env python\n{own}"
        )
        text = head + BODY.format(name=name, imports=imports)
        data = text.encode()
        write(root / script, data.replace(b"\n", b"\r\n") if index % 9 == 4 else data)
        write(
            root / config,
            CONFIG.format(name=name, data=f"{family}-data", index=index).encode(),
        )
        write(root / f"recipes/{family}/helpers.py", b"TOKENS = 1024\n")
        scripts.append(ForeignScript(script, name, config))
    for family in sorted({script.path.split("/")[1] for script in scripts}):
        write(
            root / f"recipes/{family}/not_a_recipe.py",
            b"# /// script\n# dependencies = []\n# ///\n",
        )
        write(root / f"recipes/{family}/shared_config/base.yaml", b"train: {lr: 1e-3}\n")
        write(
            root / f"recipes/{family}/shared_config/derived.yaml",
            b"defaults: [base, _self_]\ntrain: {seed: 1}\n",
        )
    write(root / "scripts/start.sh", b'#!/bin/bash\nexec python "$@"\n')
    return tuple(sorted(scripts, key=lambda script: script.path))


def write(path: Path, content: bytes) -> None:
    """Write a file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
