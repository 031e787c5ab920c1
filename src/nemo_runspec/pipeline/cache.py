"""What planning needs again the next time: one small database, safe to delete at any moment.

It only ever saves work. A file that is broken, locked or of another version is left alone or made
anew, and planning goes on without it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_logger = logging.getLogger(__name__)

_BUSY_SECONDS = 2.0
_PER_QUERY = 500
_DAY = 86400
_KEPT_DAYS = 60
_TOUCH_DAYS = 7


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """``nemo-runspec/plan`` in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    environment = os.environ if environ is None else environ
    home = environment.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nemo-runspec" / "plan"


class PlanCache:
    """Texts by key, on disk, for all planners of a user.

    Args:
        folder: where the file lies; made when something is first kept.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "composed-1.sqlite"

    def get(self, keys: Collection[str]) -> dict[str, str]:
        """Those of these entries that there are."""
        if not keys or not self.path.is_file():
            return {}
        found: dict[str, str] = {}
        today = int(time.time() // _DAY)
        stale: list[str] = []
        with self._connection() as connection:
            if connection is None:
                return {}
            wanted = list(keys)
            for start in range(0, len(wanted), _PER_QUERY):
                batch = wanted[start : start + _PER_QUERY]
                marks = ",".join("?" * len(batch))
                rows = connection.execute(
                    f"SELECT key, value, used FROM entries WHERE key IN ({marks})", batch
                )
                for key, value, used in rows:
                    found[key] = value
                    if used < today - _TOUCH_DAYS:
                        stale.append(key)
            connection.executemany(
                "UPDATE entries SET used = ? WHERE key = ?", [(today, key) for key in stale]
            )
        return found

    def put(self, entries: Mapping[str, str]) -> None:
        """Keep these entries; those that nobody asked for in two months go."""
        if not entries:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _logger.debug("%s: no cache: %s", self.path, error)
            return
        today = int(time.time() // _DAY)
        with self._connection() as connection:
            if connection is None:
                return
            connection.execute(
                "CREATE TABLE IF NOT EXISTS entries "
                "(key TEXT PRIMARY KEY, value TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID"
            )
            connection.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)",
                [(key, value, today) for key, value in entries.items()],
            )
            connection.execute("DELETE FROM entries WHERE used < ?", (today - _KEPT_DAYS,))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection in a transaction of its own; None where there can be none."""
        sqlite3 = _sqlite()
        if sqlite3 is None:
            yield None
            return
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        except sqlite3.Error as error:
            _logger.debug("%s: no cache: %s", self.path, error)
            yield None
            return
        try:
            with connection:
                yield connection
        except sqlite3.OperationalError as error:
            # Locked, read-only, no space, or a table that is not there yet.
            _logger.debug("%s: not used: %s", self.path, error)
        except sqlite3.DatabaseError as error:
            _logger.debug("%s: is broken, and removed: %s", self.path, error)
            self.path.unlink(missing_ok=True)
        finally:
            connection.close()


def _sqlite() -> ModuleType | None:
    try:
        import sqlite3
    except ImportError:  # some Pythons are built without
        return None
    return sqlite3
