from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nemo_runspec import env
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.env import (
    find_env_file,
    get_artifacts_config,
    get_cache_config,
    get_cli_config,
    get_git_cache_dir,
    get_wandb_config,
    load_env_file,
    load_env_profile,
    parse_env,
)
from nemo_runspec.exceptions import EnvError, ProfileError

# The example of the seeds, word for word.
SEED = """
[base]
executor = "slurm"
account = "my-account"
remote_job_dir = "/lustre/jobs"

[dev]
extends = "base"
partition = "dev-gpu"
nodes = 1

[prod]
extends = "base"
partition = "prod-gpu"
nodes = 8

[wandb]
entity = "my-team"
project = "nemotron"

[artifacts]
backend = "file"
root = "/lustre/artifacts"

[cache]
git_dir = "/lustre/git-cache"
"""


@pytest.fixture(autouse=True)
def inside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)
    return tmp_path


def write_env(folder: Path, text: str, name: str = "env.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def assert_refused(name: str, text: str, *words: str, folder: Path) -> None:
    path = write_env(folder, text)
    with pytest.raises(EnvError) as caught:
        parse_env(GlobalContext(run=name))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_the_example_of_the_seeds(tmp_path: Path) -> None:
    write_env(tmp_path, SEED)
    prod = parse_env(GlobalContext(batch="prod"))
    assert prod is not None
    assert prod == {
        "executor": "slurm",
        "account": "my-account",
        "remote_job_dir": "/lustre/jobs",
        "partition": "prod-gpu",
        "nodes": 8,
    }
    assert prod.get("nodes", 1) == 8
    assert get_wandb_config() == {"entity": "my-team", "project": "nemotron"}
    assert get_artifacts_config() == {"manifest": {"root": "/lustre/artifacts"}}
    assert get_cache_config() == {"git_dir": "/lustre/git-cache"}
    assert get_cli_config() is None
    assert parse_env(GlobalContext()) is None


def test_the_nearest_file_counts_up_to_the_repository_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "inner repo"
    deep = inner / "package" / "deep"
    deep.mkdir(parents=True)
    (inner / "pants.toml").touch()
    (inner / "package" / "pyproject.toml").touch()
    write_env(tmp_path, "")
    assert find_env_file(deep) is None
    root_file = write_env(inner, "")
    assert find_env_file(deep) == root_file
    own = write_env(deep, "")
    monkeypatch.chdir(deep)
    assert find_env_file() == own


def test_without_a_repository_a_pyproject_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / ".git").rmdir()
    package = tmp_path / "package"
    (package / "src").mkdir(parents=True)
    (package / "pyproject.toml").touch()
    write_env(tmp_path, "")
    assert find_env_file(package / "src") is None


def test_the_variable_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_env(tmp_path, "[here]\nnodes = 1\n")
    other = write_env(tmp_path / "else where", "[there]\nnodes = 2\n", "my ünïcode.toml")
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(other))
    assert load_env_file() == {"there": {"nodes": 2}}
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "gone.toml"))
    with pytest.raises(EnvError, match=r"gone\.toml, which NEMOTRON_ENV_FILE names: there is no"):
        load_env_file()


def test_extends_merges_tables_and_replaces_lists(tmp_path: Path) -> None:
    write_env(
        tmp_path,
        """
        [a]
        mounts = ["/a:/a"]
        env_vars = {X = "1", Y = "1"}
        [b]
        extends = "a"
        env_vars = {Y = "2", Z = "2"}
        [c]
        extends = "b"
        mounts = []
        """,
    )
    assert load_env_profile("c") == {"mounts": [], "env_vars": {"X": "1", "Y": "2", "Z": "2"}}


def test_interpolations_resolve_within_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "zoë")
    mount = "${auto_mount:git+https://h/o/r.git@main,/opt/r}"
    write_env(
        tmp_path,
        f"""
        [p]
        scratch = "/lustre/${{oc.env:WHO}}"
        container_image = "${{scratch}}/x.sqsh"
        mounts = ["${{scratch}}:/s", "{mount}"]
        """,
    )
    profile = parse_env(GlobalContext(run="p"))
    assert OmegaConf.to_container(profile, resolve=False) == {
        "scratch": "/lustre/zoë",
        "container_image": "/lustre/zoë/x.sqsh",
        "mounts": ["/lustre/zoë:/s", mount],
    }


