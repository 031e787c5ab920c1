"""What a relayed command needs on the other host, and its command line there.

Of the arguments only those are touched that name what lies here: bundles, plans and configs. They
are sent, and the command gets their paths there. All else counts there, as it is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nemo_runspec.bundles import check_bundle, read_bundle
from nemo_runspec.command_line import Command, parse
from nemo_runspec.exceptions import UsageError
from nemo_runspec.execution.environment import INPUTS_BUNDLES_VARIABLE, INPUTS_PLAN_VARIABLE
from nemo_runspec.jobs import bundle_copy
from nemo_runspec.relay.far_side import RUNS
from nemo_runspec.relay.send import Entry, Tree, digest_of, folder_entries
from runspec import ArgumentsError, parse_arguments
from runspec.plan import CONFIGS_FOLDER, PLAN_FILE

_CONFIGS = "_relay/configs"
_PLAN = "plan"
_BUNDLES = "bundles"
_CONFIG_OPTIONS = ("--config", "-c")


@dataclass(frozen=True)
class Place:
    """Where a relayed command has its files.

    Args:
        root: the folder there that all is kept below, absolute.
        id: names the command.
    """

    root: str
    id: str

    @property
    def run(self) -> str:
        """The command's own folder, below the root."""
        return f"{RUNS}/{self.id}"

    def path(self, *parts: str) -> str:
        """The path there of something below the root."""
        return "/".join((self.root, *parts))


