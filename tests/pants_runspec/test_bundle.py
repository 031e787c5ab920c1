"""Job bundles: what is in them, and that the same inputs make the same bytes.

The launcher is a stand-in of one module: what it does with a bundle has tests of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.package import BuiltPackage
from pants.engine.fs import Digest, DigestContents, DigestEntries, FileEntry
from pants.engine.internals.scheduler import ExecutionError
from pants.testutil.rule_runner import QueryRule, RuleRunner

from pants_runspec.recipe.bundle import (
    BundleRequest,
    ForeignWheelsError,
    RecipeBundle,
    UnownedConfigsError,
    UnownedScriptError,
)
from pants_runspec.recipe.requirements import UnlockedRequirementsError
from pants_runspec.target_types import RecipeFieldSet
from tests.pants_runspec.harness import (
    Files,
    field_set,
    make_runner,
    only_error,
    pex_cli,
    script,
)

RULES = (
    QueryRule(RecipeBundle, (BundleRequest,)),
    QueryRule(BuiltPackage, (RecipeFieldSet,)),
    QueryRule(DigestContents, (Digest,)),
    QueryRule(DigestEntries, (Digest,)),
)

BUILD = """\
python_sources()
runspec_recipe(name="t", script="train.py")
runspec_configs(name="configs", sources=["config/*.yaml"])
"""

TRAIN = script(
    """\
    name = "demo"
    [tool.runspec.config]
    default = "tiny"
    """,
    "import lib.helper\n",
)

LIBRARIES: Files = {
    "src/nemo_runspec/cli.py": "def main() -> None:\n    print('launched')\n",
    "src/nemo_runspec/nemo_run_here.py": "",
    "src/nemo_runspec/BUILD": """\
python_sources(sources=["cli.py"])
python_source(name="nemo-run", source="nemo_run_here.py")
python_sources(name="slurm", sources=["cli.py"], dependencies=[":nemo-run"])
""",
    "src/lib/helper.py": "X = 1\n",
    "src/lib/unused.py": "",
    "src/lib/BUILD": "python_sources()",
}

PYTHON = "3.11"
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")


def wheel(folder: Path, name: str, tag: str, *, requires: str = "") -> str:
    """Write a wheel and return the lockfile's entry of it."""
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    path = folder / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {
            f"{name}.py": "X = 1\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\n"
            f"Root-Is-Purelib: {str(tag.endswith('any')).lower()}\nTag: {tag}\n",
            f"{info}/RECORD": f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
        }.items():
            archive.writestr(zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0)), text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name} @ {path.as_uri()} \\\n    --hash=sha256:{digest}\n    # via -r default.in\n"


@pytest.fixture(scope="module")
def lockfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("wheels")
    tags = {
        "native": f"cp311-cp311-{PLATFORM}",
        "other": "py3-none-any",
        "toy": "py3-none-any",
    }
    needy = wheel(folder, "needy", "py3-none-any", requires="native")
    edges = {"native": "needy"}
    entries = {name: wheel(folder, name, tag) for name, tag in tags.items()}
    return needy + "".join(
        entry.replace("-r default.in", edges.get(name, "-r default.in"))
        for name, entry in entries.items()
    )


def bundle_runner(lockfile: str, *, is_isolated: bool = False) -> RuleRunner:
    constraints = f"['CPython=={PYTHON}.*']"
    return make_runner(
        {**LIBRARIES, "default.lock": lockfile},
        rules=RULES,
        options=[
            "--nemo-runspec-source=src/nemo_runspec/cli.py",
            f"--nemo-runspec-interpreter-constraints={constraints}",
            "--nemo-runspec-slurm-source=src/nemo_runspec/cli.py:slurm",
            f"--nemo-runspec-slurm-interpreter-constraints={constraints}",
            f"--python-interpreter-constraints={constraints}",
            *pex_cli(),
        ],
        is_isolated=is_isolated,
    )


@pytest.fixture(scope="module")
def runner(lockfile: str) -> RuleRunner:
    """One for all tests, each with a folder of its own: finding Pythons takes a while."""
    return bundle_runner(lockfile)


def write_recipe(runner: RuleRunner, folder: str, *, build: str = BUILD, train: str = TRAIN) -> str:
    """Write a recipe with two configs into a folder and return its address."""
    runner.write_files(
        {
            f"{folder}/train.py": train,
            f"{folder}/words.txt": "one\n",
            f"{folder}/config/tiny.yaml": "lr: 1\n",
            f"{folder}/config/large.yaml": "lr: 2\n",
            f"{folder}/BUILD": build,
        }
    )
    return f"{folder}:t"


