"""A resolve's lockfile as plain values: what is locked, with which hashes, and who needs whom.

Pants treats a lockfile as one opaque input. A recipe's fingerprint needs less: exactly the locked
projects that its own requirements lead to. Three formats are read, recognised by their content:

* `requirements.txt` style, as `uv pip compile` and `pip-compile` write it. Its edges are the
  `# via` comments, so the file must have been compiled with annotations (the default of both).
* Pex's JSON, as `pants generate-lockfiles` writes it, below Pants' header of `//` lines.
* `uv.lock` (TOML).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class LockfileError(Exception):
    """A lockfile that cannot be read. Its text is one line: file, line, problem, what to do."""

    def __init__(self, path: str, line: Optional[int], problem: str, fix: str) -> None:
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {problem}; {fix}")
        self.path = path
        self.line = line
        self.problem = problem
        self.fix = fix


class RequirementError(Exception):
    """A string that is no PEP 508 requirement."""

    def __init__(self, requirement: str, problem: str) -> None:
        super().__init__(
            f"{requirement!r} is no requirement ({problem}); "
            "write it as in `numpy>=1.26,<3` or `name @ https://…` (PEP 508)"
        )
        self.requirement = requirement


@dataclass(frozen=True, order=True)
class LockedPackage:
    """One version of one project, as a lockfile pins it.

    Attributes:
        name: The project's name, normalised as PEP 503 says.
        version: The pinned version as written; the URL where the lock pins a URL.
        hashes: `algorithm:hex` of every locked archive, sorted. Empty in a lock without hashes.
        requires: The normalised names of the locked projects that it needs, sorted. What one
            version needs and another does not, a `requirements.txt` cannot tell: there each has
            the needs of all.
        marker: The environments it is meant for, as a PEP 508 marker; empty for all of them.
            Only `requirements.txt` style says it of a package.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    requires: tuple[str, ...]
    marker: str = ""

    @property
    def requirement_line(self) -> str:
        """The PEP 508 requirement that asks for exactly this package, where it is meant for."""
        pin = f"{self.name} @ {self.version}" if self.is_url else f"{self.name}=={self.version}"
        return f"{pin} ; {self.marker}" if self.marker else pin

    @property
    def is_url(self) -> bool:
        """Whether the lock pins a URL instead of a version."""
        return "/" in self.version


@dataclass(frozen=True)
class Missing:
    """A requirement that a lockfile does not satisfy.

    Its text is the requirement and what is locked instead: `numpy<2 (numpy 2.4.6 is locked)`.

    Attributes:
        requirement: The requirement as the script has it.
        name: Its project's normalised name.
        locked: The versions of that project that the lock does hold, none of which fits.
        nearest: A locked project with a similar name, where the project itself is not locked.
    """

    requirement: str
    name: str
    locked: tuple[str, ...]
    nearest: Optional[str]

    def __str__(self) -> str:
        if self.locked:
            verb = "is" if len(self.locked) == 1 else "are"
            return f"{self.requirement} ({self.name} {', '.join(self.locked)} {verb} locked)"
        if self.nearest is not None:
            return f"{self.requirement} (did you mean {self.nearest}?)"
        return self.requirement


