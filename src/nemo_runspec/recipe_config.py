"""The command line of one recipe command as a typed object."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nemo_runspec.cli_context import GlobalContext, split_unknown_args
from nemo_runspec.exceptions import UsageError

if TYPE_CHECKING:
    import typer

__all__ = ["RecipeConfig", "parse_recipe_config"]


@dataclass
class RecipeConfig:
    """What one invocation of a recipe command means.

    Attributes:
        ctx: the options.
        argv: the whole command line as it was typed.
        dotlist: ``key=value`` overrides, in order.
        passthrough: the script's own arguments, in order.
    """

    ctx: GlobalContext
    argv: list[str] = field(default_factory=lambda: list(sys.argv))
    dotlist: list[str] = field(default_factory=list)
    passthrough: list[str] = field(default_factory=list)

    @property
    def mode(self) -> str:
        """``run``, ``batch`` or ``local``."""
        return self.ctx.mode

    @property
    def attached(self) -> bool:
        """True with ``--run``, False with ``--batch`` and without a profile."""
        return self.ctx.run is not None

    @property
    def profile(self) -> str | None:
        """The profile's name, from ``--run`` or ``--batch``."""
        return self.ctx.profile

    @property
    def config(self) -> str | None:
        """Name or path of the config."""
        return self.ctx.config

    @property
    def dry_run(self) -> bool:
        """Whether to show what would run, and run nothing."""
        return self.ctx.dry_run

    @property
    def stage(self) -> bool:
        """Whether to send the files to the cluster without running them."""
        return self.ctx.stage

    @property
    def force_squash(self) -> bool:
        """Whether to make the container image anew even if it is there."""
        return self.ctx.force_squash


def parse_recipe_config(typer_ctx: typer.Context) -> RecipeConfig:
    """Read the command line out of a Typer context.

    Args:
        typer_ctx: ``obj`` holds the :class:`GlobalContext` of options that came before the
            command (or None), ``args`` what came after it.

    Returns:
        The typed command line.

    Raises:
        typer.Exit: with exit code 2, after one ``error: …`` line on stderr, when the command
            line contradicts itself.
    """
    try:
        dotlist, passthrough, ctx = split_unknown_args(typer_ctx.args or [], typer_ctx.obj)
    except UsageError as error:
        import typer

        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    return RecipeConfig(ctx=ctx, argv=list(sys.argv), dotlist=dotlist, passthrough=passthrough)
