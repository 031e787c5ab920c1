"""The goals of artifacts, `plan`, `materialize`, `lineage`, `package` and `run`: what the launcher
is asked to do, and what becomes of its answers.

The launcher is a stand-in: a script that tells what it was started with and answers as a test wants
it to. The real one is tested with the whole program.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import pytest
from pants.base.specs import AddressLiteralSpec, RawSpecs, Specs
from pants.core.goals.package import BuiltPackage
from pants.core.goals.run import RunRequest
from pants.engine.fs import Digest, DigestContents
from pants.engine.internals.scheduler import ExecutionError
from pants.testutil.rule_runner import (
    PYTHON_BOOTSTRAP_ENV,
    GoalRuleResult,
    QueryRule,
    RuleRunner,
    mock_console,
)

from pants_runspec.goals.command_line import NemoRunspecGoal
from pants_runspec.goals.lineage import LineageGoal
from pants_runspec.goals.materialize import MaterializeGoal
from pants_runspec.goals.plan import PlanGoal
from pants_runspec.goals.selection import Selection, SelectionRequest
from pants_runspec.target_types import ArtifactFieldSet, RecipeFieldSet
from tests.pants_runspec.harness import (
    address_of,
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
    "--nemo-runspec-slurm-source=src/nemo_runspec/cli.py:slurm",
    "--nemo-runspec-slurm-interpreter-constraints=['CPython==3.11.*']",
    "--python-interpreter-constraints=['CPython==3.11.*']",
    *pex_cli(),
]

# It writes what it sees to said/N.json in its working folder, and does what answers.json says.
LAUNCHER = """\
import json
import shlex
import os
import sys
from pathlib import Path


def files(arguments):
    kinds = ("--bundles=", "--plan=")
    named = [each for each in arguments if not each.startswith("--") or each.startswith(kinds)]
    folders = [each.rpartition("=")[2] for each in named if "/" in each]
    return {
        str(path.relative_to(folder)): path.read_text(errors="replace")
        for folder in folders
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.suffix in (".json", ".yaml")
    }


def main():
    arguments = sys.argv[1:]
    said = Path("said")
    said.mkdir(exist_ok=True)
    number = len(list(said.iterdir()))
    seen = {
        "arguments": arguments,
        "cwd": os.getcwd(),
        "command": os.environ.get("RUNSPEC_COMMAND"),
        "variable": os.environ.get("A_VARIABLE"),
        "has_nemo_run": (Path(__file__).parent / "nemo_run_here.py").exists(),
        "files": files(arguments),
    }
    (said / f"{number}.json").write_text(json.dumps(seen))
    command = "dry_run" if "--dry-run" in arguments else arguments[0]
    answer = json.loads(Path("answers.json").read_text())[command]
    for option in arguments:
        if option.startswith("--output="):
            for name, text in answer.get("output", {}).items():
                Path(option.partition("=")[2]).mkdir(exist_ok=True)
                (Path(option.partition("=")[2]) / name).write_text(text)
    sys.stdout.write(answer.get("stdout", ""))
    sys.stderr.write(answer.get("stderr", ""))
    sys.exit(answer.get("exit", 0))
"""

FILES = {
    "src/nemo_runspec/cli.py": LAUNCHER,
    "src/nemo_runspec/nemo_run_here.py": "",
    "src/nemo_runspec/BUILD": """\
python_sources(sources=["cli.py"])
python_source(name="nemo-run", source="nemo_run_here.py")
python_sources(name="slurm", sources=["cli.py"], dependencies=[":nemo-run"])
""",
    "env.toml": "[prod]\nexecutor = 'slurm'\n[rayed]\nextends = 'prod'\nexecutor = 'ray'\n",
    "p/prepare.py": script('[tool.runspec.config]\ndir = "config/prepare"'),
    "p/train.py": script('[tool.runspec.config]\ndir = "config/train"'),
    "p/config/prepare/default.yaml": "size: 1\n",
    "p/config/train/default.yaml": "run: {data: p-data:latest}\n",
    "p/config/train/alone.yaml": "a: 1\n",
    "p/BUILD": """\
