"""The config of an artifact: the YAML files that it is composed of, and the artifacts it names."""

from __future__ import annotations

import difflib
import glob
import os.path
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pants.engine.fs import GlobMatchErrorBehavior, PathGlobs
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_runspec.config.compose import Composer, defaults_of
from pants_runspec.config.overrides import override_path, unknown_key
from pants_runspec.config.yaml_tree import plain, read_value
from pants_runspec.engine import (
    get_digest_contents,
    path_globs_to_digest,
    path_globs_to_paths,
    rule,
)
from pants_runspec.paths import leaves_build_root
from pants_runspec.recipe.dependencies import config_globs
from runspec.references import find_artifact_references

SUFFIXES = (".yaml", ".yml")

_CONFIG_VALUE = re.compile(r"\$\{(?P<path>[A-Za-z_][A-Za-z0-9_.-]*)\}")


@dataclass(frozen=True)
class ChainRequest:
    """A request for what a config is composed of.

    Attributes:
        name: the config, as the target or the recipe names it.
        folder: the recipe's config folder.
        in_build_root: whether a path is seen from the build root too, as a person's is; one that
            a recipe names means the same wherever it is run from.
    """

    name: str
    folder: str
    in_build_root: bool


@dataclass(frozen=True)
class Chain:
    """What a config is composed of. One of `problem` and `files` is set.

    Attributes:
        files: path and content of each YAML, the config itself last.
        problem: why it cannot be composed.
        config: the config, composed, interpolations unresolved; it follows from `files`.
        references: the artifacts that its `run` section names, by key; they follow from `files`.
    """

    files: tuple[tuple[str, str], ...]
    problem: str | None
    config: Mapping[Any, Any] = field(compare=False, repr=False, default_factory=dict)
    references: tuple[tuple[str, str], ...] = field(compare=False, default=())

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path, _ in self.files)


def candidates(request: ChainRequest) -> tuple[str, ...]:
    """Return the paths that a config may have, in the order in which the launcher looks."""
    name, folder = request.name, request.folder
    if "/" in name or name.endswith(SUFFIXES):
        places = ("", folder) if request.in_build_root else (folder,)
        return tuple(os.path.normpath(os.path.join(place, name)) for place in places)
    return tuple(os.path.normpath(os.path.join(folder, f"{name}{suffix}")) for suffix in SUFFIXES)


def no_config(request: ChainRequest, there: Iterable[str]) -> str:
    """Say that a config does not exist, and what there is."""
    names = sorted(os.path.splitext(os.path.relpath(path, request.folder))[0] for path in there)
    stem = os.path.splitext(request.name)[0]
    nearest = difflib.get_close_matches(stem, names, n=1)
    listed = ", ".join(names) if names else f"none in {request.folder}"
    hint = f"did you mean {nearest[0]!r}? There are: " if nearest else "there are: "
    return f"there is no config {request.name!r}; {hint}{listed}"


def with_overrides(config: Mapping[Any, Any], overrides: Iterable[str]) -> dict[Any, Any]:
    """Return a composed config with `key=value` overrides on top, as far as references go.

    What cannot be meant as it is written is left to the launcher, which says so.
    """
    changed = dict(config)
    for override in overrides:
        _, separator, value = override.partition("=")
        *parents, last = override_path(override)
        if not separator:
            continue
        node: Any = changed
        for part in parents:
            below = node.get(part) if isinstance(node, dict) else None
            if isinstance(below, (str, int, float, list)) or not isinstance(node, dict):
                node = None
                break
            node[part] = dict(below or {})
            node = node[part]
        if isinstance(node, dict):
            new, old = read_value(value), node.get(last)
            is_laid_over = isinstance(new, dict) and isinstance(old, Mapping)
            node[last] = {**old, **new} if is_laid_over else new  # type: ignore[dict-item]
    return changed


def override_problem(config: Mapping[Any, Any], overrides: Iterable[str]) -> str | None:
    """Return what is wrong with the keys of some overrides of a config, None if nothing is."""
    for override in overrides:
        problem = unknown_key(config, override)
        if problem is not None:
            return f"{override!r}: {problem} `+{override}` adds it"
        config = with_overrides(config, (override,))
    return None


def artifact_references(config: Mapping[Any, Any]) -> dict[str, str]:
    """Return the artifacts that the `run` section of a composed config names, by key.

    `${name}` in one is replaced by what the config has there; what only the job knows, such as
    `${oc.env:DATA}`, stays.
    """
    return {
        key: _CONFIG_VALUE.sub(lambda match: _value_of(config, match), text)
        for key, text in find_artifact_references(config).items()
    }


def _value_of(config: Mapping[Any, Any], match: re.Match[str]) -> str:
    node: Any = config
    for part in match["path"].split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    is_plain = isinstance(node, (str, int)) and not isinstance(node, bool)
    return str(node) if is_plain and "${" not in str(node) else match[0]


@rule(desc="Read the config of an artifact", level=LogLevel.DEBUG)
async def read_chain(request: ChainRequest) -> Chain:
    possible = candidates(request)
    wanted = tuple(path for path in possible if not leaves_build_root(path))
    contents: dict[str, str] = {}
    asked: set[str] = set()
    path: str | None = None
    while wanted:
        asked.update(wanted)
        digest = await path_globs_to_digest(
            PathGlobs(
                [glob.escape(each) for each in wanted],
                glob_match_error_behavior=GlobMatchErrorBehavior.ignore,
            )
        )
        found = await get_digest_contents(digest)
        read = {file.path: file.content.decode(errors="replace") for file in found}
        contents.update(read)
        if path is None:
            path = next((each for each in possible if each in read), None)
            if path is None:
                break
            read = {path: read[path]}
        wanted = tuple(
            base
            for file, text in read.items()
            for base in defaults_of(text, file)
            if base not in asked and not leaves_build_root(base)
        )
    if path is None:
        there = await path_globs_to_paths(PathGlobs(config_globs(request.folder)))
        return Chain((), no_config(request, there.files))
    composition = Composer(contents).compose(path)
    if not composition.is_complete or any(each.is_error for each in composition.findings):
        worst = min(composition.findings, key=lambda each: (not each.is_error, each))
        return Chain((), str(worst))
    config = plain(composition.tree)
    return Chain(
        tuple((each, contents[each]) for each in composition.chain),
        None,
        config,
        tuple(artifact_references(config).items()),
    )


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
