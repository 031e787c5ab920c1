from __future__ import annotations

from pathlib import Path

import pytest

from tests.nemo_runspec.golden.dry_run import check

SLURM = """\
executor = "slurm"
account = "team"
partition = "main"
time = "04:00:00"
remote_job_dir = "@tmp@/shared"
"""


@pytest.mark.parametrize(
    ("name", "more", "launch"),
    [
        ("slurm", 'mem = "8G"\nqos = "high"\nsbatch = { comment = "it\'s ours" }', "direct"),
        (
            "slurm-image",
            'container_image = "/images/torch.sqsh"\n'
            'mounts = ["/lustre/data:/data", "/home/team:/home/team"]\n'
            'gpus_per_node = 8\nsrun_args = ["--mpi=pmix"]',
            "direct",
        ),
        (
            "slurm-torchrun",
            'nodes = 2\ngpus_per_node = 8\nexclusive = true\nsignal = "B:USR1@60"\nsegments = 3',
            "torchrun",
        ),
        ("slurm-ray", 'nodes = 2\ncpus_per_task = 4\nrun_partition = "quick"', "ray"),
    ],
)
def test_slurm(
    name: str,
    more: str,
    launch: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(name, SLURM + more, tmp_path, monkeypatch, capsys, launch=launch)