python_sources()
runspec_configs(name="configs", sources=["config/**/*.yaml"])
runspec_recipe(name="prepare", script="prepare.py")
runspec_recipe(name="train", script="train.py")
runspec_recipe(name="unused", script="train.py")
artifact(name="data", recipe=":prepare")
artifact(name="model", recipe=":train")
artifact(name="sweep", recipe=":prepare", sweep={"size": ["1", "2"]})
""",
}


@pytest.fixture(scope="module")
def shared_runner() -> RuleRunner:
    return make_runner(
        FILES,
        rules=[
            QueryRule(BuiltPackage, (ArtifactFieldSet,)),
            QueryRule(DigestContents, (Digest,)),
            QueryRule(RunRequest, (RecipeFieldSet,)),
            QueryRule(Selection, (SelectionRequest,)),
        ],
    )


@pytest.fixture
def runner(shared_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch) -> RuleRunner:
    """The runner, in a session of its own: what the launcher answered before is forgotten."""
    # As the daemon is; a process in the foreground starts in the same folder.
    monkeypatch.chdir(shared_runner.build_root)
    for path in Path(shared_runner.build_root).glob("said/*"):
        path.unlink()
    set_options(shared_runner)
    return shared_runner


def set_options(runner: RuleRunner, *options: str) -> None:
    runner.set_options(
        with_defaults([*OPTIONS, *options]),
        env={"A_VARIABLE": "é"},
        env_inherit={*PYTHON_BOOTSTRAP_ENV, "HOME", "XDG_CACHE_HOME"},
    )


def answers(runner: RuleRunner, **by_command: Mapping[str, Any]) -> None:
    runner.write_files({"answers.json": json.dumps(by_command)})


def planned(states: Mapping[str, str], *needs_bundles: str) -> Mapping[str, str]:
    nodes = [{"address": address, "state": state} for address, state in states.items()]
    return {"stdout": json.dumps({"nodes": nodes, "needs_bundles": needs_bundles})}


def said(runner: RuleRunner) -> list[Mapping[str, Any]]:
    """Return what the launcher saw, call by call."""
    paths = sorted(Path(runner.build_root, "said").glob("*.json"))
    return [json.loads(path.read_text()) for path in paths]


def run_goal(
    runner: RuleRunner, goal: Any, *arguments: str, options: Optional[list[str]] = None
) -> GoalRuleResult:
    with mock_console(runner.options_bootstrapper):
        return runner.run_goal_rule(
            goal,
            global_args=with_defaults([*OPTIONS, *(options or [])]),
            args=arguments,
            env={"A_VARIABLE": "é"},
            env_inherit={*PYTHON_BOOTSTRAP_ENV, "HOME", "XDG_CACHE_HOME"},
        )


def addresses(call: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the roots and all artifacts of the plan that the launcher was given."""
    plan = json.loads(call["files"]["plan.json"])
    return plan["roots"], [each["address"] for each in plan["artifacts"]]


def test_a_plan_is_the_launchers(runner: RuleRunner) -> None:
    answers(runner, plan={"stdout": "the plan\n", "stderr": "a note\n", "exit": 0})
    result = run_goal(runner, PlanGoal, "--profile=prod", "--format=markdown", "p:model")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "the plan\n", "a note\n")
    (call,) = said(runner)
    command, folder, *options = call["arguments"]
    assert command == "plan" and folder.endswith("/plan")
    assert options == ["--format=markdown", "--profile=prod"]
    assert call["cwd"] == runner.build_root
    assert call["command"].endswith(" plan --profile=prod p:model")
    assert call["variable"] == "é"
    assert addresses(call) == (["p:model"], ["p:data", "p:model"])
    assert sorted(call["files"]) == [
        "configs/p/config/prepare/default.yaml",
        "configs/p/config/train/default.yaml",
        "plan.json",
    ]


def test_the_exit_code_of_a_plan_is_the_launchers(runner: RuleRunner) -> None:
    answers(runner, plan={"stderr": "error: no store\n", "exit": 2})
    result = run_goal(runner, PlanGoal, "p:model")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "error: no store\n")


def test_a_plan_has_a_limit(runner: RuleRunner) -> None:
    costly = "error: more than --max-gpu-hours 2.5\n"
    answers(runner, plan={"stdout": "the plan\n", "stderr": costly, "exit": 1})
    result = run_goal(runner, PlanGoal, "--max-gpu-hours=2.5", "p:model")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "the plan\n", costly)
    (call,) = said(runner)
    assert "--max-gpu-hours=2.5" in call["arguments"]
    assert call["command"].endswith(" plan --max-gpu-hours=2.5 p:model")


