"""`RecipeTyper`: registers recipe commands; what they do stays in the open, in their functions.

    app = RecipeTyper(name="nano3", help="Nano3 training recipes")
    app.add_recipe_command(pretrain, meta=PRETRAIN_META, rich_help_panel="Training Stages")

A command takes a ``typer.Context`` and reads it with
:func:`nemo_runspec.recipe_config.parse_recipe_config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import typer

from nemo_runspec.help import ConfigModelProvider, make_recipe_command

__all__ = ["RecipeMeta", "RecipeTyper"]

Function = TypeVar("Function", bound=Callable[..., Any])

# Overrides and the script's own arguments are no options of Typer's; `parse_recipe_config` reads
# them, and refuses what was mistyped.
_TAKES_ANYTHING = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": ["--help", "-h"],
}


@dataclass(frozen=True)
class RecipeMeta:
    """What a recipe is, for its command and its help.

    Attributes:
        name: such as ``nano3/pretrain``.
        script_path: its script.
        config_dir: the folder of its configs.
        default_config: the config that runs where none is named.
        input_artifacts: what is said of what it reads, by key of the config's ``run`` section.
        output_artifacts: … of what it makes.
        config_model: the Pydantic model of its config, or a
            :class:`nemo_runspec.help.LazyConfigModel`; None for none.
    """

    name: str
    script_path: str
    config_dir: str
    default_config: str = "default"
    input_artifacts: Mapping[str, str] = field(default_factory=dict)
    output_artifacts: Mapping[str, str] = field(default_factory=dict)
    config_model: ConfigModelProvider | None = None


class RecipeTyper(typer.Typer):
    """A Typer app whose recipe commands take overrides, and show their recipe's help."""

    def recipe_command(
        self,
        *,
        config_dir: str | None = None,
        input_artifacts: Mapping[str, str] | None = None,
        output_artifacts: Mapping[str, str] | None = None,
        config_model: ConfigModelProvider | None = None,
        rich_help_panel: str | None = None,
        name: str | None = None,
        default_config: str = "default",
    ) -> Callable[[Function], Function]:
        """Decorates a function as a recipe command.

        Args:
            config_dir: the folder of its configs.
            input_artifacts: what is said of what it reads, by key of the config's ``run`` section.
            output_artifacts: … of what it makes; not in the help, as it cannot be overridden.
            config_model: the Pydantic model of its config, or how to load it.
            rich_help_panel: the group that the app's help shows it in.
            name: of the command; default: the function's.
            default_config: the config that runs where none is named.
        """

        def register(function: Function) -> Function:
            self.command(
                name=function.__name__ if name is None else name,
                cls=make_recipe_command(input_artifacts, config_dir, config_model, default_config),
                context_settings=dict(_TAKES_ANYTHING),
                rich_help_panel=rich_help_panel,
            )(function)
            return function

        return register

    def add_recipe_command(
        self,
        command: Callable[..., Any],
        *,
        meta: RecipeMeta | None = None,
        config_dir: str | None = None,
        input_artifacts: Mapping[str, str] | None = None,
        output_artifacts: Mapping[str, str] | None = None,
        config_model: ConfigModelProvider | None = None,
        rich_help_panel: str | None = None,
        name: str | None = None,
    ) -> None:
        """Registers a function as a recipe command.

        Args:
            command: the function.
            meta: its recipe; what is given beside it stands for what the recipe does not say.
            config_dir: as for :meth:`recipe_command`, like the others.
        """
        if meta is None:
            meta = RecipeMeta("", "", config_dir or "")
        self.recipe_command(
            config_dir=meta.config_dir or config_dir,
            input_artifacts=meta.input_artifacts or input_artifacts,
            output_artifacts=meta.output_artifacts or output_artifacts,
            config_model=config_model or meta.config_model,
            rich_help_panel=rich_help_panel,
            name=name,
            default_config=meta.default_config,
        )(command)
