"""`pants run` of a recipe: what is started, and that a dry run builds no wheels."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import pytest
from pants.core.goals.run import RunRequest
from pants.engine.fs import Digest, DigestContents
from pants.engine.internals.scheduler import ExecutionError
from pants.testutil.rule_runner import PYTHON_BOOTSTRAP_ENV, QueryRule, RuleRunner

from pants_runspec.launcher_tools import NoLauncherError
from pants_runspec.recipe.requirements import UnlockedRequirementsError
from pants_runspec.recipe.run import job_arguments
from pants_runspec.target_types import RecipeFieldSet
from tests.pants_runspec.harness import (
    field_set,
    make_runner,
    only_error,
    pex_cli,
    script,
    with_defaults,
)

OPTIONS = [
    "--nemo-runspec-source=src/nemo_runspec/cli.py",
    "--nemo-runspec-interpreter-constraints=['CPython==3.11.*']",
    "--python-interpreter-constraints=['CPython==3.11.*']",
    *pex_cli(),
]


@pytest.fixture(scope="module")
def runner() -> RuleRunner:
    """A recipe with a requirement that no lock has: whoever asks for its wheels fails."""
    return make_runner(
        {
            "src/nemo_runspec/cli.py": "def main() -> None:\n    pass\n",
            "src/nemo_runspec/BUILD": "python_sources()",
            "r/train.py": script(standard='dependencies = ["torch"]'),
            "r/here.py": script("image = 'image:1'"),
            "r/config/default.yaml": "a: 1\n",
            "r/BUILD": """\
python_sources()
runspec_recipe(name="t", script="train.py")
runspec_recipe(name="i", script="here.py")
runspec_configs(name="configs", sources=["config/*.yaml"])
""",
        },
        rules=[QueryRule(RunRequest, (RecipeFieldSet,)), QueryRule(DigestContents, (Digest,))],
    )


def run_request(
    runner: RuleRunner, spec: str, arguments: list[str], options: Iterable[str] = OPTIONS
) -> RunRequest:
    run_args = [f"--run-args={shlex.join(arguments)}"] if arguments else []
    runner.set_options(
        with_defaults([*options, *run_args]),
        env_inherit=PYTHON_BOOTSTRAP_ENV,
    )
    return runner.request(RunRequest, [field_set(runner, spec)])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dry-run"],
        ["-c", "a b", "-d", "x=1"],
        ["--help"],
        ["--dryrun"],
        ["--profle", "laptop"],
        ["--run", "a", "--batch", "b"],
    ],
)
def test_without_wheels(runner: RuleRunner, arguments: list[str]) -> None:
    request = run_request(runner, "r:t", arguments)
    paths = {file.path for file in runner.request(DigestContents, [request.digest])}
    assert {"bundle/run", "bundle/bundle.json", "bundle/launcher.pex"} <= paths
    assert not any("job.pex" in path for path in paths)


@pytest.mark.parametrize("arguments", [[], ["x=1"], ["--", "--dry-run"], ["-c", "tiny"]])
def test_with_wheels(runner: RuleRunner, arguments: list[str]) -> None:
    with pytest.raises(ExecutionError) as caught:
        run_request(runner, "r:t", arguments)
    assert isinstance(only_error(caught.value), UnlockedRequirementsError)


def test_the_process(runner: RuleRunner) -> None:
    request = run_request(runner, "r:t", ["--dry-run"])
    assert request.args == ("{chroot}/bundle/run",)
    pythons = {key: value for key, value in request.extra_env.items() if "PYTHON" in key}
    assert sorted(pythons) == ["RUNSPEC_LAUNCHER_PYTHON", "RUNSPEC_PYTHON"]
    assert all(path.startswith("/") for path in pythons.values())
    assert request.extra_env["RUNSPEC_COMMAND"].endswith(" run r:t --")


def test_a_recipe_with_an_image_has_the_images_python(runner: RuleRunner) -> None:
    request = run_request(runner, "r:i", [])
    assert "RUNSPEC_PYTHON" not in request.extra_env
    paths = {file.path for file in runner.request(DigestContents, [request.digest])}
    assert not any("job.pex" in path for path in paths)


def test_nothing_says_where_the_launcher_comes_from(runner: RuleRunner) -> None:
    options = [option for option in OPTIONS if not option.startswith("--nemo-runspec-source")]
    with pytest.raises(ExecutionError) as caught:
        run_request(runner, "r:t", ["--dry-run"], options)
    error = only_error(caught.value)
    assert isinstance(error, NoLauncherError)
    assert str(error).startswith("`[nemo-runspec].install_from_resolve` is not set, and no package")
    assert str(error).endswith("or set `[nemo-runspec].source` to the library's target")


def test_nothing_says_where_the_launcher_with_nemo_run_comes_from(runner: RuleRunner) -> None:
    runner.write_files({"env.toml": "[prod]\nexecutor = 'slurm'\n"})
    with pytest.raises(ExecutionError) as caught:
        run_request(runner, "r:t", ["--dry-run", "--profile", "prod"])
    error = only_error(caught.value)
    assert isinstance(error, NoLauncherError)
    assert str(error).startswith("`[nemo-runspec-slurm].install_from_resolve` is not set, and no ")
    assert "nemo-runspec[slurm]==0.1.0" in str(error)


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        ((), True),
        (("-c", "tiny", "train.steps=5"), True),
        (("--profile", "laptop"), True),
        (("--", "-d"), True),
        (("--", "--dryrun"), True),
        (("-d",), False),
        (("train.steps=5", "--dry-run"), False),
        (("-h",), False),
        (("--config",), False),
        (("--dry_run",), False),
        (("–dry-run",), False),
    ],
)
def test_what_runs_the_job(arguments: tuple[str, ...], runs: bool) -> None:
    assert (job_arguments(arguments) is not None) is runs
