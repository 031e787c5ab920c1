"""`RecipeTyper`, as the scripts of the field call it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from nemo_runspec.exceptions import UsageError
from nemo_runspec.help import LazyConfigModel, RecipeCommand, make_recipe_command
from nemo_runspec.recipe_config import parse_recipe_config
from nemo_runspec.recipe_typer import RecipeMeta, RecipeTyper
from tests.nemo_runspec.cli.command import Shell


class Model(BaseModel):
    learning_rate: float = Field(0.1, description="how fast")
    names: list[str] | None = None
    path: str


@pytest.fixture
def meta(shell: Shell) -> RecipeMeta:
    folder = shell.folder / "src" / "demo" / "config"
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text("train: {lr: 1}\n")
    (folder / "night.yaml").write_text("run: {data: corpus:v2}\n")
    return RecipeMeta(
        name="demo/pretrain",
        script_path="src/demo/train.py",
        config_dir="src/demo/config",
        default_config="night",
        input_artifacts={"data": "Pretrain data artifact"},
        output_artifacts={"model": "Checkpoint"},
        config_model=LazyConfigModel(lambda: Model),
    )


def tell(ctx: typer.Context) -> None:
    """Pretrain the model."""
    config = parse_recipe_config(ctx)
    told = {**asdict(config.ctx), "mode": config.mode, "attached": config.attached}
    typer.echo(json.dumps(told))


def refuse(ctx: typer.Context) -> None:
    """Never works."""
    raise UsageError("that cannot be; write this")


@pytest.fixture
def app(meta: RecipeMeta) -> RecipeTyper:
    app = RecipeTyper(name="demo", help="Demo recipes")
    app.add_recipe_command(tell, meta=meta, name="pretrain", rich_help_panel="Training Stages")
    app.recipe_command(config_dir="src/demo/config", name="refuse")(refuse)
    return app


def run(app: RecipeTyper, *arguments: str, monkeypatch: Any = None) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_the_command_line_reaches_the_command(app: RecipeTyper) -> None:
    line = "pretrain -c tiny a.b=1 --run=lab --limit 5 -d -- --config x --help"
    done = run(app, *line.split())
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["config"], told["run"], told["mode"]) == ("tiny", "lab", "run")
    assert told["dry_run"] and told["attached"]
    assert told["dotlist"] == ["a.b=1"]
    # Behind -- nothing is ours, not even our own options.
    assert told["passthrough"] == ["--limit", "5", "--config", "x", "--help"]


def test_a_mistyped_option_is_refused(app: RecipeTyper) -> None:
    done = run(app, "pretrain", "--dryrun")
    assert done.exit_code == 2
    assert "did you mean --dry-run?" in done.output


def test_what_is_wrong_is_one_line(app: RecipeTyper) -> None:
    done = run(app, "refuse")
    assert (done.exit_code, done.output) == (2, "error: that cannot be; write this\n")


def test_help_shows_the_recipe(app: RecipeTyper) -> None:
    for word in ("--help", "-h"):
        page = run(app, "pretrain", word).output
        assert "Pretrain the model." in page
        assert "night (default)" in page
        assert "run.data  corpus:v2  Pretrain data artifact" in page
        assert "learning_rate  float, 0.1: how fast" in page
        assert "path           str, required" in page
        assert "names          list[str] | None, None" in page
        assert "learning_rate=VALUE" in page
    overview = run(app, "--help").output
    assert "Training Stages" in overview and "pretrain" in overview


def test_help_from_a_folder_below(
    app: RecipeTyper, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.folder / "src")
    assert "night (default)" in run(app, "pretrain", "--help").output


def test_a_model_that_cannot_be_imported_is_said() -> None:
    def load() -> type[Any]:
        raise ImportError("No module named 'megatron'")

    app = RecipeTyper()
    app.recipe_command(config_model=LazyConfigModel(load), name="one")(tell)
    app.recipe_command(name="two")(refuse)
    page = run(app, "one", "--help").output
    assert "cannot be shown: No module named 'megatron'" in page


def test_the_field_s_factory() -> None:
    made = make_recipe_command(artifact_overrides={"data": "d"}, config_dir="c", config_model=Model)
    assert issubclass(made, RecipeCommand)
    assert (made.artifact_overrides, made.config_dir, made.config_model) == (
        {"data": "d"},
        "c",
        Model,
    )
    assert RecipeCommand.artifact_overrides == {}


def test_the_meta_cannot_be_changed(meta: RecipeMeta) -> None:
    with pytest.raises(AttributeError):
        meta.name = "other"  # type: ignore[misc]


def test_arguments_are_those_of_the_seeds(tmp_path: Path) -> None:
    app = RecipeTyper(name="nano3", help="Nano3 training recipes")
    app.add_recipe_command(
        tell, config_dir=str(tmp_path), input_artifacts={"data": "d"}, output_artifacts={"m": "m"}
    )
    app.add_recipe_command(refuse)
    assert "run.data  d" in run(app, "tell", "--help").output
    assert sys.modules["nemo_runspec.recipe_typer"].__all__ == ["RecipeMeta", "RecipeTyper"]
