"""What a training reports while it runs: lines of JSON for programs, a plain table for people."""

from __future__ import annotations

import json
import time
from pathlib import Path

from recipes.nano3.files import read_text, write_text


class Metrics:
    """Appends to a ``metrics.jsonl`` and prints; one line each for every logged step."""

    def __init__(self, path: Path, done: int, steps: int, tokens_per_step: int) -> None:
        """Goes on after ``done`` steps; what an interrupted run logged beyond them is dropped."""
        self._path = path
        self._done = done
        self._steps = steps
        self._tokens_per_step = tokens_per_step
        self._began = time.monotonic()
        self._step_width = len(f"{steps:,}")
        write_text(path, "".join(_lines_until(path, done)))
        print(f"{'step':>{self._step_width + 5}}     loss  validation  tokens/s   left", flush=True)

    def log(self, step: int, loss: float, validation: float | None, rate: float) -> None:
        """Losses in nats a token; ``rate`` is the learning rate."""
        seconds = time.monotonic() - self._began
        speed = (step - self._done) * self._tokens_per_step / seconds
        left = seconds / (step - self._done) * (self._steps - step)
        record = {
            "step": step,
            "loss": loss,
            "validation_loss": validation,
            "learning_rate": rate,
            "tokens_per_second": round(speed),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(
            f"{step:>{self._step_width + 5},}  {loss:7.3f}  "
            f"{'' if validation is None else f'{validation:.3f}':>10}  "
            f"{speed:>8,.0f}  {duration(left):>5}",
            flush=True,
        )


def duration(seconds: float) -> str:
    """``75`` gives "1:15", ``3675`` gives "1:01:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _lines_until(path: Path, step: int) -> list[str]:
    if step == 0 or not path.exists():
        return []
    # A kill can tear the last line, but not one that a checkpoint was written after.
    whole = [line for line in read_text(path).splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in whole if json.loads(line)["step"] <= step]
