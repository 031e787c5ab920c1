"""Warm runs: a recipe, its dry run and its plain twin, everything built and pantsd up."""

from __future__ import annotations

from harness import Figure, alternate
from scene import CONFIG, PLAIN, RECIPE, RESULT, Scene, job_folder, run


def warm_figures(scene: Scene, rounds: int) -> list[Figure]:
    """Return the figures of warm runs.

    The plain file imports the same packages and the same module, reads the same config and prints
    the same; what it lacks is the `[tool.runspec]` block. Bare Python is the interpreter of the
    recipe's own job, so that its packages are the same ones too.
    """
    first = scene.pants("run", RECIPE, expect=RESULT)
    scene.pants("package", RECIPE)
    bundle = scene.root / "dist" / RECIPE.partition(":")[0].replace("/", ".") / "recipe"
    python = job_folder(first.output) / "bin" / "python"
    bare_env = {**scene.env, "PYTHONPATH": str(scene.root / "src")}
    bare = [str(python), PLAIN, "--config", CONFIG]
    plain = ("run", PLAIN, "--", "--config", CONFIG)

    wall = alternate(
        {
            "recipe": lambda: scene.pants("run", RECIPE, expect=RESULT).wall,
            "plain": lambda: scene.pants(*plain, expect=RESULT).wall,
            "dry": lambda: scene.pants("run", RECIPE, "--", "--dry-run").wall,
            "bare": lambda: run(bare, scene.root, bare_env, expect=RESULT).wall,
            "nothing": lambda: scene.pants("roots").wall,
        },
        rounds,
        warm_ups=2,
    )
    cpu = alternate(
        {
            "dry": lambda: run([f"{bundle}/run", "--dry-run"], scene.root, scene.env).cpu,
            "run": lambda: run([f"{bundle}/run"], scene.root, scene.env, expect=RESULT).cpu,
            "bare": lambda: run(bare, scene.root, bare_env, expect=RESULT).cpu,
        },
        rounds,
    )
    plain_run = "./pants run of the plain file"
    return [
        Figure("warm run", "./pants run of a recipe", plain_run, wall["recipe"], wall["plain"]),
        Figure("dry run", "./pants run … -- --dry-run", plain_run, wall["dry"], wall["plain"]),
        Figure(
            "Pants itself: plain file",
            plain_run,
            "bare python of it",
            wall["plain"],
            wall["bare"],
        ),
        Figure("Pants itself: no work", "./pants roots", plain_run, wall["nothing"], wall["plain"]),
        Figure(
            "bundle, CPU time",
            "BUNDLE/run",
            "bare python of the plain file",
            cpu["run"],
            cpu["bare"],
            "CPU s",
        ),
        Figure(
            "bundle's dry run, CPU time",
            "BUNDLE/run --dry-run",
            "bare python of the plain file",
            cpu["dry"],
            cpu["bare"],
            "CPU s",
        ),
    ]
