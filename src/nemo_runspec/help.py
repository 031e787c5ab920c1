"""The help of recipe commands that Typer runs, the same panels as `pants run ADDRESS -- --help`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typer.core import TyperCommand

from nemo_runspec import display
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.help_panels import RecipeHelp, print_panels, recipe_panels
from nemo_runspec.utils import find_repository_root

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["ConfigModelProvider", "LazyConfigModel", "RecipeCommand", "make_recipe_command"]


@dataclass(frozen=True)
class LazyConfigModel:
    """A config model that is imported only when the help is asked for.

    Args:
        load: imports and returns the Pydantic model; an ImportError is told in the help.
    """

    load: Callable[[], type[Any]]


ConfigModelProvider: TypeAlias = "type[Any] | LazyConfigModel"


class RecipeCommand(TyperCommand):
    """A command whose help has the panels of its recipe.

    Attributes:
        artifact_overrides: what is said of its input artifacts, by key of the config's ``run``
            section.
        config_dir: the folder of its configs, relative to the repository's root or the working
            directory.
        config_model: the Pydantic model of its config, where there is one.
        default_config: the config that runs where none is named.
    """

    artifact_overrides: ClassVar[Mapping[str, str]] = {}
    config_dir: ClassVar[str | None] = None
    config_model: ClassVar[ConfigModelProvider | None] = None
    default_config: ClassVar[str] = "default"

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Typer's own help, then the panels."""
        if display.is_terminal():
            super().format_help(ctx, formatter)
        else:
            self.format_usage(ctx, formatter)
            self.format_help_text(ctx, formatter)
            print(formatter.getvalue())
            # What is left in the formatter is printed once more, by whoever called.
            formatter.buffer.clear()
        print_panels(recipe_panels(self._recipe(ctx.command_path)))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does; what follows ``--`` stays marked as the script's own."""
        if "--" not in args:
            return super().parse_args(ctx, args)
        split = args.index("--")
        rest = args[split:]
        super().parse_args(ctx, args[:split])
        ctx.args = [*ctx.args, *rest]
        return list(ctx.args)

    def invoke(self, ctx: Any) -> Any:
        """As Typer does; what is wrong with the input is one line and exit code 2."""
        try:
            return super().invoke(ctx)
        except NemoRunspecError as error:
            import typer

            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error

    def _recipe(self, command: str) -> RecipeHelp:
        model, why = self._model()
        return RecipeHelp(
            command=command,
            config_dir=None if self.config_dir is None else _found(self.config_dir),
            shown_dir=self.config_dir,
            default_config=self.default_config,
            artifacts=self.artifact_overrides,
            config_model=model,
            no_model=why,
        )

    def _model(self) -> tuple[type[Any] | None, str]:
        provider = self.config_model
        if not isinstance(provider, LazyConfigModel):
            return provider, ""
        try:
            return provider.load(), ""
        except ImportError as error:
            return None, f"{error}; the recipe itself brings what its script declares"


def make_recipe_command(
    artifact_overrides: Mapping[str, str] | None = None,
    config_dir: str | None = None,
    config_model: ConfigModelProvider | None = None,
    default_config: str = "default",
) -> type[RecipeCommand]:
    """The class of a recipe's command: see :class:`RecipeCommand` for what each argument is."""
    fields = {
        "artifact_overrides": dict(artifact_overrides or {}),
        "config_dir": config_dir,
        # A function in a class would be a method; neither a class nor a LazyConfigModel is one.
        "config_model": config_model,
        "default_config": default_config,
    }
    return type("CustomRecipeCommand", (RecipeCommand,), fields)


def _found(folder: str) -> Path:
    """A folder that a recipe names: from the working directory, else from the repository's root."""
    here = Path(folder)
    root = find_repository_root()
    return here if here.is_dir() or here.is_absolute() or root is None else root / folder
