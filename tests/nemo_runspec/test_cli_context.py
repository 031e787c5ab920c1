from __future__ import annotations

import copy
import sys
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from nemo_runspec.cli_context import GlobalContext, split_unknown_args
from nemo_runspec.exceptions import UsageError
from nemo_runspec.recipe_config import RecipeConfig, parse_recipe_config
from runspec import Arguments


def typer_context(args: list[str], obj: GlobalContext | None = None) -> Any:
    return SimpleNamespace(args=args, obj=obj)


def test_a_context_knows_its_mode() -> None:
    assert GlobalContext().mode == "local"
    assert GlobalContext().profile is None
    assert (GlobalContext(run="a").mode, GlobalContext(run="a").profile) == ("run", "a")
    assert (GlobalContext(batch="b").mode, GlobalContext(batch="b").profile) == ("batch", "b")


def test_split_finds_late_options_and_changes_nothing_it_was_given() -> None:
    known = GlobalContext(config="tiny", dotlist=["a=1"], passthrough=["--mock"])
    before = copy.deepcopy(known)
    args = ["train.lr=1e-4", "--run", "dlw", "pos itional", "-d", "x.y='q\"'", "--limit", "5"]
    dotlist, passthrough, ctx = split_unknown_args(args, known)
    assert known == before
    assert dotlist == ["a=1", "train.lr=1e-4", "x.y='q\"'"]
    assert passthrough == ["--mock", "pos itional", "--limit", "5"]
    assert ctx == GlobalContext(
        config="tiny", run="dlw", dry_run=True, dotlist=dotlist, passthrough=passthrough
    )


def test_an_override_that_adds_a_key_is_an_override() -> None:
    dotlist, passthrough, _ = split_unknown_args(["+optimizer.lr=1"])
    assert (dotlist, passthrough) == (["+optimizer.lr=1"], [])


def test_early_and_late_options_are_one_command_line() -> None:
    _, _, ctx = split_unknown_args(["--run", "dlw"], GlobalContext(stage=True, force_squash=True))
    assert (ctx.run, ctx.stage, ctx.force_squash) == ("dlw", True, True)
    _, _, ctx = split_unknown_args(["--stage"], GlobalContext(batch="dlw"))
    assert (ctx.batch, ctx.stage) == ("dlw", True)
    _, passthrough, _ = split_unknown_args(["--help"])
    assert passthrough == ["--help"]


@pytest.mark.parametrize(
    ("args", "known", "word"),
    [
        (["--dryrun"], None, "--dry-run"),
        (["--profle", "x"], None, "--profile"),
        (["--config"], None, "--config"),
        (["--batch", "b"], GlobalContext(run="a"), "--batch b"),
        (["--stage"], None, "--stage"),
    ],
)
def test_split_refuses_in_one_line(args: list[str], known: GlobalContext | None, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_unknown_args(args, known)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recipe_config_is_the_whole_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nemotron", "nano3", "pretrain"])
    cfg = parse_recipe_config(typer_context(["--run", "dlw", "a=1", "--mock"], GlobalContext()))
    assert (cfg.mode, cfg.attached, cfg.profile) == ("run", True, "dlw")
    assert (cfg.dotlist, cfg.passthrough) == (["a=1"], ["--mock"])
    assert (cfg.dry_run, cfg.stage, cfg.force_squash, cfg.config) == (False, False, False, None)
    assert cfg.argv == ["nemotron", "nano3", "pretrain"]
    assert cfg.ctx.dotlist == ["a=1"]
    assert not RecipeConfig(ctx=GlobalContext(batch="x")).attached


@pytest.mark.parametrize(
    ("args", "obj"),
    [
        (["--run", "a", "--batch", "b"], None),
        (["--batch", "b"], GlobalContext(run="a")),
        (["--stage"], None),
        (["--dryrun"], None),
    ],
)
def test_recipe_config_ends_with_2_and_one_line(
    args: list[str], obj: GlobalContext | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught:
        parse_recipe_config(typer_context(args, obj))
    assert caught.value.exit_code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_context_takes_all_of_a_command_line() -> None:
    flags = (True,) * 7
    arguments = Arguments("c", "r", "b", *flags, dotlist=("a=1",), passthrough=("x",))
    taken = asdict(GlobalContext.from_arguments(arguments))
    expected = {name: value for name, value in asdict(arguments).items() if name != "help"}
    assert taken == {**expected, "dotlist": ["a=1"], "passthrough": ["x"]}