def with_field(arguments: str) -> str:
    """Return `BUILD` with more fields of the recipe."""
    return BUILD.replace('"train.py"', f'"train.py", {arguments}')


def bundle(runner: RuleRunner, address: str, *, with_wheels: bool = False) -> RecipeBundle:
    request = BundleRequest(field_set(runner, address), with_wheels=with_wheels)
    return runner.request(RecipeBundle, [request])


def contents(runner: RuleRunner, found: RecipeBundle) -> Mapping[str, bytes]:
    files = runner.request(DigestContents, [found.digest])
    return {file.path: file.content for file in files}


def document(runner: RuleRunner, found: RecipeBundle) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(contents(runner, found)["bundle.json"])
    return described


def distributions(runner: RuleRunner, found: RecipeBundle) -> list[str]:
    """Return the projects whose wheels the job PEX holds."""
    info = json.loads(contents(runner, found)["job.pex/PEX-INFO"])
    return sorted(name.partition("-")[0] for name in info["distributions"])


def error_of(runner: RuleRunner, address: str, *, with_wheels: bool = False) -> Exception:
    with pytest.raises(ExecutionError) as caught:
        bundle(runner, address, with_wheels=with_wheels)
    return only_error(caught.value)


def test_contents_of_a_dry_run(runner: RuleRunner) -> None:
    found = bundle(runner, write_recipe(runner, "src/dry"))
    files = contents(runner, found)
    assert sorted(files) == [
        "bundle.json",
        "code/src/dry/config/large.yaml",
        "code/src/dry/config/tiny.yaml",
        "code/src/dry/train.py",
        "code/src/lib/helper.py",
        "launcher.pex",
        "run",
    ]
    assert files["code/src/dry/train.py"].decode() == TRAIN
    assert files["code/src/dry/config/tiny.yaml"] == b"lr: 1\n"
    assert files["run"].startswith(b"#!/bin/sh\n") and b"versions='3.11'" in files["run"]
    entries = runner.request(DigestEntries, [found.digest])
    assert [e.path for e in entries if isinstance(e, FileEntry) and e.is_executable] == [
        "launcher.pex",
        "run",
    ]
    assert document(runner, found)["contents"] == {
        path: hashlib.sha256(content).hexdigest()
        for path, content in files.items()
        if path.startswith("code/")
    }
    assert found.launcher_python.version == PYTHON
    assert found.job_python is not None and found.job_python.version == PYTHON
    assert Path(found.job_python.path).exists()


