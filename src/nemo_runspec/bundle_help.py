"""The help of a bundle's recipe: `pants run ADDRESS -- --help`, `nemo-runspec recipe BUNDLE -h`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from nemo_runspec.bundles import read_bundle
from nemo_runspec.help_panels import RecipeHelp, print_panels, recipe_panels


def show_bundle_help(folder: Path) -> None:
    """Print the help of the recipe in a bundle.

    Raises:
        BundleError: the folder is no bundle.
    """
    bundle = read_bundle(folder)
    command = _typed_command(folder)
    recipe = RecipeHelp(
        command=command,
        config_dir=bundle.config_dir,
        shown_dir=str(bundle.config_dir.relative_to(bundle.code)),
        default_config=bundle.spec.config.default,
        spec=bundle.spec,
    )
    print(f"usage: {command} [options] [key=value …] [-- arguments]\n")
    print(f"{bundle.spec.name or bundle.script.stem} ({bundle.document.recipe})")
    if bundle.spec.docs:
        print(bundle.spec.docs)
    print()
    print_panels(recipe_panels(recipe))


def _typed_command(folder: Path) -> str:
    """What a person types to get here."""
    typed = os.environ.get("RUNSPEC_COMMAND")  # set by `pants run`
    if typed:
        return typed
    if (folder / "run").exists():
        return shlex.quote(str(folder / "run"))
    return f"nemo-runspec recipe {shlex.quote(str(folder))}"
