from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runspec import OPTIONS, Arguments, ArgumentsError, parse_arguments


def test_nothing() -> None:
    arguments = parse_arguments([])
    assert arguments == Arguments()
    assert (arguments.mode, arguments.profile, arguments.attached) == ("local", None, False)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["-c", "tiny"], Arguments(config="tiny")),
        (["--config=a b/c=d.yaml"], Arguments(config="a b/c=d.yaml")),
        (["--config", "./lr=1/x.yaml"], Arguments(config="./lr=1/x.yaml")),
        (["-r", "prod"], Arguments(run="prod")),
        (["--run=prod"], Arguments(run="prod")),
        (["--profile", "prod"], Arguments(run="prod")),
        (["--batch", "prod"], Arguments(batch="prod")),
        (["-b", "prod", "--stage"], Arguments(batch="prod", stage=True)),
        (["-d"], Arguments(dry_run=True)),
        (["--force-squash"], Arguments(force_squash=True)),
        (["-h"], Arguments(help=True)),
        (["--help"], Arguments(help=True)),
        (["--run", "a", "--profile=a", "-d", "-d"], Arguments(run="a", dry_run=True)),
        (
            ["x", "train.lr=1e-4", "--mock", "-d", "a.0.b=[1, 2]", "--seed", "5", "-c", "tiny"],
            Arguments(
                config="tiny",
                dry_run=True,
                dotlist=("train.lr=1e-4", "a.0.b=[1, 2]"),
                passthrough=("x", "--mock", "--seed", "5"),
            ),
        ),
        (
            ["--mock", "--", "-c", "--dryrun", "a=1", "--", "", "--run"],
            Arguments(passthrough=("--mock", "-c", "--dryrun", "a=1", "--", "", "--run")),
        ),
        (["--"], Arguments()),
    ],
)
def test_command_lines(argv: list[str], expected: Arguments) -> None:
    assert parse_arguments(argv) == expected
    assert parse_arguments(tuple(argv)) == expected


def test_modes() -> None:
    run, batch = parse_arguments(["-r", "a"]), parse_arguments(["-b", "a"])
    assert (run.mode, run.profile, run.attached) == ("run", "a", True)
    assert (batch.mode, batch.profile, batch.attached) == ("batch", "a", False)


@pytest.mark.parametrize(
    "argument",
    [
        "a=1",
        "a=",
        "a.b_c.d-e=x y\nz",
        "a.0.b=1",
        "a[0]=1",
        "a[0][1].b=2",
        "größe=1",
        "a==",
        "+a.b=1",
        "_a=--x",
    ],
)
def test_overrides(argument: str) -> None:
    assert parse_arguments([argument]) == Arguments(dotlist=(argument,))


@pytest.mark.parametrize(
    "argument",
    [
        *(
            "",
            " ",
            "-",
            "a",
            "~a",
        ),
        *(
            "-1",
            "-1e-4",
            "-x",
            "-v",
            "-debug",
            "-D",
            "-C",
            "--x=1",
        ),
    ],
)
def test_what_is_neither_goes_to_the_script(argument: str) -> None:
    assert parse_arguments([argument]) == Arguments(passthrough=(argument,))


@pytest.mark.parametrize(
    "argument",
    [
        *("train..lr=2", "=c", "=1", "0=1", "a b=1", "a/b=1", "https://x/y?a=b", "~a=1"),
        *("++a.b=1", "a .b=1", ".a=1", "a.=1", "a[=1", "a\n=1"),
    ],
)
def test_an_override_with_no_key_is_refused(argument: str) -> None:
    with pytest.raises(ArgumentsError, match="is no override of the config") as caught:
        parse_arguments(["x", argument])
    assert "\n" not in str(caught.value)
    assert parse_arguments(["--", argument]).passthrough == (argument,)


