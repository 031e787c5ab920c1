"""The job bundles of a plan: of those recipes only that have to run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import (
    add_prefix,
    concurrently,
    create_digest,
    implicitly,
    merge_digests,
    rule,
)
from pants_runspec.recipe.bundle import BundleRequest, assemble_bundle

INDEX_FILE = "index.json"


@dataclass(frozen=True)
class BundlesRequest:
    """A request for the job bundles of some recipes, by address."""

    recipes: tuple[str, ...]


@dataclass(frozen=True)
class Bundles:
    """Job bundles, each in a folder of its own, and `index.json`.

    The index has the folder of each recipe's bundle and the interpreter that Pants chose for its
    job, null where that is the image's.
    """

    digest: Digest


@rule(desc="Assemble the job bundles")
async def assemble_bundles(request: BundlesRequest, everything: AllArtifacts) -> Bundles:
    made = await concurrently(
        assemble_bundle(
            BundleRequest(everything.recipes[address], with_wheels=True), **implicitly()
        )
        for address in request.recipes
    )
    folders = await concurrently(
        add_prefix(AddPrefix(bundle.digest, str(number))) for number, bundle in enumerate(made)
    )
    index = {
        address: {
            "folder": str(number),
            "python": bundle.job_python.path if bundle.job_python else None,
        }
        for number, (address, bundle) in enumerate(zip(request.recipes, made))
    }
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    described = await create_digest(CreateDigest([FileContent(INDEX_FILE, text.encode())]))
    return Bundles(await merge_digests(MergeDigests([*folders, described])))


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