@dataclass(frozen=True)
class Lock:
    """Everything that one lockfile pins.

    Attributes:
        packages: Sorted by name and version. A universal lock may hold several versions of a
            project, each for other interpreters or platforms; all of them are here.
        is_requirements_file: Whether it is in `requirements.txt` style, which any installer takes.
    """

    packages: tuple[LockedPackage, ...]
    is_requirements_file: bool = False

    @cached_property
    def _by_name(self) -> Mapping[str, tuple[LockedPackage, ...]]:
        found: defaultdict[str, list[LockedPackage]] = defaultdict(list)
        for package in self.packages:
            found[package.name].append(package)
        return {name: tuple(packages) for name, packages in found.items()}

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the locked versions of a project, in the order of the packages."""
        return tuple(package.version for package in self._by_name.get(normalised(name), ()))

    def closure(
        self, names: Iterable[str], without: Iterable[str] = ()
    ) -> tuple[LockedPackage, ...]:
        """Return the named projects and everything they need.

        Args:
            names: Project names or whole requirements; those that the lock lacks are left out
                (`missing` tells them).
            without: Project names that are left out, and what nothing but they needs with them.

        Returns:
            Every locked version of every project reached, sorted by name and version.
        """
        waiting = [project_name(name) for name in names]
        left_out = {normalised(name) for name in without}
        reached: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in reached or name in left_out:
                continue
            reached.add(name)
            for package in self._by_name.get(name, ()):
                waiting.extend(package.requires)
        return tuple(package for package in self.packages if package.name in reached)

    def missing(
        self,
        requirements: Iterable[str],
        environments: Sequence[Mapping[str, str]] = (),
    ) -> tuple[Missing, ...]:
        """Return the requirements that the lock does not satisfy, in the order given.

        Args:
            requirements: PEP 508 strings. A requirement by URL is satisfied by its project's name:
                what a lock pins for a URL has no specifier to compare.
            environments: Marker variables (`python_version`, `python_full_version`, …) of each
                interpreter the recipe may run on; what they leave out is taken from this process.
                A requirement whose marker holds in none of them is not needed. Without any, every
                requirement is.

        Raises:
            RequirementError: A string is no requirement.
        """
        found = []
        for text in requirements:
            requirement = _requirement(text)
            name = normalised(requirement.name)
            if not _is_needed(requirement, environments):
                continue
            versions = self.versions(name)
            if any(_satisfies(version, requirement) for version in versions):
                continue
            nearest = None if versions else self.nearest(name)
            found.append(Missing(text.strip(), name, versions, nearest))
        return tuple(found)

    def nearest(self, name: str) -> Optional[str]:
        """Return the locked project whose name is most like this one, or None."""
        matches = difflib.get_close_matches(normalised(name), list(self._by_name), n=1)
        return matches[0] if matches else None


def normalised(name: str) -> str:
    """Return a project's name in the one form in which PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def project_name(requirement: str) -> str:
    """Return the normalised project name of a PEP 508 string, with or without extras and markers.

    Raises:
        RequirementError: It does not start with a project's name.
    """
    match = _NAME.match(requirement)
    if match is None:
        raise RequirementError(requirement, "it starts with no project name")
    return normalised(match.group(1))


def require_valid(requirements: Iterable[str]) -> None:
    """Raise `RequirementError` for the first string that is no PEP 508 requirement."""
    for requirement in requirements:
        _requirement(requirement)


def subset_digest(packages: Iterable[LockedPackage]) -> str:
    """Return the sha256 (hex) of what a set of locked packages installs.

    One line a package, its requirement with its marker, then its hashes; sorted. The edges are no
    part of it: they have done their work when the subset was chosen.
    """
    lines = {" ".join((each.requirement_line, *sorted(each.hashes))) for each in packages}
    text = "".join(f"{line}\n" for line in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()


def parse_lockfile(text: str, path: str) -> Lock:
    """Read a lockfile in any of the three formats.

    Args:
        text: The file's content.
        path: Its path, for error texts.

    Raises:
        LockfileError: It is broken, or pins something that has no name or no version.
    """
    body = _without_pants_header(text.lstrip("\ufeff"))
    if body.lstrip().startswith("{"):
        return _pex_lock(body, path)
    if _UV_PACKAGE.search(body):
        return _uv_lock(body, path)
    return _requirements_lock(body, path)


# A project's name as PEP 508 spells it; what follows must not continue the name.
_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?![A-Za-z0-9._-])")
_UV_PACKAGE = re.compile(r"^\[\[package\]\]\s*$", re.MULTILINE)
_REGENERATE = "generate the lockfile again"


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text.strip())
    except InvalidRequirement as error:
        raise RequirementError(text, " ".join(str(error).split())) from error


def _is_needed(requirement: Requirement, environments: Sequence[Mapping[str, str]]) -> bool:
    marker = requirement.marker
    if marker is None or not environments:
        return True
    # A script asks for no extra of itself; packaging before 22 wants the variable to be there.
    return any(marker.evaluate({"extra": "", **environment}) for environment in environments)


