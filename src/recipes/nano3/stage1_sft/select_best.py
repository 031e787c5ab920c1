# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pydantic>=2", "pyyaml>=6", "s3fs"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/sft-select"
# docs = "Picks the best of several fine-tuned models."
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.config]
# dir = "./config/select"
# default = "default"
#
# [tool.runspec.resources]
# nodes = 1
# gpus_per_node = 0
# ///
"""Picks of the models that it is given the one with the least loss.

The output folder is a copy of that model, so that it stays when the others are cleaned up, with a
``choice.json`` that shows what there was to choose from.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.artifacts import ModelArtifact, load_inputs
from recipes.nano3 import tracked
from recipes.nano3.checkpoint import CHECKPOINT, DESCRIPTION, TOKENIZER
from recipes.nano3.errors import InputError, exit_code
from recipes.nano3.files import replace_file, write_json


@dataclass(frozen=True)
class SelectSettings:
    """``output_dir``: the folder for the model that is picked."""

    output_dir: str


def main() -> None:
    parser = argparse.ArgumentParser(description="Pick the best of several models.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    config, tracking = tracked.load(parser.parse_args().config, SelectSettings)
    output = Path(config.output_dir)
    models = [artifact for artifact in load_inputs() if isinstance(artifact, ModelArtifact)]
    losses = [loss_of(model) for model in models]
    place = least(losses)
    for number, (model, loss) in enumerate(zip(models, losses, strict=True)):
        print(f"{'*' if number == place else ' '} loss {loss:.4f}  {model.uri}")
    chosen = models[place]
    for name in (CHECKPOINT, DESCRIPTION, TOKENIZER):
        copy(Path(chosen.path) / name, output / name)
    write_json(output / "choice.json", {"chosen": place, "losses": losses})
    print(f"\ncopied to {output.resolve()}", flush=True)
    tracked.log(
        ModelArtifact(
            path=output,
            step=chosen.step,
            final_loss=losses[place],
            # No versions here: the same choice among the same models is the same content.
            metadata={"chosen": place, "candidates": len(models)},
        ),
        tracking,
    )


def loss_of(model: ModelArtifact) -> float:
    """Raises InputError if nobody measured it."""
    if model.final_loss is None:
        raise InputError(f"{model.uri}: no final_loss to compare it by; log one with the model")
    return model.final_loss


def least(losses: Sequence[float]) -> int:
    """The place of the least loss; of equal ones the first.

    Raises:
        InputError: There is none.
    """
    if not losses:
        raise InputError("no models to choose from; name some as `inputs` of the artifact target")
    return losses.index(min(losses))


def copy(source: Path, target: Path) -> None:
    with source.open("rb") as original, replace_file(target) as file:
        shutil.copyfileobj(original, file)


if __name__ == "__main__":
    sys.exit(exit_code(main))
