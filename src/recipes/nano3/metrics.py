"""What a training reports while it runs: lines of JSON for programs, a plain table for people."""

from __future__ import annotations

import json
import time
from pathlib import Path

from recipes.nano3.files import read_text, write_text


class Metrics:
    """Appends to a ``metrics.jsonl`` and prints; one line each for every logged step.

    Speed and time are only printed: the file is the same whenever the training is.
    """

    def __init__(self, path: Path, done: int, steps: int, names: tuple[str, str]) -> None:
        """Goes on after ``done`` steps; what an interrupted run logged beyond them is dropped.

        Args:
            names: What the score of a batch and that of a validation are called.
        """
        self._path = path
        self._done = done
        self._steps = steps
        self._names = names
        self._tokens = 0
        self._began = time.monotonic()
        self._step_width = len(f"{steps:,}")
        write_text(path, "".join(_lines_until(path, done)))
        score, validation = names
        print(
            f"{'step':>{self._step_width + 5}}  {score:>7}  {validation:>15}  tokens/s   left",
            flush=True,
        )

    def count(self, tokens: int) -> None:
        """Tokens of one more step, for the speed."""
        self._tokens += tokens

    def log(self, step: int, score: float, validation: float | None, rate: float) -> None:
        """``rate`` is the learning rate."""
        seconds = time.monotonic() - self._began
        left = seconds / (step - self._done) * (self._steps - step)
        values = dict(zip(self._names, (score, validation), strict=True))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values, "learning_rate": rate}) + "\n")
        print(
            f"{step:>{self._step_width + 5},}  {score:7.3f}  "
            f"{'' if validation is None else f'{validation:.3f}':>15}  "
            f"{self._tokens / seconds:>8,.0f}  {duration(left):>5}",
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
