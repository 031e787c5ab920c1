"""Steps in one Slurm batch script."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.secret_file import (
    new_secret_file,
    shell_lines,
    split_secrets,
    write_secrets,
)
from nemo_runspec.jobs import jobs_root
from nemo_runspec.pipeline.steps.config import PipelineConfig
from nemo_runspec.step import Step


def run_sbatch(
    config: PipelineConfig, steps: Sequence[Step], extra_args: Sequence[str] | None = None
) -> int:
    """Submits the steps as one batch job; prints the script instead with `dry_run`.

    Returns:
        The exit code of `sbatch`.

    Raises:
        ExecutionError: there is no `sbatch` here.
    """
    _, secrets = split_secrets(config.environment())
    folder = Path(config.remote_job_dir) if config.remote_job_dir else jobs_root()
    file = new_secret_file(folder) if secrets else None
    script = generate_sbatch_script(config, steps, extra_args, secret_file=file)
    if config.dry_run:
        print(script, end="")
        return 0
    if file is None:
        return _submit(script)
    code = None
    try:
        write_secrets(file, secrets)
        code = _submit(script)
    except OSError as error:
        raise ExecutionError(f"{error.filename}: {error.strerror}") from error
    finally:
        if code != 0:
            file.unlink(missing_ok=True)
    return code


def generate_sbatch_script(
    config: PipelineConfig,
    steps: Sequence[Step],
    extra_args: Sequence[str] | None = None,
    *,
    secret_file: Path | None = None,
) -> str:
    """The batch script that runs the steps in order and ends at the first that fails.

    Args:
        config: header, environment and container.
        steps: what to run.
        extra_args: arguments of each step.
        secret_file: where the job finds the variables that may not stand in a script.
    """
    public, _ = split_secrets(config.environment())
    header = {
        "job-name": config.job_name,
        "account": config.account,
        "partition": config.partition,
        "nodes": config.nodes,
        "gpus-per-node": config.nproc_per_node,
        "time": config.time,
    }
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH --{name}={_header_value(str(value))}" for name, value in header.items()]
    lines += ["#SBATCH --exclusive", "", "set -u"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in public.items()]
    if secret_file is not None:
        lines += shell_lines(secret_file)
    lines += [
        'head_node="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"',
        'RUNSPEC_HEAD_ADDRESS="$(srun --nodes=1 --ntasks=1 -w "$head_node" '
        'hostname --ip-address)" || exit 1',
        # A host may have several: the first will do.
        'export RUNSPEC_HEAD_ADDRESS="${RUNSPEC_HEAD_ADDRESS%% *}"',
        "",
        generate_pipeline_commands(config, steps, extra_args),
    ]
    return "\n".join(lines) + "\n"


def generate_pipeline_commands(
    config: PipelineConfig, steps: Sequence[Step], extra_args: Sequence[str] | None = None
) -> str:
    """The part of the batch script that runs the steps."""
    lines = [
        'outputs="$(mktemp -d)" || exit 1',
        "run_step() {  # NAME, INPUT, OUTPUT, COMMAND",
        '    echo "step $1" >&2',
        '    if [ "$3" = - ]; then bash -c "$4" < "$2"; else bash -c "$4" < "$2" > "$3"; fi',
        "    code=$?",
        '    [ "$code" -eq 0 ] && return',
        '    echo "error: step $1: exit code $code" >&2',
        '    rm -rf "$outputs"',
        '    exit "$code"',
        "}",
    ]
    source = "/dev/null"
    for number, step in enumerate(steps, start=1):
        sink = '"$outputs"' + f"/{number}" if number < len(steps) else "-"
        command = step.get_srun_command(
            config.nproc_per_node, config.container_image, config.mounts, extra_args or ()
        )
        words = ["run_step", shlex.quote(step.name), source, sink, shlex.quote(command)]
        lines.append(" ".join(words))
        source = sink
    return "\n".join([*lines, 'rm -rf "$outputs"'])


def _header_value(value: str) -> str:
    if "\n" in value or '"' in value:
        raise ExecutionError(f"{value!r} cannot stand in a #SBATCH line")
    return f'"{value}"' if any(c.isspace() for c in value) else value


def _submit(script: str) -> int:
    try:
        done = subprocess.run(["sbatch"], input=script, capture_output=True, text=True)
    except FileNotFoundError:
        raise ExecutionError(
            "no sbatch on this machine's PATH; run this on the cluster's login host, or use "
            "launcher='nemo-run' with tunnel='ssh'"
        ) from None
    except OSError as error:
        raise ExecutionError(f"sbatch cannot be started: {error.strerror}") from error
    if done.returncode:
        print(f"error: sbatch: {done.stderr.strip()}", file=sys.stderr)
    else:
        print(done.stdout.strip())
    return done.returncode
