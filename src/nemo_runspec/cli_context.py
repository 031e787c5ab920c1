"""What the command line says, whichever command reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nemo_runspec.exceptions import UsageError

if TYPE_CHECKING:
    from runspec import Arguments

__all__ = ["GlobalContext", "split_unknown_args"]


@dataclass
class GlobalContext:
    """The options that every recipe command takes.

    Attributes:
        config: name or path of the config (``-c``, ``--config``); None: the recipe's default.
        run: profile for attached execution (``-r``, ``--run``, ``--profile``).
        batch: profile for detached execution (``-b``, ``--batch``).
        dry_run: show what would run, and run nothing (``-d``, ``--dry-run``).
        stage: send the files to the cluster without running them (``--stage``).
        force_squash: make the container image anew even if it is there (``--force-squash``).
        build_inputs: bring what the config names up to date first, on a cluster too
            (``--build-inputs``).
        preflight: try on one node first whether the job can run (``--preflight``).
        json: tell the end as one JSON document on standard output (``--json``).
        dotlist: ``key=value`` overrides, in order.
        passthrough: what the script gets as its own arguments, in order.
    """

    config: str | None = None
    run: str | None = None
    batch: str | None = None
    dry_run: bool = False
    stage: bool = False
    force_squash: bool = False
    build_inputs: bool = False
    preflight: bool = False
    json: bool = False
    dotlist: list[str] = field(default_factory=list)
    passthrough: list[str] = field(default_factory=list)

    @classmethod
    def from_arguments(cls, arguments: Arguments) -> GlobalContext:
        """The context that a command line stands for; that it asks for help is not kept."""
        return cls(
            config=arguments.config,
            run=arguments.run,
            batch=arguments.batch,
            dry_run=arguments.dry_run,
            stage=arguments.stage,
            force_squash=arguments.force_squash,
            build_inputs=arguments.build_inputs,
            preflight=arguments.preflight,
            json=arguments.json,
            dotlist=list(arguments.dotlist),
            passthrough=list(arguments.passthrough),
        )

    @property
    def mode(self) -> str:
        """``run`` (attached), ``batch`` (detached), or ``local`` when no profile was chosen."""
        if self.run:
            return "run"
        return "batch" if self.batch else "local"

    @property
    def profile(self) -> str | None:
        """The profile's name, from ``--run`` or ``--batch``."""
        return self.run or self.batch


def split_unknown_args(
    args: Sequence[str], global_ctx: GlobalContext | None = None
) -> tuple[list[str], list[str], GlobalContext]:
    """Sort the arguments that a command did not claim itself.

    Options of ours may come late (``pretrain train.lr=1 --run dlw``): they are found here too.

    Args:
        args: the arguments, in order.
        global_ctx: what is known already; it is not changed. Overrides and arguments are added
            behind its own.

    Returns:
        The ``key=value`` overrides, the script's arguments, and a context that holds all of it.

    Raises:
        UsageError: an option is misspelt or lacks its value, or options contradict each other or
            ``global_ctx``.
    """
    from runspec.arguments import ArgumentsError, parse_arguments

    known = global_ctx or GlobalContext()
    try:
        parsed = parse_arguments([*_as_options(known), *args])
    except ArgumentsError as error:
        raise UsageError(str(error)) from error
    # This command's own help is not asked for here: whoever claims --help has done so before.
    for_script = [*parsed.passthrough, "--help"] if parsed.help else parsed.passthrough
    merged = replace(
        GlobalContext.from_arguments(parsed),
        dotlist=[*known.dotlist, *parsed.dotlist],
        passthrough=[*known.passthrough, *for_script],
    )
    return list(merged.dotlist), list(merged.passthrough), merged


def _as_options(ctx: GlobalContext) -> list[str]:
    values = {"--config": ctx.config, "--run": ctx.run, "--batch": ctx.batch}
    flags = {
        "--dry-run": ctx.dry_run,
        "--stage": ctx.stage,
        "--force-squash": ctx.force_squash,
        "--build-inputs": ctx.build_inputs,
        "--preflight": ctx.preflight,
        "--json": ctx.json,
    }
    return [
        *(f"{name}={value}" for name, value in values.items() if value),
        *(name for name, is_set in flags.items() if is_set),
    ]
