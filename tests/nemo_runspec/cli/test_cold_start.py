"""What is not imported: each of these costs more than all that the command does."""

from __future__ import annotations

import json
from pathlib import Path

from tests.nemo_runspec.cli.command import Shell, python
from tests.nemo_runspec.example_bundle import make_bundle

HEAVY = ("antlr4", "fsspec", "numpy", "omegaconf", "pandas", "pydantic", "rich", "s3fs", "torch")
NEVER = ("nemo_run", "numpy", "pandas", "s3fs", "torch", "torchx", "typer", "wandb", "mlflow")
LIBRARY = ("nemo_runspec.pipeline", "nemo_runspec.execution", "nemo_runspec.store")

ONLY_TO_RUN = (
    "nemo_runspec.lineage",
    "nemo_runspec.openlineage",
    "nemo_runspec.pipeline.by_hand",
    "nemo_runspec.recipe_run",
    "nemo_runspec.store_admin",
    "nemo_runspec.wandb_tracking",
)

PROBE = """
import json, sys
from nemo_runspec.cli import main
codes = [main(each) for each in json.loads(sys.argv[1])]
print(json.dumps([codes, sorted(sys.modules)]), file=sys.stderr)
"""


def imported(*command_lines: list[str]) -> set[str]:
    """What a process has imported after these, one after the other."""
    done = python(["-c", PROBE, json.dumps(command_lines)])
    codes, modules = json.loads(done.stderr.splitlines()[-1])
    assert codes == [0] * len(command_lines), done.stderr
    return set(modules)


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_pages_are_made_of_nothing_heavy(shell: Shell) -> None:
    modules = imported(
        ["--help"], ["--version"], ["completion", "bash"], ["complete", "bash", "x s"]
    )
    assert not roots(modules) & {*HEAVY, *NEVER, "yaml", "typer"}
    assert not modules & set(LIBRARY)


def test_a_dry_run_brings_what_it_shows_and_no_more(shell: Shell, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    modules = imported(["recipe", str(bundle), "--dry-run"])
    assert "omegaconf" in modules
    assert not modules & set(ONLY_TO_RUN)
    assert not roots(modules) & {*NEVER, "fsspec", "rich", "pydantic"}


def test_the_help_of_a_recipe_reads_its_config_and_no_more(shell: Shell, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    modules = imported(["recipe", str(bundle), "--help"])
    assert not roots(modules) & {*NEVER, "fsspec", "rich", "pydantic"}
    assert "nemo_runspec.recipe" not in modules