def test_the_costs_of_files_are_the_launchers(runner: RuleRunner) -> None:
    answers(runner, costs={"stdout": "the files\n"})
    result = run_goal(runner, PlanGoal, "--costs", "--format=json", "p:model")
    assert (result.exit_code, result.stdout) == (0, "the files\n")
    (call,) = said(runner)
    command, folder, *options = call["arguments"]
    assert (command, options) == ("costs", ["--format=json"]) and folder.endswith("/plan")
    assert addresses(call) == (["p:model"], ["p:data", "p:model"])


ALL = ["p:data", "p:model", "p:sweep#size-1", "p:sweep#size-2"]


@pytest.mark.parametrize(
    ("arguments", "roots"),
    [
        (["::"], ALL),
        (["p::"], ALL),
        (["p:"], ALL),
        (["p"], ALL),
        (["p:sweep"], ALL[2:]),
        (["p:sweep#size-2"], ALL[3:]),
        (["::", "-p:model"], [each for each in ALL if each != "p:model"]),
    ],
)
def test_arguments_mean_the_artifacts_among_their_targets(
    runner: RuleRunner, arguments: list[str], roots: list[str]
) -> None:
    answers(runner, plan={"stdout": "the plan\n"})
    run_goal(runner, PlanGoal, *arguments)
    (call,) = said(runner)
    assert addresses(call)[0] == roots


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("p:train", "p:train is a recipe; name what it makes: p:model"),
        ("p:configs", "p:configs is no artifact; beside it there are: p:data, p:model, "),
        ("p:unused", 'p:unused is a recipe; no artifact target has recipe="p:unused"; write one'),
        ("p:prepare", "p:prepare is a recipe; name what it makes: p:data, p:sweep"),
        ("p/train.py", "p/train.py is the script of p:train; name what it makes: p:model"),
        (
            "p/config/train/default.yaml",
            "p/config/train/default.yaml is a file, not an artifact; there are some in p::",
        ),
    ],
)
@pytest.mark.parametrize("goal", [PlanGoal, MaterializeGoal])
def test_a_recipe_is_no_artifact(
    runner: RuleRunner, goal: Any, argument: str, message: str
) -> None:
    with pytest.raises(ExecutionError) as caught:
        run_goal(runner, goal, argument)
    assert str(only_error(caught.value)).startswith(message)
    assert said(runner) == []


@pytest.mark.parametrize("goal", [PlanGoal, MaterializeGoal])
@pytest.mark.parametrize(("argument", "where"), [("src::", " in src::"), ("src", " in src")])
def test_no_artifacts_are_named(runner: RuleRunner, goal: Any, argument: str, where: str) -> None:
    result = run_goal(runner, goal, argument)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"no artifact targets{where}; there are some in p::\n"
    assert said(runner) == []


def test_nothing_is_named(runner: RuleRunner) -> None:
    result = run_goal(runner, PlanGoal)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no artifact targets; there are some in p::\n"


def test_changes_mean_the_artifacts_among_them(runner: RuleRunner) -> None:
    """As `--changed-since` hands them over: addresses of whatever changed."""

    def select(*changed: str) -> Selection:
        included = RawSpecs.create(
            [AddressLiteralSpec(*each.partition(":")[::2]) for each in changed],
            description_of_origin="a test",
            from_change_detection=True,
        )
        specs = Specs(included, RawSpecs(description_of_origin="a test"))
        return runner.request(Selection, [SelectionRequest(specs)])

    selection = select("p:train", "p:model", "p:configs")
    assert (selection.roots, selection.written) == (("p:model",), "p:model")
    assert select("p:train").nothing == "no artifact targets; there are some in p::"


def test_nothing_to_do(runner: RuleRunner) -> None:
    answers(runner, dry_run=planned({"p:data": "gone", "p:model": "fresh"}))
    result = run_goal(runner, MaterializeGoal, "p:model")
    assert (result.exit_code, result.stdout) == (0, "nothing to do: all 2 artifacts are fresh\n")
    (call,) = said(runner)
    assert call["arguments"][0] == "materialize"
    assert call["arguments"][2:] == ["--dry-run"]
    result = run_goal(runner, MaterializeGoal, "--json", "p:model")
    told = {"exit_code": 0, "built": 0, "fresh": 2, "artifacts": []}
    assert (result.exit_code, json.loads(result.stdout)) == (0, told)


