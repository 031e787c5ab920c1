"""The command line of a recipe: what stands after `pants run ADDRESS --`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from runspec.errors import one_line


class ArgumentsError(ValueError):
    """A command line that cannot be meant as it is written, in one line with the way out."""


@dataclass(frozen=True)
class Option:
    """An option of ours.

    Args:
        names: all spellings, the long one first.
        field: the field of `Arguments` that it sets.
        value: what its value is called in help; None for a flag.
        help: one line.
    """

    names: tuple[str, ...]
    field: str
    value: Optional[str]
    help: str


OPTIONS: tuple[Option, ...] = (
    Option(("--config", "-c"), "config", "CONFIG", "config, by name or by path"),
    Option(("--run", "-r", "--profile"), "run", "PROFILE", "run there and follow its log"),
    Option(("--batch", "-b"), "batch", "PROFILE", "submit there and return at once"),
    Option(
        ("--dry-run", "-d"), "dry_run", None, "show the job config and the command, run nothing"
    ),
    Option(("--stage",), "stage", None, "copy script and config there, start nothing"),
    Option(("--force-squash",), "force_squash", None, "convert the container image anew"),
    Option(
        ("--build-inputs",),
        "build_inputs",
        None,
        "bring the artifacts that the config names up to date first, on a cluster too",
    ),
    Option(("--preflight",), "preflight", None, "try image, packages and store on one node first"),
    Option(
        ("--json",), "json", None, "tell the end as JSON; what the job says goes to standard error"
    ),
    Option(("--help", "-h"), "help", None, "show this help"),
)

_BY_NAME: Mapping[str, Option] = {name: option for option in OPTIONS for name in option.names}
_LONG = tuple(name[2:] for name in _BY_NAME if name.startswith("--"))
_VALUE_SHORTS = frozenset(name[1] for name in _BY_NAME if len(name) == 2 and _BY_NAME[name].value)
_SHORTS = frozenset(name[1] for name in _BY_NAME if len(name) == 2)

# A dotted config key: names, and items of lists as `.0` or `[0]`; `+` for a key that is new.
_OVERRIDE = re.compile(r"\+?[^\W\d][\w-]*(?:\.[\w-]+|\[[\w-]+\])*=")
# What editors and chat programs make of one or two hyphens.
_DASHES = re.compile("^(?:--|-|\u2010|\u2011|\u2012|\u2013|\u2014|\u2015|\u2212)+")
# Words one or two keystrokes from a name of ours, and options of many a script.
_WORDS_OF_THEIR_OWN = frozenset(
    ("catch", "confirm", "hatch", "heap", "latch", "match", "patch", "stale", "state", "watch")
)


@dataclass(frozen=True)
class Arguments:
    """A command line, taken apart.

    Args:
        config: name or path of the config; None for the recipe's default.
        run: the profile to run on, attached.
        batch: the profile to run on, detached.
        dry_run: show what would run.
        stage: copy to the profile's machine, start nothing.
        force_squash: convert the container image even if that was done before.
        build_inputs: bring the artifacts that the config names up to date first, wherever it runs.
        preflight: try on one node first whether the job can run.
        json: tell the end as one JSON document on standard output.
        help: show help, nothing else.
        dotlist: the `key=value` overrides, in order.
        passthrough: what goes to the script, in order.
    """

    config: Optional[str] = None
    run: Optional[str] = None
    batch: Optional[str] = None
    dry_run: bool = False
    stage: bool = False
    force_squash: bool = False
    build_inputs: bool = False
    preflight: bool = False
    json: bool = False
    help: bool = False
    dotlist: tuple[str, ...] = ()
    passthrough: tuple[str, ...] = ()

    @property
    def mode(self) -> str:
        """`run` (attached to a profile), `batch` (detached) or `local` (no profile)."""
        if self.run is not None:
            return "run"
        return "local" if self.batch is None else "batch"

    @property
    def profile(self) -> Optional[str]:
        """The profile of env.toml, whichever way it runs."""
        return self.batch if self.run is None else self.run

    @property
    def attached(self) -> bool:
        """Whether it runs attached to a profile."""
        return self.run is not None


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Take apart a recipe's command line.

    Options of ours may stand anywhere, `--option=value` too; `key=value` is an override of the
    config; all else goes to the script, and all behind the first `--` does whatever it is.

    Args:
        argv: the arguments, without the program.

    Raises:
        ArgumentsError: a mistyped option, a missing or unwanted value, an override whose key is no
            key, or options that exclude one another.
    """
    split = list(argv).index("--") if "--" in argv else len(argv)
    ours, passthrough = argv[:split], list(argv[split + 1 :])
    values: dict[str, str] = {}
    flags: set[str] = set()
    dotlist: list[str] = []
    script: list[str] = []
    position = 0
    while position < len(ours):
        argument = ours[position]
        position += 1
        name, equals, value = argument.partition("=")
        option = _BY_NAME.get(name)
        if option is None or (equals and not name.startswith("--")):
            _refuse_mistyped(argument)
            is_override = _OVERRIDE.match(argument) is not None
            if not is_override:
                _refuse_broken_override(argument)
            (dotlist if is_override else script).append(argument)
        elif option.value is None:
            if equals:
                raise _error(f"{name} takes no value, and has {value!r}", f"write {name}")
            flags.add(option.field)
        else:
            if not equals:
                value = _following(name, option, ours[position : position + 1])
                position += 1
            elif not value:
                raise _missing(name, option)
            if values.setdefault(option.field, value) != value:
                raise _error(
                    f"{name} says {value!r}, after {values[option.field]!r}", "give it once"
                )
    _refuse_contradictions(values, flags)
    return Arguments(
        config=values.get("config"),
        run=values.get("run"),
        batch=values.get("batch"),
        dry_run="dry_run" in flags,
        stage="stage" in flags,
        force_squash="force_squash" in flags,
        build_inputs="build_inputs" in flags,
        preflight="preflight" in flags,
        json="json" in flags,
        help="help" in flags,
        dotlist=tuple(dotlist),
        passthrough=(*script, *passthrough),
    )


