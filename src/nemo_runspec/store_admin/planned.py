"""Today's key of an artifact, from a plan."""

from __future__ import annotations

from pathlib import Path

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ArtifactError, UsageError
from nemo_runspec.pipeline.plan import make_plan
from nemo_runspec.pipeline.setting import open_pipeline
from nemo_runspec.store_admin.opening import Place


class UnknownKeyError(ArtifactError):
    """Today's key of an artifact is not known yet."""


def planned_key(place: Place, folder: Path, name: str, profile: str | None) -> str:
    """The key that a build of an artifact would have now.

    Args:
        place: the store.
        folder: with the plan that the build side made.
        name: the artifact's name in the store; within one's namespace it is the same target's.
        profile: the profile that it would be built with.

    Raises:
        UsageError: the plan has no such artifact.
        UnknownKeyError: what it is made from is stale itself.
        NemoRunspecError: the plan cannot be read, or a config of it not be composed.
    """
    world = open_pipeline(folder, profile=profile, settings=place.settings).world
    nodes = make_plan(world).nodes
    for node in nodes:
        if name in world.store_names(node.name):
            if node.key is None:
                raise UnknownKeyError(
                    f"{node.address}: its key is not known yet ({node.why}); accept or make what "
                    "it is made from first"
                )
            return node.key
    raise UsageError(
        f"{folder}: no artifact of the plan is called {name}; "
        f"{hint(name, [node.name for node in nodes])}"
    )