def test_what_is_stale_is_packaged_and_handed_over(runner: RuleRunner) -> None:
    answers(
        runner,
        dry_run=planned({"p:data": "fresh", "p:model": "stale"}, "p:train"),
        materialize={"exit": 3},
    )
    result = run_goal(
        runner,
        MaterializeGoal,
        "--profile=prod",
        "--force",
        "--keep-going",
        "--detach",
        "--json",
        "--max-gpu-hours=2.5",
        "p:model",
    )
    assert result.exit_code == 3
    plan, call = said(runner)
    command, folder, bundles, *options = call["arguments"]
    assert command == "materialize" and folder.endswith("/plan")
    assert bundles.startswith("--bundles=/") and bundles.endswith("/bundles")
    assert options == [
        "--profile=prod",
        "--force",
        "--keep-going",
        "--detach",
        "--json",
        "--max-gpu-hours=2.5",
    ]
    assert plan["arguments"][0] == "materialize"
    assert plan["arguments"][2:] == ["--dry-run", *options]
    assert call["cwd"] == runner.build_root
    assert call["command"].endswith(
        " materialize --profile=prod --force --keep-going --detach --json --max-gpu-hours=2.5 "
        "p:model"
    )
    assert call["variable"] == "é"
    index = json.loads(call["files"]["index.json"])
    assert index.keys() == {"p:train"}
    assert index["p:train"]["folder"] == "0"
    assert index["p:train"]["python"].startswith("/")
    bundle = json.loads(call["files"]["0/bundle.json"])
    assert bundle["recipe"] == "p:train"
    recipe = json.loads(call["files"]["plan.json"])["recipes"]["p:train"]
    assert bundle["fingerprints"] == recipe["fingerprints"]


@pytest.mark.parametrize(
    ("profile", "with_nemo_run"), [(None, False), ("prod", True), ("rayed", False), ("no", False)]
)
def test_a_profile_gets_the_launcher_that_it_needs(
    runner: RuleRunner, profile: Optional[str], with_nemo_run: bool
) -> None:
    """What only compares with the store never needs more than the ordinary one."""
    answers(runner, dry_run=planned({"p:data": "stale"}, "p:prepare"), materialize={})
    options = [f"--profile={profile}"] if profile else []
    assert run_goal(runner, MaterializeGoal, *options, "p:data").exit_code == 0
    assert [call["has_nemo_run"] for call in said(runner)] == [False, with_nemo_run]


def test_what_is_blocked_is_the_launchers_to_tell(runner: RuleRunner) -> None:
    answers(runner, dry_run=planned({"p:model": "blocked"}), materialize={"exit": 2})
    assert run_goal(runner, MaterializeGoal, "p:model").exit_code == 2
    _, call = said(runner)
    assert json.loads(call["files"]["index.json"]) == {}


def test_what_is_refused_is_not_packaged(runner: RuleRunner) -> None:
    answers(runner, dry_run={"stderr": "error: no store\n", "exit": 2})
    result = run_goal(runner, MaterializeGoal, "p:model")
    assert (result.exit_code, result.stderr) == (2, "error: no store\n")
    assert len(said(runner)) == 1


def package(runner: RuleRunner, spec: str) -> BuiltPackage:
    target = runner.get_target(address_of(runner, spec))
    return runner.request(BuiltPackage, [ArtifactFieldSet.create(target)])


def test_a_fresh_artifact_is_packaged(runner: RuleRunner) -> None:
    answers(runner, export={"output": {"manifest.json": "{}", "metadata.json": "[]"}})
    for spec, path in (("p:data", "p/data"), ("p:sweep#size-1", "p/sweep/size-1")):
        set_options(runner)
        built = package(runner, spec)
        assert [each.relpath for each in built.artifacts] == [path]
        files = {f.path: f.content for f in runner.request(DigestContents, [built.digest])}
        assert files == {f"{path}/manifest.json": b"{}", f"{path}/metadata.json": b"[]"}
    call = said(runner)[0]
    command, folder, address, output, *options = call["arguments"]
    assert (command, address, options) == ("export", "p:data", ["--stale=warn"])
    assert folder.endswith("/plan") and output.startswith("--output=/")
    assert addresses(call) == (["p:data"], ["p:data"])


def test_a_stale_artifact_is_a_warning(
    runner: RuleRunner, caplog: pytest.LogCaptureFixture
) -> None:
    answers(runner, export={"stderr": "warning: p:data: stale, as it happens\n"})
    built = package(runner, "p:data")
    assert built.artifacts == ()
    assert runner.request(DigestContents, [built.digest]) == DigestContents()
    assert "p:data: stale, as it happens" in [record.message for record in caplog.records]