@dataclass(frozen=True)
class Errand:
    """A command for another host.

    Args:
        arguments: its command line there.
        trees: what it needs, once per digest.
        files: what it alone needs, in its own folder.
        env: variables that it needs.
    """

    arguments: tuple[str, ...]
    trees: tuple[Tree, ...] = ()
    files: tuple[Entry, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def errand_of(
    arguments: Sequence[str], place: Place, environ: Mapping[str, str] = os.environ
) -> Errand:
    """The errand that a command line is.

    Args:
        arguments: the command line, with the command's name.
        place: where it will have its files.
        environ: the environment here.

    Raises:
        NemoRunspecError: the command line is wrong, or what it names cannot be sent.
    """
    make = _ERRANDS.get(arguments[0])
    return Errand(tuple(arguments)) if make is None else make(arguments[1:], place, environ)


def _recipe(arguments: Sequence[str], place: Place, environ: Mapping[str, str]) -> Errand:
    folder, *argv = arguments
    try:
        parsed = parse_arguments(argv)
    except ArgumentsError as error:
        raise UsageError(str(error)) from error
    bundle, path = _bundle(Path(folder), place)
    trees = [bundle]
    if parsed.config and Path(parsed.config).is_file() and _is_path(parsed.config):
        configs, config = _configs(Path(parsed.config), place)
        trees.append(configs)
        argv = _with_config(argv, config)
    files: list[Entry] = []
    env: dict[str, str] = {}
    inputs = environ.get(INPUTS_PLAN_VARIABLE)
    if inputs:
        files += _plan(Path(inputs))
        env[INPUTS_PLAN_VARIABLE] = place.path(place.run, _PLAN)
        bundles = Path(environ.get(INPUTS_BUNDLES_VARIABLE) or os.path.join(inputs, _BUNDLES))
        if bundles.is_dir():
            below, more = _bundles(bundles, place)
            trees += below
            files += more
            env[INPUTS_BUNDLES_VARIABLE] = place.path(place.run, _BUNDLES)
    return Errand(("recipe", path, *argv), tuple(trees), tuple(files), env)


def _plan_command(arguments: Sequence[str], place: Place, environ: Mapping[str, str]) -> Errand:
    from nemo_runspec.pipeline.commands import PLAN

    return _planned(PLAN, arguments, place)


def _materialize(arguments: Sequence[str], place: Place, environ: Mapping[str, str]) -> Errand:
    from nemo_runspec.pipeline.materialize import MATERIALIZE

    return _planned(MATERIALIZE, arguments, place)


def _doctor(arguments: Sequence[str], place: Place, environ: Mapping[str, str]) -> Errand:
    from nemo_runspec.preflight.doctor import DOCTOR

    given = parse(DOCTOR, arguments)
    if not given.arguments:
        return Errand(("doctor", *arguments))
    tree, path = _bundle(Path(given.arguments[0]), place)
    return Errand(("doctor", path, *_options(DOCTOR, given.values)), (tree,))


def _lineage(arguments: Sequence[str], place: Place, environ: Mapping[str, str]) -> Errand:
    from nemo_runspec.lineage.commands import LINEAGE

    given = parse(LINEAGE, arguments)
    if given.has("--output"):
        raise UsageError(
            'lineage --output writes where it runs: with tunnel = "ssh" on the other host; leave '
            "it out, and write what is printed to a file: `… > FILE`"
        )
    values = dict(given.values)
    plan = values.pop("--plan", None)
    if plan is None:
        return Errand((LINEAGE.name, *arguments))
    option = f"--plan={place.path(place.run, _PLAN)}"
    words = (LINEAGE.name, option, *_options(LINEAGE, values), *given.arguments)
    return Errand(words, files=tuple(_plan(Path(plan[-1]))))


def _export(arguments: Sequence[str], place: Place, environ: Mapping[str, str]) -> Errand:
    raise UsageError(
        'export writes here, and with tunnel = "ssh" the store is on the profile\'s host; look at '
        "the artifact with `store show`, or export it there"
    )


_ERRANDS: Mapping[str, Callable[[Sequence[str], Place, Mapping[str, str]], Errand]] = {
    "doctor": _doctor,
    "export": _export,
    "lineage": _lineage,
    "materialize": _materialize,
    "plan": _plan_command,
    "recipe": _recipe,
}


def _planned(command: Command, arguments: Sequence[str], place: Place) -> Errand:
    """A command about a plan, whose folder is its only argument."""
    given = parse(command, arguments)
    values = dict(given.values)
    trees: list[Tree] = []
    files = _plan(Path(given.arguments[0]))
    bundles = values.pop("--bundles", None)
    options = []
    if bundles is not None:
        trees, more = _bundles(Path(bundles[-1]), place)
        files += more
        options.append(f"--bundles={place.path(place.run, _BUNDLES)}")
    options += _options(command, values)
    return Errand(
        (command.name, place.path(place.run, _PLAN), *options), tuple(trees), tuple(files)
    )


def _options(command: Command, values: Mapping[str, Sequence[str]]) -> list[str]:
    """The options of a command line, as they were given."""
    by_name = {flag.names[0]: flag for flag in command.all_flags}
    options = []
    for name, each in values.items():
        options += [name] if by_name[name].value is None else [f"{name}={one}" for one in each]
    return options


def _bundle(folder: Path, place: Place) -> tuple[Tree, str]:
    """A bundle, and its path there: where the jobs of a cluster keep it anyhow."""
    bundle = read_bundle(folder)
    check_bundle(bundle)
    path = bundle_copy(Path(), bundle.document.digest).as_posix()
    return Tree(path, lambda: folder_entries(bundle.root)), place.path(path)


def _bundles(folder: Path, place: Place) -> tuple[list[Tree], list[Entry]]:
    """The bundles in a folder with an index, and an index of where they are there.

    Nothing is known there of our interpreters.
    """
    from nemo_runspec.pipeline.materialize import INDEX_FILE, read_index

    index = {}
    trees = []
    for recipe, (name, _python) in read_index(folder).items():
        tree, path = _bundle(folder / name, place)
        trees.append(tree)
        index[recipe] = {"folder": path, "python": None}
    text = json.dumps(index, indent=1, sort_keys=True) + "\n"
    return trees, [Entry(f"{_BUNDLES}/{INDEX_FILE}", text.encode())]


def _plan(folder: Path) -> list[Entry]:
    if not (folder / PLAN_FILE).is_file():
        raise UsageError(f"{folder}: no plan (it has no {PLAN_FILE}); `pants plan` makes one")
    configs = folder_entries(folder / CONFIGS_FOLDER, f"{_PLAN}/{CONFIGS_FOLDER}/")
    return [Entry(f"{_PLAN}/{PLAN_FILE}", folder / PLAN_FILE), *configs]


def _is_path(config: str) -> bool:
    from nemo_runspec.config.compose import SUFFIXES

    return "/" in config or config.endswith(SUFFIXES)


def _configs(config: Path, place: Place) -> tuple[Tree, str]:
    """A config that lies here with all that it is made of, and its path there."""
    from nemo_runspec.config.compose import config_files

    files = [file.relative_to("/") for file in config_files(config)]
    entries = [Entry(file.as_posix(), Path("/", file)) for file in files]
    path = f"{_CONFIGS}/{digest_of(entries)[:32]}"
    return Tree(path, lambda: entries), place.path(path, files[0].as_posix())


def _with_config(argv: Sequence[str], config: str) -> list[str]:
    """The arguments with another config; they name one, before the first `--`."""
    changed = list(argv)
    for position, argument in enumerate(argv):
        if argument in _CONFIG_OPTIONS:
            changed[position + 1] = config
        elif argument.partition("=")[0] == _CONFIG_OPTIONS[0] and "=" in argument:
            changed[position] = f"{_CONFIG_OPTIONS[0]}={config}"
        elif argument == "--":
            break
    return changed
