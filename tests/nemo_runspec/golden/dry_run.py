"""What `--dry-run` says would be submitted, held against a file that keeps all of it.

`RUNSPEC_WRITE_GOLDEN=1` writes the files anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from nemo_runspec.cli import main
from nemo_runspec.execution.environment import is_dropped
from tests.nemo_runspec.example_bundle import make_bundle

HERE = Path(__file__).parent
SECRET = "hush-e1f0"

# Of every job: what a shell could damage.
PLAIN = """
startup_commands = ["module load cuda"]
env_vars = { MESSAGE = "it's \\"so\\"\\n$HOME ☃" }
"""
# And what must not be seen.
SECRETS = f"""
startup_commands = ["module load cuda", "export WANDB_API_KEY={SECRET}"]

[prod.env_vars]
MESSAGE = "it's \\"so\\"\\n$HOME ☃"
HF_TOKEN = "{SECRET}"
MIRROR = "https://a:{SECRET}@example.invalid/x"
"""


def check(
    name: str,
    profile: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    launch: str = "direct",
    secrets: bool = True,
) -> None:
    """Compares the dry run of a recipe with a profile to `NAME.txt` beside this file.

    Args:
        name: of the file.
        profile: lines of its table in env.toml.
        tmp_path, monkeypatch, capsys: of the test.
        launch: `run.launch` of the recipe.
        secrets: whether its variables, its commands and its arguments hold some.
    """
    for variable in list(os.environ):
        if is_dropped(variable) or variable in ("HF_TOKEN", "WANDB_API_KEY", "HF_HOME"):
            monkeypatch.delenv(variable)
    bundle = make_bundle(tmp_path / "bundle", launch=launch)
    work = tmp_path / "work"
    (work / ".git").mkdir(parents=True)
    monkeypatch.chdir(work)
    table = profile.replace("@tmp@", str(tmp_path))
    (work / "env.toml").write_text(
        f"[prod]\n{table}{SECRETS if secrets else PLAIN}", encoding="utf-8"
    )
    arguments = ["-c", "tiny", "--profile", "prod", "--dry-run", "train.lr=3", "--flag", "a b"]
    arguments += ["--api-key", SECRET] if secrets else []
    before = sorted(tmp_path.rglob("*"))
    assert main(["recipe", str(bundle), *arguments]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    shown = capsys.readouterr().out
    assert SECRET not in shown
    request = without_machine(shown[shown.index("\nCommand (") + 1 :], tmp_path)
    file = HERE / f"{name}.txt"
    if os.environ.get("RUNSPEC_WRITE_GOLDEN"):
        file.write_text(request, encoding="utf-8")
    assert request == file.read_text(encoding="utf-8")


def without_machine(text: str, tmp_path: Path) -> str:
    """The text without what is another each time: folders, what is made of them, the job's time."""
    text = text.replace(str(tmp_path), "<tmp>")
    text = re.sub(r"\b\d{8}-\d{6}(?=-demo-train)", "<stamp>", text)
    return re.sub(
        r"(?P<before>demo-train[.-]|nemo-runspec-ray-)[0-9a-f]{8,}", r"\g<before><digest>", text
    )
