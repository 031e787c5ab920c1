"""`nemo-runspec reproduce`: what a version was made with, and whether it is still there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.cli import main
from nemo_runspec.pipeline.external import fingerprint
from nemo_runspec.store import Manifest, VersionDraft
from tests.nemo_runspec.pipeline.example_plan import Example
from tests.nemo_runspec.reproduce.recorded import Repo


def test_all_is_there(repo: Repo) -> None:
    data = repo.data("data")
    manifest = repo.make(data)
    # What comes after it is no matter: nothing is checked out, and nothing has to be.
    repo.write("src/pipe/lib.py", "VALUE = 3\n")
    repo.write("src/pipe/model.py", "# a comment\nimport lib\nprint('model')\n")
    repo.git("rm", "--quiet", "src/pipe/words.txt")
    head = repo.commit()
    code, out, err = repo.run_cli("model:v1")
    assert (code, err) == (0, "")
    commit = manifest.run["commit"]
    assert out.splitlines() == [
        "model:v1 can be made again",
        "    recipe        src/pipe:train, target src/pipe:model",
        f"  = commit        {commit}",
        "  = code          4 files, as at that commit",
        "  = requirements  2 requirements, locked so in 3rdparty/python/python.lock",
        f"  = python        CPython>=3.9: {sys.executable} fits",
        "    profile       none: this machine",
        "    env           SIZE=small",
        "  = input         data:v1: its data is there, sizes and times as recorded",
        "",
        "config, as it counts:",
        "  train.lr     0.1",
        "  train.steps  5",
        "  output       <output>",
        "",
        f"compared with the files of the working tree (commit {head[:12]}); with --plan configs, "
        "requirements and inputs too:",
        "  src/pipe/lib.py changed",
        "  src/pipe/words.txt removed",
    ]


def test_the_document(repo: Repo) -> None:
    repo.make(repo.data("data"))
    code, out, _ = repo.run_cli("model:v1", "--format", "json")
    document = json.loads(out)
    assert code == 0 and document["schema"] == "1" and document["reference"] == "model:v1"
    assert document["recipe"] == {
        "address": "src/pipe:model",
        "recipe": "src/pipe:train",
        "commit": repo.git("rev-parse", "HEAD"),
        "dirty": False,
        "profile": None,
        "image": None,
        "constraints": ["CPython>=3.9"],
        "requirements": {"numpy": "1.26.4", "typing-extensions": "4.12.2"},
        "env": {"SIZE": "small"},
        "config": {"train": {"lr": 0.1, "steps": 5}, "output": "<output>"},
        "inputs": ["data:v1"],
        "external": [],
    }
    assert document["today"]["reasons"] == []


def test_what_was_logged_by_hand_cannot_be_made_again(repo: Repo) -> None:
    repo.data("data")
    code, out, _ = repo.run_cli("data:v1")
    assert code == 1
    assert out.splitlines() == [
        "data:v1 cannot be made again",
        "  ! recipe  it was logged by hand: what it was made with was not recorded",
    ]
    code, _, err = repo.run_cli("data:v1", "--run")
    assert code == 1
    assert err.startswith("error: data:v1 cannot be made again: recipe: it was logged by hand")


def test_a_commit_that_is_not_there(repo: Repo) -> None:
    repo.run["commit"] = "0123456789" * 4
    repo.make()
    what, text = repo.missing()
    assert what == "commit" and "not in this repository; `git fetch origin 0123456789" in text


def test_no_commit(repo: Repo) -> None:
    repo.run["commit"] = None
    repo.make()
    assert repo.missing() == (
        "commit",
        "none was recorded: it was made outside of a git repository",
    )


def test_outside_of_git(repo: Repo) -> None:
    repo.make()
    (repo.folder / ".git").rename(repo.folder / "no-git")
    (repo.folder / "BUILDROOT").touch()
    assert "there is no git here" in repo.missing()[1]


def test_a_build_root_below_the_top_of_the_repository(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("src", "3rdparty"):
        (repo.folder / "below").mkdir(exist_ok=True)
        repo.git("mv", name, f"below/{name}")
    repo.write("below/pants.toml", "")
    repo.commit()
    monkeypatch.chdir(repo.folder / "below")
    (repo.folder / "below" / ".runspec").symlink_to(repo.folder / ".runspec")
    repo.make()
    found = repo.findings(code=0)
    assert found["code"] == [("verified", "4 files, as at that commit")]
    assert found["requirements"][0][0] == "verified"


def test_a_tree_with_changes_elsewhere_is_a_caveat(repo: Repo) -> None:
    repo.run["dirty"] = True
    repo.make()
    found = repo.findings(code=0)
    assert found["commit"][0][0] == "caveat" and found["code"][0][0] == "verified"


def test_code_that_no_commit_has(repo: Repo) -> None:
    repo.run["dirty"] = True
    repo.write("src/pipe/lib.py", "VALUE = 7\n")
    repo.git("rm", "--quiet", "src/pipe/words.txt")
    repo.commit()
    repo.make()
    assert repo.missing() == (
        "code",
        "made from changes that no commit has: src/pipe/lib.py differs from that commit; "
        "src/pipe/words.txt is not in it",
    )


def test_requirements_that_no_lockfile_has(repo: Repo) -> None:
    repo.explain["requirements"] = {"numpy": "2.0.0"}
    repo.make()
    (finding,) = repo.findings(code=0)["requirements"]
    assert finding[0] == "caveat" and finding[1].startswith("1 requirement; no lockfile")


@pytest.mark.parametrize(
    "text",
    [
        """\