@pytest.mark.parametrize(
    "option",
    [
        *("mock", "batch-size", "batch_size", "seed", "max-steps", "config-file", "config-name"),
        *("config-dir", "config_path", "configure", "cfg", "confirm", "confidence", "run-id"),
        *(
            "run-name",
            "runner",
            "rank",
            "rng",
            "rerun",
            "resume",
            "profiler",
            "profiling",
            "prefix",
        ),
        *("project", "state", "stages-per-device", "stage-one", "staged", "storage", "usage"),
        *("patch", "patch-size", "match", "watch", "batched", "batches", "dry", "dropout", "force"),
        *(
            "force-download",
            "help-all",
            "hello",
            "lr",
            "r",
            "c",
            "x",
            "output",
            "no-cache",
            "debug",
        ),
        *(
            "stale",
            "batch-norm",
            "num-batches",
            "local-rank",
            "run.seed",
            "config.dir",
            "on",
            "too",
        ),
    ],
)
def test_options_of_scripts_go_to_the_script(option: str) -> None:
    for argument in (f"--{option}", f"--{option}=1", f"--{option}=a=b"):
        assert parse_arguments([argument, "5"]) == Arguments(passthrough=(argument, "5"))


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--dryrun", "--dry-run"),
        ("--dry_run", "--dry-run"),
        ("--Dry-Run", "--dry-run"),
        ("--dry-rnu", "--dry-run"),
        ("--dry-urn", "--dry-run"),
        ("--drrun", "--dry-run"),
        ("-dry-run", "--dry-run"),
        ("\u2014dry-run", "--dry-run"),
        ("\u2013\u2013dry-run", "--dry-run"),
        ("--profle", "--profile"),
        ("--profiel=prod", "--profile=prod"),
        ("--proflie", "--profile"),
        ("--profiles", "--profile"),
        ("--Profile", "--profile"),
        ("--confg=x", "--config=x"),
        ("--cofnig", "--config"),
        ("--conf", "--config"),
        ("--configs", "--config"),
        ("--config_", "--config"),
        ("--stages", "--stage"),
        ("--stge", "--stage"),
        ("--staeg", "--stage"),
        ("--bacth", "--batch"),
        ("--bath", "--batch"),
        ("--batchs", "--batch"),
        ("--rnu", "--run"),
        ("--runn", "--run"),
        ("--RUN", "--run"),
        ("--runs", "--run"),
        ("--force_squash", "--force-squash"),
        ("--forcesquash", "--force-squash"),
        ("--force-sqaush", "--force-squash"),
        ("--force-squish", "--force-squash"),
        ("--hlep", "--help"),
        ("-rprod", "-r prod"),
        ("-ctiny", "-c tiny"),
        ("-c=tiny", "-c tiny"),
        ("-config", "-c onfig"),
        ("-bprod", "-b prod"),
        ("-dh", "-d -h"),
    ],
)
def test_a_mistyped_option_is_an_error(argument: str, meant: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        parse_arguments(["a=1", argument])
    assert str(caught.value) == (
        f"unknown option {argument}; did you mean {meant}? To pass it to the script put it after --"
    )
    assert parse_arguments(["--", argument]).passthrough == (argument,)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-c"], "-c has no value; write -c CONFIG"),
        (["--run"], "--run has no value; write --run PROFILE"),
        (["--profile", "--dry-run"], "--profile has no value; write --profile PROFILE"),
        (["--batch", "--", "x"], "--batch has no value; write --batch PROFILE"),
        (["--batch="], "--batch has no value; write --batch PROFILE"),
        (["-r", ""], "-r has no value; write -r PROFILE"),
        (
            ["--run", "a.b=1"],
            "--run has no value: 'a.b=1' is an override of the config; write --run PROFILE, or "
            "--run=a.b=1 if it is the value",
        ),
        (["--dry-run=no"], "--dry-run takes no value, and has 'no'; write --dry-run"),
        (["--stage="], "--stage takes no value, and has ''; write --stage"),
        (["-c", "a", "--config=b"], "--config says 'b', after 'a'; give it once"),
        (["--run", "a", "--profile", "b"], "--profile says 'b', after 'a'; give it once"),
        (
            ["--run", "a", "-b", "b"],
            "both --run a and --batch b; choose --run to follow the log or --batch to return at "
            "once",
        ),
        (["--stage"], "--stage without a profile; say where: --stage --run PROFILE"),
        (["-c", "a\nb", "-c", "c"], "-c says 'c', after 'a\\nb'; give it once"),
        (
            ["--profle=a\nb"],
            "unknown option --profle=a\\nb; did you mean --profile=a\\nb? To pass it to the script "
            "put it after --",
        ),
    ],
)
def test_command_lines_that_cannot_be_meant(argv: list[str], message: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        parse_arguments(argv)
    assert str(caught.value) == message


def test_each_option_sets_its_field() -> None:
    for option in OPTIONS:
        for name in option.names:
            argv = [name, "x"] if option.value else [name]
            arguments = parse_arguments([*argv, "-r", "x"] if option.field == "stage" else argv)
            assert getattr(arguments, option.field) == ("x" if option.value else True)


@given(st.lists(st.text(max_size=8)), st.lists(st.text(max_size=8)))
def test_nothing_is_lost(argv: list[str], behind: list[str]) -> None:
    try:
        arguments = parse_arguments([*argv, "--", *behind])
    except ArgumentsError as error:
        assert len(str(error).splitlines()) == 1
        return
    rest = behind if "--" not in argv else [*argv[argv.index("--") + 1 :], "--", *behind]
    assert arguments.passthrough[len(arguments.passthrough) - len(rest) :] == tuple(rest)
