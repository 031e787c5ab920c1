"""The one kind of failure that is the reader's to fix: wrong input."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """A config, a file or a folder is not what it must be; the message is one line for a person."""


def exit_code(main: Callable[[], None]) -> int:
    """Runs a script's ``main`` and says in one line why it could not go on.

    Returns:
        0; 2 for wrong input or a file that cannot be read or written, as usual for command lines;
        130 after Ctrl-C, as shells have it.
    """
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
