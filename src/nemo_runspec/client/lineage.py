"""The lineage of a version, as an interpreter and a notebook show it."""

from __future__ import annotations

import html
from dataclasses import dataclass

from nemo_runspec.lineage.model import Lineage
from nemo_runspec.lineage.recorded import recorded_lineage
from nemo_runspec.lineage.tree import render_tree
from nemo_runspec.store.lineage import VersionId
from nemo_runspec.store.store import Store
from nemo_runspec.store_admin.text import plural


@dataclass(frozen=True, repr=False)
class VersionLineage(Lineage):
    """A lineage that shows itself as a tree: ``print(version.lineage())``."""

    def __repr__(self) -> str:
        count = plural(len(self.nodes), "node")
        return f"<lineage of {', '.join(self.roots)}, {self.direction}: {count}>"

    def __str__(self) -> str:
        return render_tree(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(render_tree(self))}</pre>"


def lineage_of(store: Store, version: VersionId, direction: str) -> VersionLineage:
    """The lineage of one version.

    Args:
        store: the store.
        version: the artifact's name and the version's number.
        direction: ``upstream``, ``downstream`` or ``both``.
    """
    return VersionLineage(**vars(recorded_lineage(store, [version], direction)))