def test_bundle_json(runner: RuleRunner) -> None:
    found = bundle(runner, write_recipe(runner, "src/json"))
    text = contents(runner, found)["bundle.json"].decode()
    described = json.loads(text)
    assert text == json.dumps(described, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert described["schema"] == "1"
    assert described["recipe"] == "src/json:t"
    assert described["script"] == "code/src/json/train.py"
    assert described["source_roots"] == ["code/src"]
    assert described["job_pex"] == "job.pex"
    assert described["inherit_path"] is False
    assert described["interpreter_constraints"] == ["CPython==3.11.*"]
    assert described["requirements"] == {}
    assert sorted(described["fingerprints"]) == ["code", "config", "environment"]
    assert sorted(described["files"]) == ["src/json/train.py", "src/lib/helper.py"]
    spec = described["spec"]
    assert (spec["name"], spec["config"]["default"]) == ("demo", "tiny")


def test_a_dry_run_tells_the_same_of_the_bundle(runner: RuleRunner) -> None:
    address = write_recipe(runner, "src/digest")
    dry, real = (bundle(runner, address, with_wheels=wheels) for wheels in (False, True))
    assert dry.digest != real.digest
    assert document(runner, dry) == document(runner, real)
    assert len(document(runner, dry)["digest"]) == 64


def test_overrides_stand_in_the_spec(runner: RuleRunner) -> None:
    build = with_field('nodes=3, launch="direct", env={"A": "b"}')
    address = write_recipe(runner, "src/over", build=build)
    spec = document(runner, bundle(runner, address))["spec"]
    assert (spec["resources"]["nodes"], spec["run"]["launch"]) == (3, "direct")
    assert spec["env"] == {"A": "b"}


def test_resources_and_files_are_there_in_their_places(runner: RuleRunner) -> None:
    build = "files(name='words', sources=['*.txt'])\n" + with_field('dependencies=[":words"]')
    address = write_recipe(runner, "src/more", build=build)
    runner.write_files({"src/more/config/ü b.yaml": "a: ü\n"})
    found = bundle(runner, address)
    files = contents(runner, found)
    assert files["code/src/more/words.txt"] == b"one\n"
    assert files["code/src/more/config/ü b.yaml"] == "a: ü\n".encode()
    assert "src/more/words.txt" in document(runner, found)["files"]


def test_the_same_in_another_build_root_with_nothing_cached(
    runner: RuleRunner, lockfile: str
) -> None:
    other = bundle_runner(lockfile, is_isolated=True)
    train = TRAIN.replace("[tool.runspec]", 'dependencies = ["toy"]\n# [tool.runspec]')
    here, there = (
        bundle(each, write_recipe(each, "src/same", train=train), with_wheels=True)
        for each in (runner, other)
    )
    assert here.digest == there.digest
    files = contents(runner, here)
    assert "job.pex/PEX-INFO" in files
    roots = (runner.build_root.encode(), other.build_root.encode())
    assert [path for path, data in files.items() if any(root in data for root in roots)] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("train.py", TRAIN + "# a comment\n"),
        ("config/large.yaml", "lr: 3\n"),
        ("BUILD", with_field("nodes=2")),
    ],
)
def test_any_edit_makes_another_bundle(runner: RuleRunner, path: str, text: str) -> None:
    address = write_recipe(runner, "src/edit")
    before = document(runner, bundle(runner, address))["digest"]
    runner.write_files({f"src/edit/{path}": text})
    assert document(runner, bundle(runner, address))["digest"] != before
    write_recipe(runner, "src/edit")
    assert document(runner, bundle(runner, address))["digest"] == before


def test_the_job_pex_holds_the_locked_requirements(runner: RuleRunner) -> None:
    train = TRAIN.replace("[tool.runspec]", 'dependencies = ["toy"]\n# [tool.runspec]')
    found = bundle(runner, write_recipe(runner, "src/locked", train=train), with_wheels=True)
    assert distributions(runner, found) == ["toy"]
    info = json.loads(contents(runner, found)["job.pex/PEX-INFO"])
    assert (info["venv"], info["inherit_path"]) == (True, "false")
    described = document(runner, found)
    assert list(described["requirements"]) == ["toy"]
    assert described["job_pex"] == "job.pex"


IN_AN_IMAGE = script(
    """\
    image = "image:1"
    [tool.runspec.config]
    default = "tiny"
    """,
    "import torch\nimport lib.helper\n",
    standard='dependencies = ["toy", "native"]',
)


def test_an_image_needs_to_know_what_native_code_must_fit(runner: RuleRunner) -> None:
    address = write_recipe(runner, "src/foreign", train=IN_AN_IMAGE)
    error = error_of(runner, address, with_wheels=True)
    assert isinstance(error, ForeignWheelsError)
    assert str(error).startswith(f"src/foreign:t: native-1.0-cp311-cp311-{PLATFORM}.whl hold ")
    assert str(error).endswith(
        " native code, so they must fit the interpreter and platform of the image image:1; set "
        "`complete_platforms`, or on Linux `python` to the image's Python version, or list them "
        "under `provided` if the image has them"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="images are of Linux")
def test_an_image_of_a_known_python_takes_native_wheels(runner: RuleRunner) -> None:
    build = with_field('python="3.11"')
    address = write_recipe(runner, "src/known", build=build, train=IN_AN_IMAGE)
    found = bundle(runner, address, with_wheels=True)
    assert distributions(runner, found) == ["native", "toy"]


def test_an_image_provides_some(runner: RuleRunner) -> None:
    build = with_field('provided=["native"]')
    address = write_recipe(runner, "src/some", build=build, train=IN_AN_IMAGE)
    found = bundle(runner, address, with_wheels=True)
    assert found.job_python is None
    assert distributions(runner, found) == ["toy"]
    files, described = contents(runner, found), document(runner, found)
    assert json.loads(files["job.pex/PEX-INFO"])["inherit_path"] == "fallback"
    assert "code/src/lib/helper.py" in files
    assert (described["inherit_path"], list(described["requirements"])) == (True, ["toy"])


