"""The command line, `nemo-runspec COMMAND …`; its commands are in :mod:`nemo_runspec.commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import nemo_runspec.commands  # noqa: F401  # fills the table of commands
from nemo_runspec.dispatch import EXIT_BAD_INPUT, dispatch
from nemo_runspec.exceptions import NemoRunspecError
from runspec.errors import RunspecError

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: the arguments; default: those of this process.

    Returns:
        The exit code: the job's own; 2 after bad input, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return dispatch(arguments)
    except (NemoRunspecError, RunspecError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        from nemo_runspec.execution.attach import discard_rest

        discard_rest(sys.stdout.buffer)
        return EXIT_BROKEN_PIPE
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{place}")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return EXIT_BAD_INPUT