def _satisfies(version: str, requirement: Requirement) -> bool:
    if requirement.url is not None:
        return True
    try:
        parsed = Version(version)
    except InvalidVersion:
        # A URL: which version it brings is known only once it is built.
        return True
    # The lock was made by somebody who allowed the pre-release it holds.
    return requirement.specifier.contains(parsed, prereleases=True)


def _without_pants_header(text: str) -> str:
    """Blank the `//` lines that Pants puts in front of a lock, so that line numbers stay right."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if line.startswith("//"):
            lines[index] = ""
        elif line.strip():
            break
    return "\n".join(lines)


class _Collector:
    """Gathers packages and edges while a file is read; one project-version may come in pieces."""

    def __init__(self) -> None:
        self._hashes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._requires: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._markers: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, name: str, version: str, hashes: Iterable[str], marker: str = "") -> None:
        self._hashes[(name, version)].update(hashes)
        self._markers[(name, version)].add(marker)

    def add_need(self, name: str, version: str, needed: str) -> None:
        self._requires[(name, version)].add(needed)

    def packages(self, needs: Mapping[str, Iterable[str]]) -> tuple[LockedPackage, ...]:
        """Return what was gathered; `needs` are those known by name alone, whatever the version."""
        names = {name for name, _ in self._hashes}
        packages = []
        for key in sorted(self._hashes):
            name, version = key
            requires = self._requires[key].union(needs.get(name, ())) & (names - {name})
            packages.append(
                LockedPackage(
                    name,
                    version,
                    tuple(sorted(self._hashes[key])),
                    tuple(sorted(requires)),
                    _any_of(self._markers[key]),
                )
            )
        return tuple(packages)


def _any_of(markers: set[str]) -> str:
    """Return the marker that holds where one of them does; an empty one holds everywhere."""
    if "" in markers or len(markers) == 1:
        return min(markers)
    return " or ".join(f"({marker})" for marker in sorted(markers))


_COMMENT = re.compile(r"(?:^|\s)#(.*)$")
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*"
    r"(?:===?\s*(?P<version>[^\s;,@*]+)|@\s*(?P<url>\S+))\s*(?P<rest>.*)",
    re.DOTALL,
)
_HASH = re.compile(r"--hash(?:=|\s+)(\S+)")
_MARKER = re.compile(r";(.*?)(?=\s--\w|$)", re.DOTALL)
_HASH_VALUE = re.compile(r"[a-z0-9_]+:[0-9a-fA-F]+")
# What pip lets stand in a requirements file and what pins nothing.
_GLOBAL_OPTIONS = (
    "-i",
    "--index-url",
    "--extra-index-url",
    "--no-index",
    "-f",
    "--find-links",
    "--no-binary",
    "--only-binary",
    "--prefer-binary",
    "--require-hashes",
    "--pre",
    "--trusted-host",
    "--use-feature",
)


def _requirements_lock(text: str, path: str) -> Lock:
    collector = _Collector()
    needed_by: dict[str, set[str]] = defaultdict(set)
    for line, requirement, comments in _logical_lines(text):
        name = _add_pin(collector, requirement, path, line)
        if name is not None:
            needed_by[name].update(_via(comments))
    requires: dict[str, set[str]] = defaultdict(set)
    for name, parents in needed_by.items():
        for parent in parents:
            requires[parent].add(name)
    return Lock(collector.packages(requires), is_requirements_file=True)


def _logical_lines(text: str) -> Iterable[tuple[int, str, list[str]]]:
    """Yield each requirement: its first line's number, its text, the comments beside and below."""
    line = 0
    requirement: Optional[str] = None
    comments: list[str] = []
    continues = False
    for number, physical in enumerate(text.splitlines(), start=1):
        comment = _COMMENT.search(physical)
        content = (physical[: comment.start()] if comment else physical).strip()
        if content:
            joined = content[:-1].rstrip() if content.endswith("\\") else content
            if continues and requirement is not None:
                requirement = f"{requirement} {joined}"
            else:
                if requirement is not None:
                    yield line, requirement, comments
                line, requirement, comments = number, joined, []
            continues = content.endswith("\\")
        if comment:
            comments.append(comment.group(1))
        elif not content:
            continues = False
    if requirement is not None:
        yield line, requirement, comments