def test_an_image_provides_what_something_else_needs(runner: RuleRunner, tmp_path: Path) -> None:
    """Its job PEX opens all the same: the image's packages come behind its own."""
    train = IN_AN_IMAGE.replace('["toy", "native"]', '["needy"]')
    address = write_recipe(
        runner, "src/needy", build=with_field('provided=["native"]'), train=train
    )
    found = bundle(runner, address, with_wheels=True)
    assert distributions(runner, found) == ["needy"]
    assert list(document(runner, found)["requirements"]) == ["needy"]
    for path, content in contents(runner, found).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    done = subprocess.run(
        [
            found.launcher_python.path,
            str(tmp_path / "job.pex"),
            "-c",
            "import needy; print('open')",
        ],
        env={"PEX_ROOT": str(tmp_path / "root")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("open\n", 0), done.stderr


def test_an_image_provides_all(runner: RuleRunner) -> None:
    build = with_field('provided=["native", "toy"]')
    address = write_recipe(runner, "src/all", build=build, train=IN_AN_IMAGE)
    found = bundle(runner, address, with_wheels=True)
    described = document(runner, found)
    assert (described["job_pex"], described["requirements"]) == (None, {})
    assert not any(path.startswith("job.pex") for path in contents(runner, found))


def test_requirements_that_are_not_locked_count_only_for_wheels(runner: RuleRunner) -> None:
    train = TRAIN.replace("[tool.runspec]", 'dependencies = ["torch"]\n# [tool.runspec]')
    address = write_recipe(runner, "src/unlocked", train=train)
    described = document(runner, bundle(runner, address))
    assert (described["requirements"], described["job_pex"]) == ({}, "job.pex")
    error = error_of(runner, address, with_wheels=True)
    assert isinstance(error, UnlockedRequirementsError)
    assert str(error).startswith(
        "src/unlocked/train.py: torch (default.lock, resolve default); add it "
        "to the resolve's requirements file IN and run `uv pip compile "
    )


def test_nobody_owns_the_script(runner: RuleRunner) -> None:
    build = BUILD.replace("python_sources()", "")
    error = error_of(runner, write_recipe(runner, "src/unowned", build=build))
    assert isinstance(error, UnownedScriptError)
    assert str(error) == (
        "src/unowned:t: no python_sources target of the resolve default owns "
        "src/unowned/train.py; run `pants tailor ::`"
    )


def test_nobody_owns_a_config(runner: RuleRunner) -> None:
    build = BUILD.replace("config/*", "config/tiny")
    error = error_of(runner, write_recipe(runner, "src/strays", build=build))
    assert isinstance(error, UnownedConfigsError)
    assert str(error) == (
        "src/strays:t: no runspec_configs target owns src/strays/config/large.yaml; run "
        "`pants tailor ::`"
    )


def test_package(runner: RuleRunner) -> None:
    address = write_recipe(runner, "src/packed", build=with_field('output_path="out/my job"'))
    built = runner.request(BuiltPackage, [field_set(runner, address)])
    (artifact,) = built.artifacts
    assert artifact.relpath == "out/my job"
    assert artifact.extra_log_lines == ("run it with dist/out/my job/run",)
    paths = {file.path for file in runner.request(DigestContents, [built.digest])}
    assert {"out/my job/run", "out/my job/bundle.json", "out/my job/job.pex/PEX-INFO"} <= paths


@pytest.mark.parametrize(
    ("executors", "with_nemo_run"),
    [(["local", "ray"], False), (["ray", "slurm"], True), (["docker"], True)],
)
def test_a_package_holds_the_launcher_that_its_executors_need(
    runner: RuleRunner, executors: list[str], with_nemo_run: bool
) -> None:
    folder = "src/for-" + "-".join(executors)
    address = write_recipe(runner, folder, build=with_field(f"executors={executors}"))
    built = runner.request(BuiltPackage, [field_set(runner, address)])
    (artifact,) = built.artifacts
    packed = {f.path: f.content for f in runner.request(DigestContents, [built.digest])}
    with zipfile.ZipFile(io.BytesIO(packed[f"{artifact.relpath}/launcher.pex"])) as launcher:
        modules = [name for name in launcher.namelist() if name.endswith("/nemo_run_here.py")]
    assert bool(modules) is with_nemo_run
    # A run goes by its profile: what the target says is for those who have no Pants.
    started = document(runner, bundle(runner, address, with_wheels=True))
    same = json.loads(packed[f"{artifact.relpath}/bundle.json"])["digest"] == started["digest"]
    assert same is not with_nemo_run