def test_a_stale_artifact_is_an_error_if_asked(runner: RuleRunner) -> None:
    answers(runner, export={"stderr": "error: p:data: stale, as it happens\n", "exit": 2})
    set_options(runner, "--artifact-package-stale=error", "--artifact-package-profile=prod")
    with pytest.raises(ExecutionError) as caught:
        package(runner, "p:data")
    assert str(only_error(caught.value)) == "p:data: stale, as it happens"
    (call,) = said(runner)
    assert call["arguments"][4:] == ["--stale=error", "--profile=prod"]


def run_request(runner: RuleRunner, arguments: str, spec: str = "p:train") -> RunRequest:
    set_options(runner, *([f"--run-args={arguments}"] if arguments else []))
    return runner.request(RunRequest, [field_set(runner, spec)])


def paths_of(runner: RuleRunner, request: RunRequest) -> set[str]:
    contents = runner.request(DigestContents, [request.digest])
    return {file.path for file in contents if file.path.startswith("inputs/")}


def test_a_run_takes_the_plan_of_its_inputs_along(runner: RuleRunner) -> None:
    answers(runner, plan=planned({"p:data": "stale"}, "p:prepare"))
    request = run_request(runner, "--profile prod")
    assert request.extra_env["RUNSPEC_INPUTS_PLAN"] == "{chroot}/inputs"
    assert request.extra_env["RUNSPEC_INPUTS_BUNDLES"] == "{chroot}/inputs/bundles"
    assert paths_of(runner, request) >= {
        "inputs/plan.json",
        "inputs/configs/p/config/prepare/default.yaml",
        "inputs/bundles/index.json",
        "inputs/bundles/0/bundle.json",
    }
    (call,) = said(runner)
    assert call["arguments"][2:] == ["--format=json", "--profile=prod"]
    assert addresses(call)[0] == ["p:data"]


def test_a_run_brings_the_launcher_that_its_profile_needs(runner: RuleRunner) -> None:
    answers(runner, plan=planned({"p:data": "fresh"}))
    bundles = []
    for arguments, needed in (
        ("", False),
        ("--profile rayed", False),
        ("--profile prod", True),
        ("-d -r prod", True),
        ("--profile prod -h", False),
        ("--profile rayed run.env.executor=slurm", True),
    ):
        request = run_request(runner, arguments)
        files = {f.path: f.content for f in runner.request(DigestContents, [request.digest])}
        bundles.append(json.loads(files["bundle/bundle.json"])["digest"])
        assert ("__launcher/launcher.pex" in files) is needed
        assert ("RUNSPEC_LAUNCHER_PEX" in request.extra_env) is needed
        if needed:
            path = request.extra_env["RUNSPEC_LAUNCHER_PEX"]
            assert path == "{chroot}/__launcher/launcher.pex"
            assert files["__launcher/launcher.pex"] != files["bundle/launcher.pex"]
    assert len(set(bundles)) == 1


def test_a_run_whose_inputs_are_fresh_takes_no_bundles_along(runner: RuleRunner) -> None:
    answers(runner, plan=planned({"p:data": "fresh"}))
    assert paths_of(runner, run_request(runner, "")) == {
        "inputs/plan.json",
        "inputs/configs/p/config/prepare/default.yaml",
        "inputs/bundles/index.json",
    }


@pytest.mark.parametrize(
    "arguments",
    ["--dry-run", "-c alone", "--stage --run prod", "run.data=p-data:v3", "-c gone", "--hlep"],
)
def test_a_run_that_needs_no_artifact_of_a_target(runner: RuleRunner, arguments: str) -> None:
    answers(runner, plan={"exit": 9})
    request = run_request(runner, arguments)
    assert paths_of(runner, request) == set()
    assert not any(name.startswith("RUNSPEC_INPUTS") for name in request.extra_env)
    assert said(runner) == []


def test_a_run_without_a_store_goes_on(runner: RuleRunner) -> None:
    answers(runner, plan={"exit": 2, "stderr": "error: no store\n"})
    assert paths_of(runner, run_request(runner, "")) == set()


def test_the_command_line_of_the_launcher(runner: RuleRunner) -> None:
    answers(runner, store={"exit": 3})
    arguments = ["store", "ls", "a b", "--format=json", "it's"]
    # What follows `--` reaches the option in this form.
    passed = f"--nemo-runspec-args={shlex.join(arguments)}"
    result = run_goal(runner, NemoRunspecGoal, options=[passed])
    assert result.exit_code == 3
    (call,) = said(runner)
    assert call["arguments"] == arguments
    assert call["cwd"] == runner.build_root
    assert call["variable"] == "é"
    assert call["command"].endswith(f" nemo-runspec -- {shlex.join(arguments)}")