def _error(problem: str, fix: str) -> ArgumentsError:
    return ArgumentsError(one_line(f"{problem}; {fix}"))


def _missing(name: str, option: Option) -> ArgumentsError:
    return _error(f"{name} has no value", f"write {name} {option.value}")


def _following(name: str, option: Option, following: Sequence[str]) -> str:
    """Return the value behind an option; what looks like another argument is none."""
    if not following or not following[0] or following[0].startswith("-"):
        raise _missing(name, option)
    if _OVERRIDE.match(following[0]):
        raise _error(
            f"{name} has no value: {following[0]!r} is an override of the config",
            f"write {name} {option.value}, or {option.names[0]}={following[0]} if it is the value",
        )
    return following[0]


def _refuse_contradictions(values: Mapping[str, str], flags: set[str]) -> None:
    if "run" in values and "batch" in values:
        raise _error(
            f"both --run {values['run']} and --batch {values['batch']}",
            "choose --run to follow the log or --batch to return at once",
        )
    if "stage" in flags and not ("run" in values or "batch" in values):
        raise _error("--stage without a profile", "say where: --stage --run PROFILE")


def _refuse_mistyped(argument: str) -> None:
    """Raise `ArgumentsError` for what was most likely meant as an option of ours."""
    dashes = _DASHES.match(argument)
    if dashes is None:
        return
    name, equals, value = argument[dashes.end() :].partition("=")
    if dashes[0] == "-" and name[:1] in _SHORTS and (len(name) == 1 or _is_short(name)):
        rest = f"{name[1:]}{equals}{value}" if len(name) > 1 else value
        meant = f"-{name[0]} {rest}" if name[0] in _VALUE_SHORTS else f"-{' -'.join(name)}"
    else:
        nearest = _nearest(name)
        if nearest is None:
            return
        meant = f"--{nearest}{equals}{value}"
    raise _error(
        f"unknown option {argument}",
        f"did you mean {meant}? To pass it to the script put it after --",
    )


def _refuse_broken_override(argument: str) -> None:
    """Raise `ArgumentsError` for what was most likely meant as an override of the config."""
    if "=" in argument and not argument.startswith("-"):
        key = argument.partition("=")[0]
        raise _error(
            f"{argument!r} is no override of the config: {key!r} is no key",
            "write names with dots between them, as in train.lr=1e-4, or put it after -- "
            "if it is for the script",
        )


def _is_short(name: str) -> bool:
    """Whether the letters behind one hyphen are short options of ours, or one with its value."""
    return name[0] in _VALUE_SHORTS or _SHORTS.issuperset(name)


def _nearest(name: str) -> Optional[str]:
    """Return the long name that `name` is a misspelling of, or None where it is a word of its own.

    One slip of the keyboard is a misspelling, and two are in names of six letters and more that
    begin alike. A name of ours with an ending is a word of its own (`--profiler`, `--batch-size`),
    but for a plural and a doubled letter.
    """
    written = name.casefold().replace("_", "-")
    if written in _WORDS_OF_THEIR_OWN:
        return None
    best: Optional[str] = None
    least = 3
    for known in _LONG:
        if written.replace("-", "") == known.replace("-", ""):
            return known
        if written.startswith(known) and written[len(known) :] not in ("s", known[-1]):
            continue
        distance = _distance(written, known)
        slips = 2 if len(known) >= 6 and written[:1] == known[0] else 1
        if distance <= slips and distance < least:
            best, least = known, distance
    return best


def _distance(one: str, other: str) -> int:
    """Return how many single-letter slips lead from one word to the other: letters that were added,
    dropped, replaced or swapped with their neighbour.

    The optimal string alignment form of the Damerau-Levenshtein distance.
    """
    before: list[int] = []
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, wanted in enumerate(other, start=1):
            cost = min(
                above[column] + 1,
                current[column - 1] + 1,
                above[column - 1] + (letter != wanted),
            )
            swapped = row > 1 and column > 1 and letter == other[column - 2]
            if swapped and one[row - 2] == wanted:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, above = above, current
    return above[-1]
