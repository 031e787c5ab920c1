"""Steps as processes of this machine, one after the other."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from nemo_runspec.masking import mask_secrets
from nemo_runspec.pipeline.steps.config import PipelineConfig
from nemo_runspec.step import Step

_GRACE_SECONDS = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_local(
    config: PipelineConfig, steps: Sequence[Step], extra_args: Sequence[str] | None = None
) -> int:
    """Runs steps as processes, each with the output of the one before it as its input.

    The output is kept in a file until the step has ended: a step starts when it is sure that the
    one before it went well, and with all that it wrote.

    Returns:
        0, or the exit code of the step that failed; 128 + n if it ended by signal n.
    """
    environment = {**os.environ, **config.environment()}
    with contextlib.ExitStack() as files:
        source: IO[bytes] | None = None
        for number, step in enumerate(steps, start=1):
            command = [*step.get_command(config.nproc_per_node), *(extra_args or [])]
            shown = shlex.join(mask_secrets(command))
            if config.dry_run:
                print(shown)
                continue
            config.say(f"step {number}/{len(steps)} {step.name}: {shown}")
            is_last = number == len(steps)
            sink = None if is_last else files.enter_context(tempfile.TemporaryFile())
            code = _run(command, source, sink, environment)
            if code:
                left = [later.name for later in steps[number:]]
                skipped = f"; not run: {', '.join(left)}" if left else ""
                print(f"error: step {step.name}: exit code {code}{skipped}", file=sys.stderr)
                return code
            if sink is not None:
                sink.seek(0)
            source = sink
    return 0


def _run(
    command: Sequence[str],
    source: IO[bytes] | None,
    sink: IO[bytes] | None,
    environment: Mapping[str, str],
) -> int:
    sys.stdout.flush()
    # A session of its own, so that all that a step started ends with it.
    process = subprocess.Popen(
        command, stdin=source, stdout=sink, env=environment, start_new_session=True
    )
    with _ended_with_us(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends the process's session when Ctrl-C, SIGTERM or SIGHUP ends us meanwhile."""

    def stop(signum: int, frame: Any) -> None:
        raise SystemExit(128 + signum)

    # Python lets no other thread say what a signal does.
    mine = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
    previous = {number: signal.signal(number, stop) for number in mine}
    try:
        yield
    except BaseException:
        _end_session(process)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
