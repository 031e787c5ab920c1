"""The commands of `nemo-runspec`: to add one is to add one function here.

Each imports what it runs when it is run, by an ``import`` statement, which Pants finds: neither the
help nor another command pays for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nemo_runspec.command_table import Group, overview
from nemo_runspec.command_table import command as _command
from nemo_runspec.exceptions import UsageError


@_command(
    "recipe",
    Group.RUN,
    "BUNDLE [options] [key=value …] [arguments of the script]",
    "run the recipe of a job bundle (a folder that `pants package` makes)",
)
def _recipe(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(overview(), end="")
        return 0
    if not arguments or arguments[0].startswith("-"):
        raise UsageError("recipe needs a job bundle: nemo-runspec recipe BUNDLE [options]")
    from runspec import ArgumentsError, parse_arguments

    folder, argv = Path(arguments[0]), list(arguments[1:])
    try:
        parsed = parse_arguments(argv)
    except ArgumentsError as error:
        raise UsageError(str(error)) from error
    if parsed.help:
        from nemo_runspec.bundle_help import show_bundle_help

        show_bundle_help(folder)
        return 0
    from nemo_runspec.cli_context import GlobalContext
    from nemo_runspec.recipe import run_recipe

    return run_recipe(folder, GlobalContext.from_arguments(parsed), argv)


@_command(
    "plan",
    Group.RUN,
    "FOLDER",
    "tell what of a plan (a folder that `pants plan` makes) is stale, and why",
)
def _plan(arguments: Sequence[str]) -> int:
    from nemo_runspec.pipeline.commands import run_plan

    return run_plan(arguments)


@_command(
    "materialize",
    Group.RUN,
    "FOLDER --bundles DIR",
    "bring the artifacts of a plan up to date: run what is stale",
)
def _materialize(arguments: Sequence[str]) -> int:
    from nemo_runspec.pipeline.materialize import run_materialize

    return run_materialize(arguments)


@_command(
    "pipe",
    Group.RUN,
    "BUNDLE BUNDLE … [options] [key=value …]",
    "run the recipes of several bundles, one after the other",
    is_local=True,
)
def _pipe(arguments: Sequence[str]) -> int:
    from nemo_runspec.pipe import run_pipe

    return run_pipe(arguments)


@_command(
    "evaluate",
    Group.RUN,
    "-c CONFIG [-t TASK …] [key=value …]",
    "give a config to NeMo Evaluator's launcher, with a profile and artifacts",
    is_local=True,
)
def _evaluate(arguments: Sequence[str]) -> int:
    from nemo_runspec.evaluating import run_evaluate

    return run_evaluate(arguments)


@_command(
    "import",
    Group.ARTIFACTS,
    "data | model",
    "record existing data or a checkpoint as a version of its class",
)
def _import(arguments: Sequence[str]) -> int:
    from nemo_runspec.importing import run_import

    return run_import(arguments)


@_command(
    "export",
    Group.ARTIFACTS,
    "FOLDER ADDRESS --output DIR",
    "write the manifest of a fresh artifact to a folder",
)
def _export(arguments: Sequence[str]) -> int:
    from nemo_runspec.pipeline.commands import run_export

    return run_export(arguments)


@_command(
    "costs",
    Group.ARTIFACTS,
    "FOLDER [PATH ...]",
    "rank the files of the repository by what editing them makes run again",
)
def _costs(arguments: Sequence[str]) -> int:
    from nemo_runspec.costs.command import run_costs

    return run_costs(arguments)


@_command(
    "reproduce",
    Group.ARTIFACTS,
    "NAME:vN",
    "tell whether a version can be made again, what differs today, and make it again",
)
def _reproduce(arguments: Sequence[str]) -> int:
    from nemo_runspec.reproduce.command import run_reproduce

    return run_reproduce(arguments)


@_command(
    "provenance",
    Group.ARTIFACTS,
    "NAME:vN",
    "print how a version came to be as SLSA provenance (an in-toto statement)",
)
def _provenance(arguments: Sequence[str]) -> int:
    from nemo_runspec.provenance.command import run_provenance

    return run_provenance(arguments)


@_command(
    "lineage",
    Group.ARTIFACTS,
    "NAME[:vN] …",
    "show what versions were made from, or what was made from them",
)
def _lineage(arguments: Sequence[str]) -> int:
    from nemo_runspec.lineage.commands import run_lineage

    return run_lineage(arguments)


@_command(
    "why",
    Group.ARTIFACTS,
    "NAME:vN [vM]",
    "compare two versions: what of code, config and inputs made them differ",
)
def _why(arguments: Sequence[str]) -> int:
    from nemo_runspec.lineage.why import run_why

    return run_why(arguments)


@_command(
    "impact",
    Group.ARTIFACTS,
    "NAME:vN",
    "tell what is lost if a version's data is deleted, and what making it again takes",
)
def _impact(arguments: Sequence[str]) -> int:
    from nemo_runspec.lineage.impact import run_impact

    return run_impact(arguments)


@_command("promote", Group.ARTIFACTS, "NAME:vN ALIAS", "let an alias such as prod mean a version")
def _promote(arguments: Sequence[str]) -> int:
    from nemo_runspec.store_admin import run_command

    return run_command("promote", arguments)


@_command(
    "accept",
    Group.ARTIFACTS,
    "NAME:vN",
    "let a version stand for today's key, with a reason",
)
def _accept(arguments: Sequence[str]) -> int:
    from nemo_runspec.store_admin import run_command

    return run_command("accept", arguments)


@_command(
    "revoke",
    Group.ARTIFACTS,
    "NAME:vN",
    "refuse a version and all that was made from it, with a reason",
)
def _revoke(arguments: Sequence[str]) -> int:
    from nemo_runspec.store_admin import run_command

    return run_command("revoke", arguments)


@_command(
    "store",
    Group.STORE,
    "ls | show | verify | add | gc",
    "look at the store of artifacts, and keep it in order",
)
def _store(arguments: Sequence[str]) -> int:
    from nemo_runspec.store_admin import run_store

    return run_store(arguments)


@_command(
    "jobs",
    Group.JOBS,
    "ls | logs | cancel | wait",
    "look at jobs and pipelines wherever they run, and end them",
)
def _jobs(arguments: Sequence[str]) -> int:
    from nemo_runspec.job_admin import run_jobs

    return run_jobs(arguments)


@_command(
    "supervise",
    Group.JOBS,
    "FOLDER",
    "go on with a pipeline, in the foreground, where its supervisor ended",
)
def _supervise(arguments: Sequence[str]) -> int:
    from nemo_runspec.pipeline.supervise import run_supervise

    return run_supervise(arguments)


@_command(
    "follow",
    Group.JOBS,
    "ID --profile PROFILE",
    "see a command on a cluster's login host to its end, when the connection was lost for too long",
)
def _follow(arguments: Sequence[str]) -> int:
    from nemo_runspec.relay.relayed import run_follow

    return run_follow(arguments)


@_command(
    "init",
    Group.SET_UP,
    "[--recipe DIR]",
    "write an env.toml and a recipe to begin with; overwrites nothing",
)
def _init(arguments: Sequence[str]) -> int:
    from nemo_runspec.initial import run_init

    return run_init(arguments)


@_command(
    "doctor",
    Group.SET_UP,
    "[BUNDLE] [--profile PROFILE]",
    "look whether this machine, or a profile, can run jobs, with a fix for what cannot",
)
def _doctor(arguments: Sequence[str]) -> int:
    from nemo_runspec.preflight.doctor import run_doctor

    return run_doctor(arguments)


@_command(
    "squash",
    Group.SET_UP,
    "[IMAGE] --profile PROFILE",
    "make a squash file of a container image, on the cluster",
)
def _squash(arguments: Sequence[str]) -> int:
    from nemo_runspec.squashing import run_squash

    return run_squash(arguments)


@_command(
    "completion",
    Group.SET_UP,
    "bash|zsh|fish",
    "print the script that completes command lines in a shell",
)
def _completion(arguments: Sequence[str]) -> int:
    from nemo_runspec.completion.scripts import run_completion

    return run_completion(arguments)


@_command("complete", Group.HIDDEN, "", "what a shell asks at every Tab", is_local=True)
def _complete(arguments: Sequence[str]) -> int:
    from nemo_runspec.completion.words import run_complete

    return run_complete(arguments)


@_command("relayed", Group.HIDDEN, "", "a command that another machine sent")
def _relayed(arguments: Sequence[str]) -> int:
    from nemo_runspec.dispatch import dispatch
    from nemo_runspec.relay.relayed import take_relayed_arguments

    return dispatch(take_relayed_arguments())
