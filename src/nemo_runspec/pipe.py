"""`nemo-runspec pipe`: the recipes of several bundles, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from nemo_runspec.bundles import read_bundle
from nemo_runspec.dispatch import dispatch
from nemo_runspec.exceptions import UsageError
from runspec import ArgumentsError, parse_arguments

PIPE_HELP = """\
usage: nemo-runspec pipe BUNDLE BUNDLE … [options] [key=value …] [-- arguments]

Runs the recipes of several bundles in order. A recipe starts when the one before
it has succeeded, and finds what that logged as the latest version; at the first
failure it ends, with that recipe's exit code. Options, overrides and arguments
are those of `nemo-runspec recipe`, and each recipe gets all of them.

It runs everything, every time. `materialize` runs what is stale, side by side
where it can, and goes on by itself.

examples:
  nemo-runspec pipe dist/nano3/pretrain dist/nano3/sft --run prod
  nemo-runspec pipe dist/nano3/pretrain dist/nano3/sft --dry-run
"""


def run_pipe(arguments: Sequence[str]) -> int:
    """The command line of `nemo-runspec pipe`.

    Returns:
        0 when all succeeded, else the exit code of the recipe that did not.

    Raises:
        NemoRunspecError: something is wrong with the input; no recipe was started then.
    """
    if arguments and arguments[0] in ("-h", "--help"):
        print(PIPE_HELP, end="")
        return 0
    folders, argv = _split(arguments)
    try:
        parsed = parse_arguments(argv)
    except ArgumentsError as error:
        raise UsageError(str(error)) from error
    if parsed.help:
        print(PIPE_HELP, end="")
        return 0
    if not folders:
        raise UsageError("pipe needs job bundles: nemo-runspec pipe BUNDLE BUNDLE … [options]")
    if parsed.batch or parsed.stage:
        raise UsageError(
            "pipe waits for each recipe, which --batch and --stage do not; use --run, or "
            "`materialize --detach` for a pipeline that goes on by itself"
        )
    bundles = [read_bundle(folder) for folder in folders]  # a missing one is said before any runs
    names = [bundle.spec.name or bundle.script.stem for bundle in bundles]
    for number, folder in enumerate(folders):
        print(f"pipe: {number + 1}/{len(folders)} {names[number]}", file=sys.stderr, flush=True)
        # As a command of its own: its profile may be on another machine.
        code = dispatch(["recipe", str(folder), *argv])
        if code:
            left = names[number + 1 :]
            if left:
                print(f"error: pipe: not run: {', '.join(left)}", file=sys.stderr)
            return code
    return 0


def _split(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The bundles, which come first, and the rest."""
    count = 0
    while count < len(arguments) and not arguments[count].startswith("-"):
        if "=" in arguments[count] and not Path(arguments[count]).is_dir():
            break
        count += 1
    return [Path(word) for word in arguments[:count]], list(arguments[count:])