def test_the_command_line_gets_the_launcher_that_its_profile_needs(runner: RuleRunner) -> None:
    answers(runner, doctor={}, jobs={})
    for arguments in ("doctor --profile prod", "doctor --profile=rayed", "jobs ls"):
        run_goal(runner, NemoRunspecGoal, options=[f"--nemo-runspec-args={arguments}"])
    assert [call["has_nemo_run"] for call in said(runner)] == [True, False, False]


def test_the_command_line_takes_no_targets(runner: RuleRunner) -> None:
    result = run_goal(runner, NemoRunspecGoal, "p:model")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: nemo-runspec takes no targets; write its command after `--`, as in "
        "nemo-runspec -- store ls\n"
    )
    assert said(runner) == []


def test_lineage_is_the_launchers(runner: RuleRunner) -> None:
    answers(runner, lineage={"stdout": "the tree\n", "stderr": "a note\n"})
    result = run_goal(
        runner, LineageGoal, "--profile=prod", "--type=ModelArtifact", "--keys", "p:model"
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, "the tree\n", "a note\n")
    (call,) = said(runner)
    command, folder, root, *options = call["arguments"]
    assert (command, root) == ("lineage", "p:model")
    assert folder.startswith("--plan=/") and folder.endswith("/plan")
    assert options == [
        "--direction=upstream",
        "--format=tree",
        "--type=ModelArtifact",
        "--keys",
        "--profile=prod",
    ]
    assert call["cwd"] == runner.build_root
    assert call["command"].endswith(" lineage --profile=prod p:model")
    assert addresses(call) == (["p:model"], ["p:data", "p:model"])


def test_lineage_downstream_knows_every_artifact(runner: RuleRunner) -> None:
    answers(runner, lineage={"stdout": "flowchart LR\n"})
    result = run_goal(runner, LineageGoal, "--direction=both", "--format=mermaid", "p:data")
    assert (result.exit_code, result.stdout) == (0, "flowchart LR\n")
    (call,) = said(runner)
    assert call["arguments"][2:] == ["p:data", "--direction=both", "--format=mermaid"]
    assert addresses(call)[1] == ALL


def test_a_recorded_version_needs_no_plan(runner: RuleRunner) -> None:
    answers(runner, lineage={"stdout": "the tree\n"})
    run_goal(runner, LineageGoal, "--at=v3", "p:model", "p:sweep#size-1")
    (call,) = said(runner)
    assert call["arguments"] == [
        *("lineage", "p-model", "p-sweep/size-1"),
        *("--direction=upstream", "--format=tree", "--at=v3"),
    ]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["--format=html", "p:model"], "dist/lineage/p-model.html"),
        (["--format=html", "--at=v3", "p:sweep#size-1"], "dist/lineage/p-sweep-size-1-v3.html"),
        (["--format=html", "p::"], "dist/lineage/lineage.html"),
        (["--format=json", "--output=a/./b c.json", "p:model"], "a/b c.json"),
    ],
)
def test_a_page_is_written_and_its_path_is_said(
    runner: RuleRunner, arguments: list[str], path: str
) -> None:
    page = "<p>é</p>\n"
    answers(runner, lineage={"stdout": page, "stderr": "a note\n"})
    result = run_goal(runner, LineageGoal, *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{path}\n", "a note\n")
    assert Path(runner.build_root, path).read_text(encoding="utf-8") == page
    assert not any(each.startswith("--output") for each in said(runner)[0]["arguments"])


def test_a_page_that_cannot_be_made_is_not_written(runner: RuleRunner) -> None:
    answers(runner, lineage={"stderr": "error: no store\n", "exit": 2})
    result = run_goal(runner, LineageGoal, "--format=html", "--output=never.html", "p:model")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "error: no store\n")
    assert not Path(runner.build_root, "never.html").exists()


@pytest.mark.parametrize("path", ["/tmp/page.html", "../page.html", "a/../../b", "."])
def test_a_page_stays_in_the_repository(runner: RuleRunner, path: str) -> None:
    with pytest.raises(ExecutionError) as caught:
        run_goal(runner, LineageGoal, f"--output={path}", "p:model")
    assert str(only_error(caught.value)).startswith(f"--lineage-output={path} is not in this repo")
    assert said(runner) == []


def test_lineage_of_nothing(runner: RuleRunner) -> None:
    result = run_goal(runner, LineageGoal, "src::")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no artifact targets in src::; there are some in p::\n"