def _add_pin(collector: _Collector, requirement: str, path: str, line: int) -> Optional[str]:
    """Add what one logical line pins; return its name, None for a line of options alone."""
    if requirement.startswith("-"):
        option = re.split(r"[=\s]", requirement, maxsplit=1)[0]
        if option in _GLOBAL_OPTIONS:
            return None
        raise LockfileError(
            path,
            line,
            f"`{option}` in a lockfile: what it brings in is not pinned here",
            "compile everything into one file: uv pip compile --universal --generate-hashes",
        )
    match = _PIN.match(requirement)
    if match is None or (match["version"] and not _is_end_of_pin(match["rest"])):
        raise LockfileError(
            path,
            line,
            f"`{requirement.split(' --hash')[0]}` is no pin (`name==version` or `name @ URL`)",
            "lock it with: uv pip compile --universal --generate-hashes",
        )
    hashes = [value.strip("\"'") for value in _HASH.findall(match["rest"])]
    for value in hashes:
        if _HASH_VALUE.fullmatch(value) is None:
            raise LockfileError(path, line, f"`--hash={value}` is no hash", _REGENERATE)
    name = normalised(match["name"])
    marker = _MARKER.match(match["rest"])
    collector.add(
        name,
        match["version"] or match["url"],
        (each.lower() for each in hashes),
        "" if marker is None else marker.group(1).strip(),
    )
    return name


def _is_end_of_pin(rest: str) -> bool:
    return not rest or rest.startswith((";", "--"))


def _via(comments: Sequence[str]) -> set[str]:
    """Return the projects that the `# via` comments of one requirement name.

    Both styles of pip-compile and uv: `# via a, b` on one line, or `# via` and one name a line,
    indented. What is named by a file (`-r in.txt`, `project (pyproject.toml)`) is a root: it is
    asked for by no locked project.
    """
    parents: set[str] = set()
    in_block = False
    for comment in comments:
        head = re.match(r"\s*via(?:\s+(.*))?$", comment)
        if head is not None:
            in_block = True
            items = head.group(1) or ""
        elif in_block and comment.startswith("  "):
            items = comment
        else:
            in_block = False
            continue
        for item in items.split(","):
            name = _NAME.match(item)
            if name is not None and not item.rstrip().endswith(")"):
                parents.add(normalised(name.group(1)))
    return parents


def _pex_lock(text: str, path: str) -> Lock:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise LockfileError(path, error.lineno, f"broken JSON: {error.msg}", _REGENERATE) from error
    except RecursionError as error:
        raise LockfileError(path, None, "its JSON is nested too deeply", _REGENERATE) from error
    collector = _Collector()
    asked: list[str] = []
    needs: list[tuple[str, str, list[str]]] = []
    try:
        resolves = document["locked_resolves"]
        asked.extend(map(str, document.get("requirements", ())))
        for locked in (each for resolve in resolves for each in resolve["locked_requirements"]):
            name, version = normalised(locked["project_name"]), str(locked["version"])
            hashes = [f"{each['algorithm']}:{each['hash']}" for each in locked["artifacts"]]
            collector.add(name, version, hashes)
            needs.append((name, version, [str(each) for each in locked["requires_dists"]]))
    except (KeyError, TypeError, AttributeError) as error:
        raise LockfileError(
            path, None, f"no Pex lockfile: {_shape_problem(error)}", _REGENERATE
        ) from error
    edges = [
        _Edge(name, version, _extras_in_marker(dist), project_name(dist), _extras_of(dist))
        for name, version, dists in needs
        for dist in dists
    ]
    _add_edges(collector, edges, ((project_name(each), _extras_of(each)) for each in asked))
    return Lock(collector.packages({}))


@dataclass(frozen=True)
class _Edge:
    """One project's need of another: `when` names the extras that bring it in, empty for always;
    `extras` are those it asks of the other."""

    name: str
    version: str
    when: tuple[str, ...]
    needed: str
    extras: tuple[str, ...]


