"""The header of a batch script and its `srun` command, made by NeMo-Run.

Of what NeMo-Run makes, these lines are all that is taken. It gets no text of the `srun` command as
it is, for it quotes none; in the others it would rewrite `/nemo_run`. And it has an opinion of its
own on where a job runs and writes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.nemo_run_library import RUN_DIR, nemo_run
from nemo_runspec.execution.slurm.settings import SlurmSettings

_KEPT = "/@nemo-run@"  # stands for RUN_DIR where it is not NeMo-Run's
_NOTHING = "@nothing@"  # for what NeMo-Run insists on
_COMMAND = "@command@"
# Options of NeMo-Run's `srun` that say where a job runs and writes, each with its value.
_DROPPED = ("--output", "--chdir", "--container-workdir")
_DEFAULT_SRUN = "--wait=60"  # would end a job a minute after its first process was done


@dataclass(frozen=True)
class Rendered:
    """What NeMo-Run made.

    Args:
        header: the lines of `#SBATCH`.
        srun: the command and its options, up to what it runs.
    """

    header: tuple[str, ...]
    srun: str


def render(
    settings: SlurmSettings,
    *,
    name: str,
    output: str,
    image: str | None = None,
    mounts: Sequence[str] = (),
) -> Rendered:
    """Has NeMo-Run make the header and the `srun` command.

    Args:
        settings: what the job asks for.
        name: its name in Slurm.
        output: the file for what the batch script and Slurm itself write, as sbatch takes it.
        image: the container image; None without a container.
        mounts: `SOURCE:TARGET[:FLAGS]`, for the container.

    Raises:
        ExecutionError: NeMo-Run is not here.
    """
    slurm = nemo_run("executor 'slurm'", "nemo_run.core.execution.slurm")
    flags = dict(settings.flags)
    flags["output"] = output
    account = str(flags.pop("account", _NOTHING))
    words = [*(() if image is None else (image,)), *mounts, *settings.srun_args]
    marks = {f"@{number}@": word for number, word in enumerate(words)}
    marked = iter(marks)
    executor = slurm.SlurmExecutor(
        account=_hidden(account),
        time=_hidden(str(flags.pop("time", _NOTHING))),
        nodes=settings.nodes,
        ntasks_per_node=settings.tasks_per_node,
        container_image=None if image is None else next(marked),
        container_mounts=[next(marked) for _ in mounts],
        srun_args=[next(marked) for _ in settings.srun_args],
        additional_parameters={key: _hidden_value(value) for key, value in flags.items()},
        job_name_prefix="",
        packager=slurm.Packager(),
        tunnel=slurm.LocalTunnel(job_dir=""),
    )
    executor.job_details.job_name = _hidden(name)
    executor.job_dir = _NOTHING
    request = slurm.SlurmBatchRequest(
        launch_cmd=["sbatch"],
        jobs=[name],
        command_groups=[[_COMMAND]],
        executor=executor,
        max_retries=0,
        extra_env={},
    )
    lines = request.materialize().splitlines()
    header = tuple(
        _shown(line)
        for line in lines
        if line.startswith("#SBATCH ") and not line.endswith((f"={_NOTHING}", f"='{_NOTHING}'"))
    )
    commands = [line for line in lines if line.startswith("srun ") and line.endswith(_COMMAND)]
    if not header or len(commands) != 1:
        raise ExecutionError(
            "executor 'slurm': this version of NeMo-Run renders batch scripts of another form; "
            "install nemo_run==0.11.1"
        )
    return Rendered(header, _srun(commands[0].split()[:-1], marks))


def _srun(words: Sequence[str], marks: Mapping[str, str]) -> str:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _DROPPED:
            next(rest)
        elif word == "--container-mounts":
            # Its own mount is the last.
            own = f":{RUN_DIR}"
            mounts = [mount for mount in next(rest).split(",") if not mount.endswith(own)]
            kept += [word, ",".join(marks[mount] for mount in mounts)] if mounts else []
        elif word != _DEFAULT_SRUN:
            kept.append(marks.get(word, word))
    return shlex.join(kept)


def _hidden_value(value: Any) -> Any:
    return value if isinstance(value, (bool, int)) else _hidden(str(value))


def _hidden(text: str) -> str:
    return text.replace(RUN_DIR, _KEPT)


def _shown(text: str) -> str:
    return text.replace(_KEPT, RUN_DIR)
