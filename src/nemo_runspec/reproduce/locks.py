"""Whether a commit's lockfiles hold the requirements that a version was made with.

They are of the three kinds that a fingerprint is made from: Pex's JSON below a header of ``//``
lines, as ``pants generate-lockfiles`` writes it; lines ``name==version``, as ``pip-compile`` writes
them; ``uv.lock``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping

from nemo_runspec.reproduce.history import History

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ENDINGS = (".lock", "lock.json", ".txt")
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\#]+)", re.M)


def find_lockfiles(history: History, commit: str, requirements: Mapping[str, str]) -> list[str]:
    """The lockfiles of a commit that have all these requirements at these versions, by path.

    Which of them the recipe was resolved with is the build side's to say, and was not recorded.

    Args:
        history: the repository.
        commit: in it.
        requirements: versions, by name.

    Raises:
        GitError: git cannot read the commit.
    """
    wanted = {(_normal(name), version) for name, version in requirements.items()}
    paths = sorted(path for path in history.paths(commit) if path.endswith(_ENDINGS))
    found = history.read(commit, paths)
    return [path for path in paths if path in found and wanted <= _locked(found[path])]


def _locked(body: bytes) -> set[tuple[str, str]]:
    """(name, version) of what a lockfile holds; nothing where it is of another kind."""
    text = body.decode(errors="replace")
    pinned = {(_normal(match[1]), match[2]) for match in _PINNED.finditer(text)}
    try:
        return pinned or (_in_uv(text) if "[[package]]" in text else _in_pex(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def _in_pex(text: str) -> set[tuple[str, str]]:
    lines = (line for line in text.splitlines() if not line.startswith("//"))
    return {
        (_normal(each["project_name"]), str(each["version"]))
        for resolve in json.loads("\n".join(lines))["locked_resolves"]
        for each in resolve["locked_requirements"]
    }


def _in_uv(text: str) -> set[tuple[str, str]]:
    packages = tomllib.loads(text)["package"]
    return {(_normal(each["name"]), str(each["version"])) for each in packages if "version" in each}


def _normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
