"""The panels of a recipe's help."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_runspec import display
from nemo_runspec.help_panels import HelpPanel, RecipeHelp, print_panels, recipe_panels
from tests.nemo_runspec.cli.command import Shell
from tests.nemo_runspec.example_bundle import make_bundle

CONFIGS = {
    "default": "defaults: base\nrun: {data: nano3-pretrain-data:latest}\nb: '${art:data,path}'\n",
    "base": "run: {model: 'nano3-model:v3', image: 'redis:7'}\ntrain: {lr: 1}\n",
    "tiny": "defaults: default\n",
}
PANELS = [
    "Global Options",
    "Configs",
    "Artifact Overrides",
    "Run Overrides",
    "env.toml Profiles",
    "Dotlist Overrides",
    "Examples",
]


def panels(folder: Path, **fields: object) -> dict[str, HelpPanel]:
    recipe = RecipeHelp(command="cmd", config_dir=folder, **fields)  # type: ignore[arg-type]
    return {panel.title: panel for panel in recipe_panels(recipe)}


@pytest.fixture
def config_dir(shell: Shell) -> Path:
    folder = shell.folder / "config"
    folder.mkdir()
    for name, text in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_the_panels_tell_what_there_is(shell: Shell, config_dir: Path) -> None:
    (shell.folder / "env.toml").write_text(
        '[lab]\nextends = "base"\n[base]\nexecutor = "slurm"\n[wandb]\nproject = "x"\n[bare]\n'
    )
    shown = panels(config_dir, artifacts={"data": "Pretrain data", "extra": "More"})
    assert list(shown) == PANELS
    assert [name for name, _ in shown["Configs"].rows] == ["base", "default (default)", "tiny"]
    assert dict(shown["Artifact Overrides"].rows) == {
        "run.model": "nano3-model:v3",
        "run.data": "nano3-pretrain-data:latest  Pretrain data",
        "run.extra": "More",
    }
    assert dict(shown["env.toml Profiles"].rows) == {
        "bare": "local",
        "base": "slurm",
        "lab": "slurm",
    }
    examples = [name for name, _ in shown["Examples"].rows]
    assert examples[1:3] == ["cmd -c base", "cmd -c base --run bare"]


def test_many_profiles_are_listed_by_executor(shell: Shell, config_dir: Path) -> None:
    tables = [f'[p{n:02}]\nexecutor = "{"slurm" if n % 2 else "ray"}"\n' for n in range(40)]
    (shell.folder / "env.toml").write_text("".join(tables))
    rows = dict(panels(config_dir)["env.toml Profiles"].rows)
    assert list(rows) == ["ray", "slurm"]
    assert rows["slurm"].split(", ") == [f"p{n:02}" for n in range(1, 40, 2)]


def test_what_is_broken_is_said_in_its_panel(shell: Shell, config_dir: Path) -> None:
    (shell.folder / "env.toml").write_text("[lab\n")
    (config_dir / "default.yaml").write_text("a: [\n")
    shown = panels(config_dir)
    assert "env.toml" in shown["env.toml Profiles"].note
    assert shown["env.toml Profiles"].rows == ()
    assert shown["Artifact Overrides"].note.startswith("default: ")


def test_a_circle_of_profiles_has_no_end_here(shell: Shell, config_dir: Path) -> None:
    (shell.folder / "env.toml").write_text('[a]\nextends = "b"\n[b]\nextends = "a"\n')
    assert dict(panels(config_dir)["env.toml Profiles"].rows) == {"a": "local", "b": "local"}


def test_no_env_file_and_no_configs(shell: Shell) -> None:
    shown = panels(shell.folder / "nowhere")
    assert "`nemo-runspec init`" in shown["env.toml Profiles"].note
    assert "Artifact Overrides" not in shown
    assert shown["Configs"].note.startswith("none in ")


def test_the_bundle_s_help_is_these_panels(shell: Shell, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", configs=CONFIGS, more="[tool.runspec.resources]\nnodes=3")
    page = shell.ok("recipe", bundle, "--help")
    for title in PANELS:
        assert f"{title} (" in page or f"{title}:" in page
    assert "run.data   nano3-pretrain-data:latest" in page
    assert "nodes (this recipe: 3)" in page
    assert "in src/demo/config" in page
    assert "\x1b" not in page and "╭" not in page


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_they_fit(
    shell: Shell, config_dir: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shell.folder / "env.toml").write_text(f"[{'long-' * 30}end]\n[other]\n")
    (config_dir / f"{'x' * 90}.yaml").write_text("a: 1\n")
    monkeypatch.setattr(display, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    print_panels(list(panels(config_dir).values()))
    page = shell.capfd.readouterr().out
    assert "\x1b[3" not in page
    lines = page.splitlines()
    assert {len(line) for line in lines} == {width}
    assert sum(line.startswith("╭─ ") for line in lines) == len(PANELS)
    # Nothing is cut.
    together = "".join(line.strip("│ ") for line in lines)
    assert "x" * 90 in together
    assert f"{'long-' * 30}end" in together
