"""The launcher of adopters: installed from a resolve of theirs, with NeMo-Run if need be."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from pathlib import Path

import pytest
from pants.engine.fs import Digest, DigestContents
from pants.testutil.rule_runner import QueryRule, RuleRunner

from pants_runspec.launcher import Launcher, LauncherRequest
from tests.pants_runspec.harness import make_runner, pex_cli

PYTHON = "['CPython==3.11.*']"


def wheel(folder: Path, name: str, metadata: str, files: dict[str, str]) -> str:
    """Write a wheel of version 0.1.0 and return the lockfile's entry of it."""
    module = name.replace("-", "_")
    path = folder / f"{module}-0.1.0-py3-none-any.whl"
    info = f"{module}-0.1.0.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    members[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in (*members, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name} @ {path.as_uri()} \\\n    --hash=sha256:{digest}\n    # via -r tools.in\n"


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> RuleRunner:
    folder = tmp_path_factory.mktemp("wheels")
    library = wheel(
        folder,
        "nemo-runspec",
        'Provides-Extra: slurm\nRequires-Dist: nemo-run; extra == "slurm"\n',
        {
            "nemo_runspec/__init__.py": "",
            "nemo_runspec/cli.py": "def main() -> None:\n    print('started')\n",
        },
    )
    nemo_run = wheel(folder, "nemo-run", "Requires-Dist: ray\n", {"nemo_run.py": ""})
    ray = wheel(folder, "ray", "Requires-Dist: of-ray\n", {"ray.py": ""})
    of_ray = wheel(folder, "of-ray", "", {"of_ray.py": ""})
    return make_runner(
        {"plain.lock": library, "slurm.lock": nemo_run + library + of_ray + ray},
        rules=[QueryRule(Launcher, (LauncherRequest,)), QueryRule(DigestContents, (Digest,))],
        options=[
            "--python-resolves={'default': 'default.lock', 'plain': 'plain.lock', "
            "'slurm': 'slurm.lock'}",
            "--nemo-runspec-install-from-resolve=plain",
            f"--nemo-runspec-interpreter-constraints={PYTHON}",
            "--nemo-runspec-slurm-install-from-resolve=slurm",
            f"--nemo-runspec-slurm-interpreter-constraints={PYTHON}",
            f"--python-interpreter-constraints={PYTHON}",
            *pex_cli(),
        ],
    )


@pytest.mark.parametrize(
    ("with_nemo_run", "wheels"),
    # Of a tool's resolve Pants installs all, but what is excluded.
    [(False, ["nemo_runspec"]), (True, ["nemo_run", "nemo_runspec", "of_ray"])],
)
def test_the_launcher_is_installed_from_a_resolve(
    runner: RuleRunner, tmp_path: Path, with_nemo_run: bool, wheels: list[str]
) -> None:
    """NeMo-Run's launcher starts without Ray, which is large and which it does not import."""
    launcher = runner.request(Launcher, [LauncherRequest(with_nemo_run)])
    (file,) = runner.request(DigestContents, [launcher.digest])
    assert file.path == "launcher.pex"
    with zipfile.ZipFile(io.BytesIO(file.content)) as pex:
        names = {name.split("/")[1] for name in pex.namelist() if name.startswith(".deps/")}
    assert sorted(name.partition("-")[0] for name in names if name) == wheels
    path = tmp_path / "launcher.pex"
    path.write_bytes(file.content)
    done = subprocess.run(
        [launcher.python.path, str(path)],
        env={"PEX_ROOT": str(tmp_path / "root")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("started\n", "", 0)
