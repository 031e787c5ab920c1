"""What can be said of a recipe's YAML configs without running it: their bases, their `${…}`.

The checks follow what happens at run time: a config and its `defaults:` are merged, the launcher
adds its own keys, then every interpolation is resolved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union

from pants_runspec.config.compose import (
    DEFAULTS,
    Composer,
    Composition,
    Finding,
    defaults_of,
)
from pants_runspec.config.interpolation import (
    Call,
    InterpolationError,
    has_interpolation,
    nested,
    parse_interpolations,
)
from pants_runspec.config.values import Values
from pants_runspec.config.yaml_tree import Scalar, leaves

__all__ = ["Finding", "check_recipe", "defaults_of"]


def check_recipe(
    paths: Iterable[str], files: Mapping[str, str], *, default: Optional[str] = None
) -> tuple[Finding, ...]:
    """Check the configs of a recipe.

    Every file is checked to be sound. Interpolations are checked in each config as it is run, that
    is with all it builds on. A config that another one builds on may leave keys to that one, so it
    is checked by itself only if it is the recipe's default.

    Args:
        paths: The configs, as paths relative to the build root.
        files: The content of every YAML there is, by its path relative to the build root.
        default: The config that runs if none is named.

    Returns:
        Sorted by file and line. Resolvers that are neither OmegaConf's nor ours are named in one
        finding for all of the recipe, at the first place that uses one.
    """
    composer = Composer(files)
    entries = sorted({*paths, *(() if default is None else (default,))})
    compositions = [composer.compose(path) for path in entries]
    bases = {base for each in compositions for base in each.chain[:-1]}
    findings = {finding for each in compositions for finding in each.findings}
    said: set[tuple[str, int, str]] = set()
    foreign: dict[str, list[tuple[str, int]]] = {}
    # A base before what builds on it: a problem of both is told as the base's own.
    for path, composition in sorted(
        zip(entries, compositions), key=lambda each: (len(each[1].chain), each[0])
    ):
        is_abstract = path in bases and path != default
        for problem in _check_values(composition, files):
            if isinstance(problem, _ForeignUse):
                foreign.setdefault(problem.resolver, []).append((problem.path, problem.line))
                continue
            place = (problem.path, problem.line, problem.excerpt)
            if place in said or (is_abstract and problem.may_be_given_later):
                continue
            said.add(place)
            composed = "" if problem.path == path else f" (composing {path})"
            message = f"`{problem.excerpt}` {problem.text}{composed}"
            findings.add(Finding(problem.path, problem.line, message, True))
    if foreign:
        findings.add(_foreign_finding(foreign))
    return tuple(sorted(findings))


def _foreign_finding(uses: Mapping[str, Sequence[tuple[str, int]]]) -> Finding:
    path, line = min(place for places in uses.values() for place in places)
    names = ", ".join(f"`{name}`" for name in sorted(uses))
    message = f"not checked: the script itself must register the resolvers {names}"
    if len(uses) == 1:
        message = f"not checked: the script itself must register the resolver {names}"
    return Finding(path, line, message, False)


_OUR_RESOLVERS = ("art", "auto_mount", "manifest")


@dataclass(frozen=True)
class _Problem:
    """An interpolation that fails; `may_be_given_later`: a config above may bring what it lacks."""

    path: str
    line: int
    excerpt: str
    text: str
    may_be_given_later: bool


@dataclass(frozen=True)
class _ForeignUse:
    path: str
    line: int
    resolver: str


def _check_values(
    composition: Composition, files: Mapping[str, str]
) -> Iterable[Union[_Problem, _ForeignUse]]:
    """Yield the interpolations of a composed config that fail or that only the script knows."""
    values = Values(composition.tree)
    for keys, leaf in leaves(composition.tree):
        if not isinstance(leaf.value, str) or not has_interpolation(leaf.value):
            continue
        try:
            parts = parse_interpolations(leaf.value)
        except InterpolationError as error:
            line = _line_of(leaf, error.excerpt, files)
            text = f"is no interpolation that OmegaConf reads: {error.problem}"
            yield _Problem(leaf.path, line, error.excerpt, text, False)
            continue
        if keys[0] == DEFAULTS:
            # Only Hydra's are still there, and Hydra resolves them with keys of its own.
            continue
        for interpolation in nested(parts):
            line = _line_of(leaf, interpolation.text, files)
            if isinstance(interpolation, Call):
                name = _static_name(interpolation)
                if name is not None and _is_foreign(name):
                    yield _ForeignUse(leaf.path, line, name)
            problem = values.problem(interpolation, keys)
            if problem is not None and composition.is_complete:
                yield _Problem(leaf.path, line, interpolation.text, problem, True)


def _line_of(leaf: Scalar, excerpt: str, files: Mapping[str, str]) -> int:
    """Return the line of a text of several lines on which an interpolation begins."""
    if leaf.last_line == leaf.line:
        return leaf.line
    start = excerpt.rstrip("…").split("\n")[0]
    lines = files[leaf.path].splitlines()[leaf.line - 1 : leaf.last_line]
    return leaf.line + next((index for index, text in enumerate(lines) if start in text), 0)


def _static_name(call: Call) -> Optional[str]:
    names = [part for part in call.name if isinstance(part, str)]
    return ".".join(names) if len(names) == len(call.name) else None


def _is_foreign(resolver: str) -> bool:
    return resolver not in _OUR_RESOLVERS and not resolver.startswith("oc.")