def test_free_keys_are_accepted(tmp_path: Path) -> None:
    text = '[p]\nteam_dir = "/t"\nhosts = "h"\nhost = "${hosts}"\n'
    write_env(tmp_path, text + '[d]\nexecutor = "dgxcloud"\nnprocs_per_node = 8\n')
    assert load_env_profile("p").team_dir == "/t"
    assert load_env_profile("d").nprocs_per_node == 8


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("pord", "[prod]\n[dev]\n[wandb]\n", ("did you mean 'prod'? Profiles: dev, prod",)),
        ("x", "[wandb]\n", ("no profile 'x'", "there are none")),
        ("wandb", "[wandb]\n[dev]\n", ("'wandb' (a reserved table)", "profiles: dev")),
        ("a", '[a]\nextends = "bb"\n[b]\n', ("'a' extends unknown profile 'bb'", "Profiles: a, b")),
        ("a", '[a]\nextends = "b"\n[b]\nextends = "a"\n', ("circle: a -> b -> a",)),
        ("a", '[a]\nextends = ["b"]\n[b]\n', ("extends must be the name of one profile",)),
        ("a", "[a]\nnodess = 2\n", ("unknown key 'nodess'; did you mean 'nodes'?",)),
        ("a", "[a]\ngpu_per_node = 2\n", ("did you mean 'gpus_per_node'?",)),
        ("a", "[a]\nnodes = \n", (":2: Invalid value",)),
        ("a", "[a]\nx = 1\nx = 2\n", (":3: ",)),
        ("a", '[a]\nx = """', (":2: ",)),
        ("a", '[a]\nmounts = ["${oc.env:NOT_SET_HERE}"]\n', ("'a': mounts[0]: ", "NOT_SET_HERE")),
        ("a", '[a]\nx = "${y"\n', ("profile 'a'",)),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, name: str, text: str, words: tuple[str, ...]
) -> None:
    assert_refused(name, text, *words, folder=tmp_path)


def test_a_profile_without_any_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no profile 'p': there is no env.toml from"):
        parse_env(GlobalContext(run="p"))
    assert load_env_file() == {}


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "env.toml").write_bytes(b"[p]\nx = '\xff'\n")
    with pytest.raises(EnvError, match=r"env\.toml: not UTF-8 text"):
        load_env_file()


def test_artifacts_have_one_spelling(tmp_path: Path) -> None:
    write_env(tmp_path, '[artifacts]\nwandb = true\n[artifacts.manifest]\nroot = "/a"\n')
    assert get_artifacts_config() == {"wandb": True, "manifest": {"root": "/a"}}
    write_env(tmp_path, '[artifacts]\nroot = "/old"\nmanifest = {root = "/new"}\n')
    assert get_artifacts_config() == {"manifest": {"root": "/new"}}
    write_env(tmp_path, '[artifacts]\nbackend = "ftp"\n')
    with pytest.raises(EnvError, match=r"\[artifacts\]: backend 'ftp' is unknown"):
        get_artifacts_config()
    write_env(tmp_path, 'artifacts = "here"\n')
    with pytest.raises(EnvError, match=r"\[artifacts\] must be a table"):
        get_artifacts_config()


def test_git_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    default = tmp_path / "cache" / "nemo-runspec" / "git"
    assert get_git_cache_dir() == default
    assert default.is_dir()
    write_env(tmp_path, f'[cache]\ngit_dir = "{tmp_path}/git here"\n')
    assert get_git_cache_dir() == tmp_path / "git here"
    (tmp_path / "file").touch()
    write_env(tmp_path, f'[cache]\ngit_dir = "{tmp_path}/file/below"\n')
    assert get_git_cache_dir() == default


def test_every_key_of_the_contract_is_known() -> None:
    for key in ("container", "run_command", "pre_ray_start_commands", "sbatch", "retry_delay"):
        assert key in env.PROFILE_KEYS
