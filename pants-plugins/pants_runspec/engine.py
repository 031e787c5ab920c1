"""The one file that knows which Pants it runs on.

Rules of this plugin call other rules by name, as Pants 2.30 and later want it. Older Pants (2.17 to
2.29) know only `Get`; there the same names come from `engine_get`, where each is a plain function
that makes the `Get`.

Everything that moved or changed its form between Pants 2.17 and 2.33 and that this plugin uses is
imported from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pants.version import PANTS_SEMVER

BY_NAME = (PANTS_SEMVER.major, PANTS_SEMVER.minor) >= (2, 30)

if TYPE_CHECKING or BY_NAME:
    from pants.backend.python.dependency_inference.module_mapper import map_module_to_address
    from pants.backend.python.util_rules.pex import (
        create_pex,
        digest_complete_platforms,
        find_interpreter,
    )
    from pants.backend.python.util_rules.python_sources import (
        prepare_python_sources,
        strip_python_sources,
    )
    from pants.engine.internals.graph import (
        find_owners,
        resolve_coarsened_targets,
        resolve_targets,
        resolve_unparsed_address_inputs,
        transitive_targets,
    )
    from pants.engine.intrinsics import (
        add_prefix,
        create_digest,
        digest_subset_to_digest,
        execute_process,
        get_digest_contents,
        get_digest_entries,
        merge_digests,
        path_globs_to_digest,
        path_globs_to_paths,
        remove_prefix,
        run_interactive_process,
    )
    from pants.engine.process import execute_process_or_raise
    from pants.engine.rules import concurrently, implicitly, rule
else:
    from pants_runspec.engine_get import (
        add_prefix,
        concurrently,
        create_digest,
        create_pex,
        digest_complete_platforms,
        digest_subset_to_digest,
        execute_process,
        execute_process_or_raise,
        find_interpreter,
        find_owners,
        get_digest_contents,
        get_digest_entries,
        implicitly,
        map_module_to_address,
        merge_digests,
        path_globs_to_digest,
        path_globs_to_paths,
        prepare_python_sources,
        remove_prefix,
        resolve_coarsened_targets,
        resolve_targets,
        resolve_unparsed_address_inputs,
        rule,
        run_interactive_process,
        strip_python_sources,
        transitive_targets,
    )

__all__ = [
    "BY_NAME",
    "add_prefix",
    "concurrently",
    "create_digest",
    "create_pex",
    "digest_complete_platforms",
    "digest_subset_to_digest",
    "execute_process",
    "execute_process_or_raise",
    "find_interpreter",
    "find_owners",
    "get_digest_contents",
    "get_digest_entries",
    "implicitly",
    "map_module_to_address",
    "merge_digests",
    "path_globs_to_digest",
    "path_globs_to_paths",
    "prepare_python_sources",
    "remove_prefix",
    "resolve_coarsened_targets",
    "resolve_targets",
    "resolve_unparsed_address_inputs",
    "rule",
    "run_interactive_process",
    "strip_python_sources",
    "transitive_targets",
]
