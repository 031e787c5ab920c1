"""What a person reads: the compiled config, the submission, the end of a step.

On a terminal these are Rich panels; elsewhere (a pipe, a log file) plain lines, never wrapped or
cut. Secrets are masked (:mod:`nemo_runspec.masking`). ``NO_COLOR`` is honoured.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec.masking import is_secret_name, mask_secrets
from nemo_runspec.utils import (
    find_repository_root,
    resolve_run_interpolations,
    rewrite_paths_for_remote,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console
    from rich.panel import Panel

__all__ = [
    "completion_lines",
    "completion_panel",
    "console",
    "display_job_completion",
    "display_job_config",
    "display_job_submission",
    "is_secret_name",
    "is_terminal",
]

DEFAULT_THEME = "monokai"
# What a mode is called where people read it.
_MODES = {"run": "attached", "batch": "detached", "local": "local"}
_HIDDEN_VARIABLES = frozenset({"NEMO_RUN_DIR"})


def display_job_config(job_config: DictConfig, *, for_remote: bool = False) -> None:
    """Print the compiled job config: a panel ``run`` and a panel ``config``, as YAML.

    ``${run.…}`` in the config is shown with its value, as the script will see it; all other
    interpolations are shown as they are.

    Args:
        job_config: from :func:`nemo_runspec.config.build_job_config`.
        for_remote: show paths as a job on another machine sees them.
    """
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(job_config, resolve=False)
    run = plain.pop("run", None) or {}
    config = resolve_run_interpolations(plain, run)
    if for_remote:
        config = rewrite_paths_for_remote(config, find_repository_root() or Path.cwd())
    sections = [
        (title, OmegaConf.to_yaml(OmegaConf.create(mask_secrets(section))).rstrip())
        for title, section in (("run", run), ("config", config))
        if section
    ]
    if not is_terminal():
        for title, text in sections:
            print(f"# {title}\n{text}\n")
        return

    from rich.panel import Panel
    from rich.syntax import Syntax

    screen = console()
    theme = _theme()
    for title, text in sections:
        code = Syntax(text, "yaml", theme=theme, word_wrap=True, background_color="default")
        screen.print(Panel(code, title=title, border_style="green", expand=False))


def display_job_submission(
    job_path: Path | str,
    train_path: Path | str,
    env_vars: Mapping[str, str],
    mode: str,
    *,
    artifacts: DictConfig | Mapping[str, Any] | None = None,
) -> None:
    """Print what is about to run, as a tree: configs, environment, artifact stores, mode.

    Args:
        job_path: ``job.yaml``.
        train_path: ``train.yaml``.
        env_vars: the variables that the job gets; of secrets only that they are set.
        mode: ``run``, ``batch`` or ``local``.
        artifacts: the ``artifacts`` section of the job config.
    """
    branches: list[tuple[str, list[str]]] = [
        ("configs", [f"job: {job_path}", f"train: {train_path}"]),
    ]
    variables = [
        f"{name}: {'(set)' if is_secret_name(name) else mask_secrets(value)}"
        for name, value in sorted(env_vars.items())
        if name not in _HIDDEN_VARIABLES
    ]
    if variables:
        branches.append(("env", variables))
    if artifacts:
        branches.append(("artifacts", _artifact_stores(artifacts)))
    branches.append((f"mode: {_MODES.get(mode, mode)}", []))
    _print_tree("Job Submission", branches)


def display_job_completion(name: str, details: Mapping[str, object]) -> None:
    """Print that a step has ended well, and what it made.

    Args:
        name: the step or artifact, such as ``nano3-pretrain-data``.
        details: by label, what to tell: ``{"Output": path, "Manifest": …, "W&B": url}``; in
            order, values of None are left out.
    """
    if is_terminal():
        console().print(completion_panel(name, details))
        return
    title = f"Step Complete ({name})"
    print("\n".join([title, *(f"  {line}" for line in completion_lines(details))]))


def completion_panel(name: str, details: Mapping[str, object]) -> Panel:
    """The panel of :func:`display_job_completion`, for a Rich console."""
    from rich.panel import Panel
    from rich.text import Text

    body = Text("\n".join(completion_lines(details)), overflow="fold")
    return Panel(body, title=Text(f"Step Complete ({name})"), border_style="green", expand=False)


def completion_lines(details: Mapping[str, object]) -> list[str]:
    """What it says, a line for each label."""
    rows = [(label, str(value)) for label, value in details.items() if value is not None]
    width = max((len(label) for label, _ in rows), default=0) + 1
    return [f"{label + ':':<{width}} {value}" for label, value in rows]


def _artifact_stores(artifacts: DictConfig | Mapping[str, Any]) -> list[str]:
    root = (artifacts.get("manifest") or {}).get("root")
    stores = [f"manifest: {root}"] if root else []
    if artifacts.get("wandb"):
        stores.append("wandb: enabled")
    return stores or ["none configured"]


def _print_tree(title: str, branches: Sequence[tuple[str, list[str]]]) -> None:
    if is_terminal():
        from rich.text import Text
        from rich.tree import Tree

        tree = Tree(Text(title, style="bold"), guide_style="green")
        for heading, leaves in branches:
            branch = tree.add(Text(heading, style="cyan", overflow="fold"))
            for leaf in leaves:
                branch.add(Text(leaf, overflow="fold"))
        console().print(tree)
        return
    lines = [title]
    for position, (heading, leaves) in enumerate(branches):
        is_last = position == len(branches) - 1
        lines.append(f"{'└──' if is_last else '├──'} {heading}")
        for number, leaf in enumerate(leaves):
            corner = "└──" if number == len(leaves) - 1 else "├──"
            lines.append(f"{'    ' if is_last else '│   '}{corner} {leaf}")
    print("\n".join(lines))


def console() -> Console:
    """Rich's console on standard output; without colours where ``NO_COLOR`` is set."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False)


def is_terminal() -> bool:
    """Whether a person reads standard output as it comes."""
    return sys.stdout.isatty()


def _theme() -> str:
    from nemo_runspec.env import get_cli_config

    config = get_cli_config()
    theme = config.get("theme") if config is not None else None
    return str(theme or DEFAULT_THEME)
