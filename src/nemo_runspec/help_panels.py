"""What the help of a recipe tells, whoever asks: Rich panels on a terminal, plain text elsewhere.

The panels are named as in the command lines of the field: Configs, Config Options, Artifact
Overrides, Run Overrides, env.toml Profiles, Dotlist Overrides, Examples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec import display
from nemo_runspec.env import (
    ENV_FILE_NAME,
    ENV_FILE_VARIABLE,
    find_env_file,
    list_profiles,
    load_env_file,
    profile_executor,
)
from nemo_runspec.exceptions import NemoRunspecError
from runspec import OPTIONS, Runspec
from runspec.references import find_artifact_references

if TYPE_CHECKING:
    from rich.panel import Panel

ConfigModel = type[Any]

# So many profiles have a line each; more are listed by executor.
_OWN_LINES = 12
_SHOWN_DEFAULT = 40
_WIDEST = 60
_RUN_SECTION = "run"


@dataclass(frozen=True)
class HelpPanel:
    """One panel.

    Args:
        title: its name.
        hint: what to type for it.
        rows: what there is, and what is to be said of each.
        note: a last line.
    """

    title: str
    hint: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class RecipeHelp:
    """A recipe, as its help shows it.

    Args:
        command: what a person types to run it.
        config_dir: the folder of its configs; None for a recipe without.
        shown_dir: what that folder is called where people read it; None for its path.
        default_config: the config that runs where none is named.
        artifacts: what is said of its input artifacts, by key of the config's `run` section.
        config_model: the Pydantic model of its config, where there is one.
        no_model: why there is a model that cannot be shown; empty otherwise.
        spec: its `[tool.runspec]`, where that is known.
    """

    command: str
    config_dir: Path | None = None
    shown_dir: str | None = None
    default_config: str = "default"
    artifacts: Mapping[str, str] = field(default_factory=dict)
    config_model: ConfigModel | None = None
    no_model: str = ""
    spec: Runspec | None = None


def recipe_panels(recipe: RecipeHelp) -> list[HelpPanel]:
    """The panels of a recipe's help.

    What cannot be read, an ``env.toml`` or a config that is broken, is said in its panel: the help
    is where people look for the way out.
    """
    configs = _config_names(recipe.config_dir)
    profiles, tables, profiles_note = _profiles()
    panels = [_options(), _configs(recipe, configs)]
    if recipe.config_model is not None or recipe.no_model:
        panels.append(_config_options(recipe))
    artifacts = _artifacts(recipe, configs)
    return [
        *panels,
        *([artifacts] if artifacts else []),
        _run_overrides(recipe.spec),
        _profiles_panel(profiles, tables, profiles_note),
        _dotlist(recipe),
        _examples(recipe, configs, profiles),
    ]


def print_panels(panels: Sequence[HelpPanel]) -> None:
    """Print panels to standard output: as Rich panels on a terminal, as plain text elsewhere."""
    if not display.is_terminal():
        print("\n\n".join(_plain(panel) for panel in panels))
        return
    console = display.console()
    for panel in panels:
        console.print(_rich(panel))


def _options() -> HelpPanel:
    rows = []
    for option in OPTIONS:
        names = ", ".join(sorted(option.names, key=len))
        rows.append((f"{names} {option.value}" if option.value else names, option.help))
    note = "before or after the rest; what follows -- goes to the script, whatever it is"
    return HelpPanel("Global Options", "", tuple(rows), note)


def _config_names(folder: Path | None) -> list[str]:
    if folder is None or not folder.is_dir():
        return []
    suffixes = (".yaml", ".yml")
    return sorted(path.stem for path in folder.iterdir() if path.suffix in suffixes)


def _configs(recipe: RecipeHelp, names: Sequence[str]) -> HelpPanel:
    rows = [(f"{name} (default)" if name == recipe.default_config else name, "") for name in names]
    where = recipe.shown_dir or (str(recipe.config_dir) if recipe.config_dir else "")
    there = f"in {where}; " if names else f"none in {where}; " if where else ""
    return HelpPanel(
        "Configs", "-c/--config", tuple(rows), f"{there}another file: -c path/to/config.yaml"
    )


def _config_options(recipe: RecipeHelp) -> HelpPanel:
    if recipe.config_model is None:
        return HelpPanel("Config Options", "", (), f"cannot be shown: {recipe.no_model}")
    rows = tuple(_model_rows(recipe.config_model))
    return HelpPanel("Config Options", "KEY=VALUE", rows)


def _model_rows(model: ConfigModel) -> Iterator[tuple[str, str]]:
    for name, about in model.model_fields.items():
        kind = _type_name(about.annotation)
        if about.is_required():
            default = "required"
        else:
            text = repr(about.get_default(call_default_factory=True))
            default = text if len(text) <= _SHOWN_DEFAULT else f"{text[: _SHOWN_DEFAULT - 1]}…"
        said = f": {about.description}" if about.description else ""
        yield name, f"{kind}, {default}{said}"


def _type_name(annotation: Any) -> str:
    is_plain = isinstance(annotation, type) and not getattr(annotation, "__args__", ())
    return annotation.__name__ if is_plain else str(annotation).replace("typing.", "")


def _artifacts(recipe: RecipeHelp, configs: Sequence[str]) -> HelpPanel | None:
    named: Mapping[str, str] = {}
    note = ""
    if recipe.config_dir is not None and recipe.default_config in configs:
        try:
            named = _references(recipe.config_dir, recipe.default_config)
        except NemoRunspecError as error:
            note = f"{recipe.default_config}: {error}"
    rows = []
    for key in dict.fromkeys([*named, *recipe.artifacts]):
        said = [text for text in (named.get(key), recipe.artifacts.get(key)) if text]
        rows.append((f"{_RUN_SECTION}.{key}", "  ".join(said)))
    if not rows and not note:
        return None
    key, name = next(iter(named.items()), ("data", "NAME"))
    return HelpPanel(
        "Artifact Overrides",
        f"{_RUN_SECTION}.KEY=NAME:VERSION",
        tuple(rows),
        note or f"another version: {_RUN_SECTION}.{key}={name.partition(':')[0]}:v2",
    )


def _references(folder: Path, name: str) -> dict[str, str]:
    """The artifacts that a config names, by key of its ``run`` section."""
    from nemo_runspec.config.compose import find_config_file, load_config
    from nemo_runspec.config.plain import to_plain

    return find_artifact_references(to_plain(load_config(find_config_file(name, folder))))


def _run_overrides(spec: Runspec | None) -> HelpPanel:
    def here(value: object) -> str:
        return f" (this recipe: {value})" if value not in (None, "") else ""

    resources = spec.resources if spec else None
    rows = (
        ("run.env.nodes", f"nodes{here(resources and resources.nodes)}"),
        ("run.env.gpus_per_node", f"GPUs of a node{here(resources and resources.gpus_per_node)}"),
        ("run.env.nproc_per_node", "processes of a node"),
        ("run.env.partition", "Slurm partition"),
        ("run.env.account", "Slurm account"),
        ("run.env.time", "time limit, as 04:00:00"),
        ("run.env.container_image", f"image{here(spec.image if spec else None)}"),
    )
    return HelpPanel("Run Overrides", "instead of what the profile says", rows)


def _profiles() -> tuple[list[str], Mapping[str, Any], str]:
    try:
        tables = load_env_file()
    except NemoRunspecError as error:
        return [], {}, str(error)
    file = os.environ.get(ENV_FILE_VARIABLE) or find_env_file()
    if file is None:
        return [], {}, f"there is no {ENV_FILE_NAME} here; `nemo-runspec init` writes one"
    profiles = list_profiles(tables)
    return profiles, tables, f"in {file}" if profiles else f"none in {file}"


def _profiles_panel(names: Sequence[str], tables: Mapping[str, Any], note: str) -> HelpPanel:
    executors = {name: profile_executor(name, tables) or "local" for name in names}
    if len(names) <= _OWN_LINES:
        rows = [(name, executors[name]) for name in names]
    else:
        rows = [
            (executor, ", ".join(name for name in names if executors[name] == executor))
            for executor in sorted(set(executors.values()))
        ]
    return HelpPanel(
        f"{ENV_FILE_NAME} Profiles", "--run PROFILE or --batch PROFILE", tuple(rows), note
    )


def _dotlist(recipe: RecipeHelp) -> HelpPanel:
    fields = list(recipe.config_model.model_fields) if recipe.config_model else []
    rows = (
        (f"{fields[0]}=VALUE" if fields else "train.lr=1e-4", "changes a value of the config"),
        ("+train.extra=1", "adds a key that it does not have"),
    )
    return HelpPanel("Dotlist Overrides", "KEY=VALUE", rows)


def _examples(recipe: RecipeHelp, configs: Sequence[str], profiles: Sequence[str]) -> HelpPanel:
    command = recipe.command
    others = [name for name in configs if name != recipe.default_config]
    config = min(others, key=len, default=recipe.default_config)
    profile = profiles[0] if profiles else "PROFILE"
    rows = (
        (f"{command} --dry-run", "what would run"),
        (f"{command} -c {config}", "run it here"),
        (f"{command} -c {config} --run {profile}", "run it there, follow its log"),
        (f"{command} --batch {profile} run.env.nodes=4", "submit it there"),
        (f"{command} -- --an-option-of-the-script", ""),
    )
    return HelpPanel("Examples", "", rows)


def _plain(panel: HelpPanel) -> str:
    heading = f"{panel.title} ({panel.hint}):" if panel.hint else f"{panel.title}:"
    width = min(_WIDEST, max((len(name) for name, said in panel.rows if said), default=0))
    lines = [f"  {name:<{width}}  {said}".rstrip() for name, said in panel.rows]
    return "\n".join([heading, *lines, *([f"  {panel.note}"] if panel.note else [])])


def _rich(panel: HelpPanel) -> Panel:
    from rich.console import Group, RenderableType
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    if any(said for _, said in panel.rows):
        table = Table.grid(padding=(0, 2))
        table.add_column(style="cyan", overflow="fold")
        table.add_column(overflow="fold")
        for name, said in panel.rows:
            table.add_row(Text(name), Text(said))
        parts.append(table)
    elif panel.rows:
        names = "  ".join(name.replace(" ", "\N{NO-BREAK SPACE}") for name, _ in panel.rows)
        parts.append(Text(names, style="cyan"))
    if panel.note:
        parts.append(Text(panel.note, style="dim", overflow="fold"))
    title = Text(panel.title, style="bold")
    if panel.hint:
        title.append(f" ({panel.hint})", style="not bold")
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")