numpy==1.26.4 \\
    --hash=sha256:00
Typing-Extensions[x]==4.12.2 ; os_name != 'x'
""",
        """\
[[package]]
name = "numpy"
version = "1.26.4"
[[package]]
name = "typing-extensions"
version = "4.12.2"
[[package]]
name = "ours"
source = { editable = "." }
""",
    ],
)
def test_other_lockfiles(repo: Repo, text: str) -> None:
    repo.write("3rdparty/python/python.lock", text)
    repo.commit()
    repo.make()
    (finding,) = repo.findings(code=0)["requirements"]
    assert finding == ("verified", "2 requirements, locked so in 3rdparty/python/python.lock")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        ("mark", "data:v1: its data is gone: to make room"),
        ("delete", "data:v1: its data is gone: "),
        ("revoke", "data:v1: was revoked: leaked"),
        ("revoke above", "data:v1: raw:v1, which it is made from, was revoked: leaked"),
    ],
)
def test_an_input_that_is_gone(repo: Repo, break_it: str, words: str) -> None:
    repo.data("raw")
    data = repo.data("data")
    if break_it == "revoke above":
        data = repo.store.add_version(
            "data", VersionDraft(path=data.path, used_artifacts=("raw:v1",))
        )
        words = words.replace("data:v1", "data:v2", 1)
    repo.make(data)
    if break_it == "mark":
        repo.store.mark_gone("data", 1, "to make room")
    elif break_it == "delete":
        (Path(data.path) / "data.txt").unlink()
        Path(data.path).rmdir()
    else:
        name = "raw" if "above" in break_it else "data"
        repo.store.revoke(name, 1, by="ada", reason="leaked")
    what, text = repo.missing()
    assert what == "input" and text.startswith(words)


def test_an_input_of_another_store(repo: Repo) -> None:
    repo.make(Manifest("elsewhere", 3, "Artifact", "/x", "", "", {}, (), ()))
    assert repo.missing()[1].startswith("elsewhere:v3: it is not in ")


def test_an_input_that_was_changed(repo: Repo) -> None:
    data = repo.data("data", "data")
    repo.make(data)
    (Path(data.path) / "data.txt").write_text("atad")
    # Sizes and times do not tell it for certain; the content does.
    (finding,) = repo.findings(code=0)["input"]
    assert finding[0] == "caveat" and "--content tells" in finding[1]
    assert repo.missing("--content")[1].startswith("data:v1: its content is not what was recorded")


def test_an_input_that_was_only_touched(repo: Repo) -> None:
    data = repo.data("data")
    repo.make(data)
    (Path(data.path) / "data.txt").write_text("data")
    (finding,) = repo.findings("--content", code=0)["input"]
    assert finding == ("verified", "data:v1: its content is the same")


def test_a_python_that_is_not_here(repo: Repo) -> None:
    repo.parts["environment"] = {"constraints": ["CPython==2.7.*"], "image": None}
    repo.make()
    what, text = repo.missing()
    assert what == "python" and text.startswith("CPython==2.7.*: ")
    # On a cluster it is the image's.
    repo.run["profile"] = "prod"
    repo.make()
    code, out, _ = repo.run_cli("model:v2")
    assert code == 0 and "    python        CPython==2.7.*\n" in out


def test_external_inputs(repo: Repo) -> None:
    repo.write("raw.txt", "raw")
    before = fingerprint("raw.txt", root=repo.folder)
    repo.parts["external"] = [["raw.txt", before], ["unchecked:ftp://x/y", "unchecked"]]
    repo.make()
    found = repo.findings(code=0)["external"]
    assert found == [
        ("verified", "raw.txt: as it was"),
        ("caveat", "unchecked:ftp://x/y: not looked at, as the target says"),
    ]
    repo.write("raw.txt", "changed")
    assert repo.missing() == ("external", "raw.txt: it was changed since")
    (repo.folder / "raw.txt").unlink()
    assert "does not exist" in repo.missing()[1]


def test_image_profile_and_secrets(repo: Repo) -> None:
    repo.write("env.toml", '[prod]\nexecutor = "slurm"\n')
    repo.run["profile"] = "prod"
    repo.explain["env"] = {"URL": "https://u:******@x/"}
    environment = {"constraints": [], "image": "nvcr.io/nvidia/nemo:24.07", "requirements": "r"}
    repo.parts["environment"] = environment
    repo.make()
    found = repo.findings(code=0)
    assert found["profile"] == [("recorded", "prod, as env.toml has it today")]
    assert found["image"][0][0] == "caveat" and "its tag may mean another" in found["image"][0][1]
    assert found["env"] == [("caveat", "URL counts, and is a secret: set it as it was")]
    assert found["python"] == [("recorded", "any")]
    repo.write("env.toml", '[test]\nexecutor = "local"\n')
    assert repo.findings(code=0)["profile"][0][0] == "caveat"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "reproduce needs NAME:vN"),
        (["model"], "which version of model?"),
        (["model:v7"], "has no version v7"),
        (["modle:v1"], "did you mean 'model'"),
        (["model:v1", "--keep"], "--keep is for --run"),
        (["model:v1", "--plan", "nowhere"], "plan.json"),
    ],
)
def test_bad_input_is_one_line(repo: Repo, arguments: list[str], words: str) -> None:
    repo.make()
    code, out, err = repo.run_cli(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and words in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parts": {"element": {"value": "a"}}}, "is one element of the fan-out"),
        ({"extra": {"checkpoint": True}}, "is a checkpoint on the way"),
        ({"run": {"address": None}}, "was made by `pants run` of src/pipe:train"),
    ],
)
def test_what_no_target_makes_is_not_run(
    repo: Repo, change: Mapping[str, Mapping[str, Any]], words: str
) -> None:
    repo.parts.update(change.get("parts", {}))
    repo.run.update(change.get("run", {}))
    repo.extra.update(change.get("extra", {}))
    repo.make()
    code, _, err = repo.run_cli("model:v1", "--run")
    assert code == 1 and words in err and err.count("\n") == 1


def test_compared_with_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = Example(tmp_path)
    example.add("data", config="count: 3\n")
    example.add("model", config="lr: 0.1\n", inputs=["data"])
    example.build()
    example.enter(monkeypatch)

    def today(reference: str) -> list[str]:
        capsys.readouterr()
        plan = str(example.write())
        # There is no git here, so it cannot be made again; what differs is known all the same.
        assert main(["reproduce", reference, "--plan", plan, "--format=json"]) == 1
        document = json.loads(capsys.readouterr().out)["today"]
        assert document["compared_with"] == f"the plan in {plan}"
        return [reason["text"] for reason in document["reasons"]]

    assert today("model:v1") == []
    example.configs["src/pipe/config/model.yaml"] = "lr: 0.2\n"
    example.configs["src/pipe/config/data.yaml"] = "count: 4\n"
    assert today("data:v1") == ["count: 3 -> 4"]
    assert today("model:v1") == ["lr: 0.1 -> 0.2", "input data may change"]
    example.build()
    (own, above) = today("model:v1")
    assert own == "lr: 0.1 -> 0.2" and above.startswith("input data: v1 (sha256:")
    assert today("model:v2") == []
