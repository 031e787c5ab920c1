"""The command line: `nemo-runspec recipe BUNDLE …`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nemo_runspec.exceptions import NemoRunspecError, UsageError
from nemo_runspec.execution.attach import discard_rest
from nemo_runspec.version import VERSION
from runspec import OPTIONS, ArgumentsError, Option, RunspecError, parse_arguments

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_HELP = """\
usage: nemo-runspec COMMAND …

commands:
  recipe BUNDLE [options] [key=value …] [arguments of the script]
                  run the recipe of a job bundle (a folder that `pants package` makes)
  plan FOLDER     tell what of a plan (a folder that `pants plan` makes) is stale, and why
  materialize FOLDER --bundles DIR
                  bring the artifacts of a plan up to date: run what is stale
  doctor --profile PROFILE [BUNDLE]
                  look whether a profile can run jobs, with a small one
  jobs ls | logs | cancel | wait
                  look at jobs and pipelines wherever they run, and end them
  supervise FOLDER
                  go on with a pipeline, in the foreground, where its supervisor ended
  follow ID --profile PROFILE
                  see a command on a cluster's login host to its end, when the
                  connection was lost for too long
  export FOLDER ADDRESS --output DIR
                  write the manifest of a fresh artifact to a folder
  store ls | show | verify | add | gc
                  look at the store of artifacts, and keep it in order
  promote NAME:vN ALIAS
                  let an alias such as prod mean a version
  accept NAME:vN  let a version stand for today's key, with a reason
  revoke NAME:vN  refuse a version and all that was made from it, with a reason

options:
  -h, --help      this page; `nemo-runspec recipe BUNDLE --help` for a recipe's own
  --version       the version
"""

_RECIPE_HELP = """\
usage: {command} [options] [key=value …] [arguments of the script] [-- arguments of the script]

{title}

options, before or after the rest:
{options}

key=value changes the config (train.lr=1e-4), +key=value adds a key that it does not have.
All else goes to the script, and so does everything after --.

configs in {config_dir}:
{configs}

profiles in {env_file}:
{profiles}

examples:
  {command} --dry-run
  {command} --config {config} some.key=value
  {command} --profile {profile} -- --an-option-of-the-script
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: the arguments; default: those of this process.

    Returns:
        The exit code: the job's own; 2 after bad input, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except (NemoRunspecError, RunspecError) as error:
        return _fail(str(error))
    except BrokenPipeError:
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


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_HELP, end="")
        return 0 if arguments else EXIT_BAD_INPUT
    if arguments[0] == "--version":
        print(f"nemo-runspec {VERSION}")
        return 0
    command = _COMMANDS.get(arguments[0])
    if command is None:
        from nemo_runspec._names import hint

        kind = "option" if arguments[0].startswith("-") else "command"
        known = [*(name for name in _COMMANDS if name != "relayed"), "--help", "--version"]
        raise UsageError(f"unknown {kind} {arguments[0]!r}; {hint(arguments[0], known)}")
    if any(word.startswith(("-r", "-b", "--run", "--batch", "--profile")) for word in arguments):
        from nemo_runspec.relay.relayed import relay

        code = relay(arguments)
        if code is not None:
            return code
    return command(arguments[1:])


def _recipe(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(_HELP, end="")
        return 0
    if not arguments or arguments[0].startswith("-"):
        raise UsageError("recipe needs a job bundle: nemo-runspec recipe BUNDLE [options]")
    folder, argv = Path(arguments[0]), arguments[1:]
    try:
        parsed = parse_arguments(argv)
    except ArgumentsError as error:
        raise UsageError(str(error)) from error
    if parsed.help:
        print(_recipe_help(folder), end="")
        return 0
    # Not at the top: this brings OmegaConf, which the help does without.
    from nemo_runspec.cli_context import GlobalContext
    from nemo_runspec.recipe import run_recipe

    return run_recipe(folder, GlobalContext.from_arguments(parsed), argv)


def _recipe_help(folder: Path) -> str:
    from nemo_runspec.bundles import read_bundle
    from nemo_runspec.env import (
        ENV_FILE_NAME,
        ENV_FILE_VARIABLE,
        find_env_file,
        list_profiles,
        load_env_file,
    )

    bundle = read_bundle(folder)
    default = bundle.spec.config.default
    configs = sorted(path.stem for path in bundle.config_dir.glob("*.y*ml"))
    profiles = list_profiles(load_env_file())
    return _RECIPE_HELP.format(
        command=_typed_command(folder),
        title=f"{bundle.spec.name or bundle.script.stem} ({bundle.document.recipe})",
        options="\n".join(_option_line(option) for option in OPTIONS),
        config_dir=bundle.config_dir.relative_to(bundle.code),
        configs=_listing(f"{c} (default)" if c == default else c for c in configs),
        env_file=os.environ.get(ENV_FILE_VARIABLE) or find_env_file() or ENV_FILE_NAME,
        profiles=_listing(profiles),
        config=next((config for config in configs if config != default), default),
        profile=profiles[0] if profiles else "PROFILE",
    )


def _typed_command(folder: Path) -> str:
    """What a person types to get here."""
    typed = os.environ.get("RUNSPEC_COMMAND")  # set by `pants run`
    if typed:
        return typed
    if (folder / "run").exists():
        return shlex.quote(str(folder / "run"))
    return f"nemo-runspec recipe {shlex.quote(str(folder))}"


def _option_line(option: Option) -> str:
    names = ", ".join(sorted(option.names, key=len))
    return f"  {f'{names} {option.value}' if option.value else names:<30} {option.help}"


def _listing(names: Iterable[str]) -> str:
    return "\n".join(f"  {name}" for name in names) or "  none"


def _plan(arguments: list[str]) -> int:
    from nemo_runspec.pipeline.commands import run_plan

    return run_plan(arguments)


def _export(arguments: list[str]) -> int:
    from nemo_runspec.pipeline.commands import run_export

    return run_export(arguments)


def _store(arguments: list[str]) -> int:
    from nemo_runspec.store_admin import run_store

    return run_store(arguments)


def _store_command(name: str) -> Callable[[list[str]], int]:
    def command(arguments: list[str]) -> int:
        from nemo_runspec.store_admin import run_command

        return run_command(name, arguments)

    return command


def _materialize(arguments: list[str]) -> int:
    from nemo_runspec.pipeline.materialize import run_materialize

    return run_materialize(arguments)


def _doctor(arguments: list[str]) -> int:
    from nemo_runspec.preflight.doctor import run_doctor

    return run_doctor(arguments)


def _jobs(arguments: list[str]) -> int:
    from nemo_runspec.job_admin import run_jobs

    return run_jobs(arguments)


def _supervise(arguments: list[str]) -> int:
    from nemo_runspec.pipeline.supervise import run_supervise

    return run_supervise(arguments)


def _follow(arguments: list[str]) -> int:
    from nemo_runspec.relay.relayed import run_follow

    return run_follow(arguments)


def _relayed(arguments: list[str]) -> int:
    from nemo_runspec.relay.relayed import take_relayed_arguments

    return _dispatch(take_relayed_arguments())


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "follow": _follow,
    "relayed": _relayed,
    "recipe": _recipe,
    "plan": _plan,
    "materialize": _materialize,
    "export": _export,
    "jobs": _jobs,
    "doctor": _doctor,
    "supervise": _supervise,
    "store": _store,
    "promote": _store_command("promote"),
    "accept": _store_command("accept"),
    "revoke": _store_command("revoke"),
}
