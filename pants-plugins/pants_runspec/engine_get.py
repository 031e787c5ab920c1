"""Rules by name on a Pants that has only `Get` (2.17 to 2.29); imported by `engine` alone.

A rule's name is bound here to a plain function that takes what the named rule of a modern Pants
takes and returns the `Get` for it. Such a function has to be synchronous and annotated with the
bare class `Get`: the rule visitor of these versions follows exactly those functions to see what a
rule asks for, and reads the types out of their closure.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, cast, get_type_hints

from pants.backend.python.dependency_inference.module_mapper import (
    PythonModuleOwners,
    PythonModuleOwnersRequest,
)
from pants.backend.python.target_types import PexCompletePlatformsField
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import CompletePlatforms, Pex, PexRequest
from pants.backend.python.util_rules.pex_environment import PythonExecutable
from pants.backend.python.util_rules.python_sources import (
    PythonSourceFiles,
    PythonSourceFilesRequest,
    StrippedPythonSourceFiles,
)
from pants.base.specs import RawSpecs
from pants.engine.addresses import Addresses, UnparsedAddressInputs
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    DigestEntries,
    DigestSubset,
    MergeDigests,
    PathGlobs,
    Paths,
    RemovePrefix,
)
from pants.engine.internals.graph import Owners, OwnersRequest
from pants.engine.process import (
    FallibleProcessResult,
    InteractiveProcess,
    InteractiveProcessResult,
    Process,
    ProcessResult,
)
from pants.engine.rules import Effect, Get, MultiGet
from pants.engine.rules import rule as pants_rule
from pants.engine.target import (
    CoarsenedTargets,
    CoarsenedTargetsRequest,
    Targets,
    TransitiveTargets,
    TransitiveTargetsRequest,
)

concurrently = MultiGet


def implicitly(*args: Any) -> dict[str, tuple[Any, ...]]:
    """Hand the requests of an `**implicitly(…)` to the function of that name."""
    return {"__implicitly": args}


def _request(explicit: tuple[Any, ...], implicit: dict[str, tuple[Any, ...]]) -> Any:
    """Return the one value that a call carries, explicit or implicit; `{value: Type}` names a type
    to be taken as."""
    value = (*explicit, *implicit.get("__implicitly", ()))[0]
    return next(iter(value)) if isinstance(value, dict) else value


def _by_name(output_type: type, input_type: type) -> Callable[..., Any]:
    """Return the function that stands for a rule from `input_type` to `output_type`."""

    def call(*args: Any, **kwargs: Any) -> Get:
        return Get(output_type, input_type, _request(args, kwargs))

    return call


def _by_name_of_type(output_type: type, *input_types: type) -> Callable[..., Any]:
    """Like `_by_name`, for a rule that a call may reach from one of two types of input."""
    first_type, second_type = input_types

    def call(*args: Any, **kwargs: Any) -> Get:
        request = _request(args, kwargs)
        if isinstance(request, first_type):
            return Get(output_type, first_type, request)
        return Get(output_type, second_type, request)

    return call


def run_interactive_process(request: InteractiveProcess) -> Effect:
    """Run a process in the foreground, from the rule of a goal alone."""
    return Effect(InteractiveProcessResult, InteractiveProcess, request)


def rule(*args: Any, polymorphic: bool = False, **kwargs: Any) -> Any:
    """Declare a rule that other rules can call by its name.

    The body of a `polymorphic` rule whose first parameter is a union base is a stub: `Get` finds
    the member's rule.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function)
        parameters = list(inspect.signature(function).parameters)
        if not parameters:
            return cast(Callable[..., Any], pants_rule(**kwargs)(function))
        input_type = hints[parameters[0]]
        call = _by_name(hints["return"], input_type)
        call.__name__, call.__doc__ = function.__name__, function.__doc__
        is_stub = polymorphic and getattr(input_type, "_is_union_for", None) is input_type
        if not is_stub:
            call.rule = pants_rule(**kwargs)(function).rule  # type: ignore[attr-defined]
        return call

    return decorate(args[0]) if args else decorate


add_prefix = _by_name(Digest, AddPrefix)
create_digest = _by_name(Digest, CreateDigest)
create_pex = _by_name(Pex, PexRequest)
digest_complete_platforms = _by_name(CompletePlatforms, PexCompletePlatformsField)
digest_subset_to_digest = _by_name(Digest, DigestSubset)
execute_process = _by_name(FallibleProcessResult, Process)
execute_process_or_raise = _by_name(ProcessResult, Process)
find_interpreter = _by_name(PythonExecutable, InterpreterConstraints)
find_owners = _by_name(Owners, OwnersRequest)
get_digest_contents = _by_name(DigestContents, Digest)
get_digest_entries = _by_name(DigestEntries, Digest)
map_module_to_address = _by_name(PythonModuleOwners, PythonModuleOwnersRequest)
merge_digests = _by_name(Digest, MergeDigests)
path_globs_to_digest = _by_name(Digest, PathGlobs)
path_globs_to_paths = _by_name(Paths, PathGlobs)
prepare_python_sources = _by_name(PythonSourceFiles, PythonSourceFilesRequest)
remove_prefix = _by_name(Digest, RemovePrefix)
resolve_coarsened_targets = _by_name(CoarsenedTargets, CoarsenedTargetsRequest)
resolve_targets = _by_name_of_type(Targets, Addresses, RawSpecs)
resolve_unparsed_address_inputs = _by_name(Addresses, UnparsedAddressInputs)
strip_python_sources = _by_name(StrippedPythonSourceFiles, PythonSourceFiles)
transitive_targets = _by_name(TransitiveTargets, TransitiveTargetsRequest)