def _add_edges(
    collector: _Collector,
    edges: Sequence[_Edge],
    asked: Iterable[tuple[str, tuple[str, ...]]],
) -> None:
    """Add the edges that hold: an extra's needs count once anybody in the lock asks for it."""
    active: set[tuple[str, str]] = {(name, extra) for name, extras in asked for extra in extras}
    waiting = list(edges)
    while waiting:
        holding = [
            edge
            for edge in waiting
            if not edge.when or any((edge.name, extra) in active for extra in edge.when)
        ]
        if not holding:
            return
        for edge in holding:
            collector.add_need(edge.name, edge.version, edge.needed)
            active.update((edge.needed, extra) for extra in edge.extras)
        held = set(holding)
        waiting = [edge for edge in waiting if edge not in held]


_EXTRAS = re.compile(r"\s*[A-Za-z0-9._-]+\s*\[([^\]]*)\]")
_EXTRA_MARKER = re.compile(r"""extra\s*==\s*["']([^"']*)["']|["']([^"']*)["']\s*==\s*extra\b""")


def _extras_of(requirement: str) -> tuple[str, ...]:
    match = _EXTRAS.match(requirement)
    if match is None:
        return ()
    return tuple(normalised(each.strip()) for each in match.group(1).split(",") if each.strip())


def _extras_in_marker(requirement: str) -> tuple[str, ...]:
    """Return the extras one of which a requirement's marker asks for; empty if it needs none."""
    _, semicolon, marker = requirement.partition(";")
    if not semicolon:
        return ()
    extras: list[str] = []
    for branch in re.split(r"\bor\b", marker):
        names = _EXTRA_MARKER.findall(branch)
        if not names:
            # One way to be needed that no extra stands in: count it as always.
            return ()
        extras.extend(normalised(left or right) for left, right in names)
    return tuple(extras)


def _shape_problem(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"key {error.args[0]!r} is missing"
    return "a value has another type than it has in this format"


# The project itself and its workspace: first-party sources, no locked requirement.
_FIRST_PARTY_SOURCES = ("virtual", "editable")


def _uv_lock(text: str, path: str) -> Lock:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        problem = re.sub(r"\s*\(at .*\)$", "", str(error))
        raise LockfileError(
            path, int(line.group(1)) if line else None, f"broken TOML: {problem}", _REGENERATE
        ) from error
    collector = _Collector()
    edges: list[_Edge] = []
    asked: list[tuple[str, tuple[str, ...]]] = []
    try:
        for each in document.get("manifest", {}).get("requirements", ()):
            asked.append((normalised(each["name"]), _uv_extras(each)))
        for package in document["package"]:
            name = normalised(package["name"])
            source: dict[str, Any] = package.get("source", {})
            if any(kind in source for kind in _FIRST_PARTY_SOURCES):
                asked.extend(
                    (normalised(need["name"]), _uv_extras(need))
                    for needs in _uv_needs(package).values()
                    for need in needs
                )
                continue
            version = str(package.get("version") or next(iter(source.values())))
            archives = [*package.get("wheels", ())]
            if "sdist" in package:
                archives.append(package["sdist"])
            hashes = [each["hash"] for each in archives if "hash" in each]
            collector.add(name, version, hashes)
            edges.extend(
                _Edge(name, version, when, normalised(need["name"]), _uv_extras(need))
                for when, needs in _uv_needs(package).items()
                for need in needs
            )
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise LockfileError(
            path, None, f"no uv.lock: {_shape_problem(error)}", "write it again with: uv lock"
        ) from error
    _add_edges(collector, edges, asked)
    return Lock(collector.packages({}))


def _uv_needs(package: Mapping[str, Any]) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    """Return a package's needs by the extra that brings them in (`()`: always)."""
    needs: dict[tuple[str, ...], list[Mapping[str, Any]]] = {
        (): list(package.get("dependencies", ()))
    }
    for extra, found in package.get("optional-dependencies", {}).items():
        needs[(normalised(extra),)] = list(found)
    for found in package.get("dev-dependencies", {}).values():
        needs[()].extend(found)
    return needs


def _uv_extras(need: Mapping[str, Any]) -> tuple[str, ...]:
    # uv writes `extra` among dependencies and `extras` in the manifest.
    return tuple(normalised(each) for each in (*need.get("extra", ()), *need.get("extras", ())))
