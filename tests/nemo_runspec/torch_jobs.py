"""Jobs that torchrun starts, for the tests of each executor."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Job
from runspec import RunspecRun
from tests.nemo_runspec.executor_contract import make_job

VARIABLE = "RUNSPEC_TORCH_PYTHON"
ALL_REDUCE = """
    import os, sys
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    total = torch.tensor([10.0 ** dist.get_rank()])
    dist.all_reduce(total)
    # In one call: the processes share their log.
    os.write(1, f"{dist.get_rank()} of {dist.get_world_size()}: {total.item():g}\\n".encode())
    dist.destroy_process_group()
    sys.exit(int(os.environ.get("CODE", "0")))
"""
# torch before 2.0 takes its own default for --redirects and --tee to be no value from Python 3.11
# on, where an enumeration of flags no longer yields its zero.
OLD_TORCH = """
    from torch.distributed.elastic.multiprocessing import api

    if api.Std.from_str("0") is None:
        known = api.Std.from_str
        api.Std.from_str = classmethod(lambda cls, text: known(text) or api.Std.NONE)
"""


def torch_python() -> Path | None:
    """An interpreter that imports torch."""
    for python in (os.environ.get(VARIABLE), sys.executable, "/usr/bin/python3"):
        if python and os.access(python, os.X_OK):
            tried = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
            if tried.returncode == 0:
                return Path(python)
    return None


def torch_job(folder: Path, python: Path, processes: int, code: int = 0) -> Job:
    job = make_job(folder, ALL_REDUCE, profile={"nproc_per_node": processes})
    lines = [line[4:] for line in OLD_TORCH.splitlines()]
    (job.code / "sitecustomize.py").write_text("\n".join(lines))
    return replace(
        job,
        spec=replace(job.spec, run=RunspecRun(launch="torchrun")),
        python=JobPython(python),
        env={"OMP_NUM_THREADS": "1", "CODE": str(code)},
    )


def results(log: str) -> list[str]:
    return sorted(line for line in log.splitlines() if " of " in line and ": " in line)
