"""What `pants_runspec.engine` offers, with the types of Pants 2.17, for a type checker that has
only those.

The plugin calls rules by name; the Pants on the package index declares no rule so, thus these
signatures.
"""

from collections.abc import Iterable
from typing import Any, Callable, TypeVar, overload

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
from pants.engine.addresses import Address, Addresses, UnparsedAddressInputs
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
from pants.engine.internals.graph import OwnersRequest
from pants.engine.process import (
    FallibleProcessResult,
    InteractiveProcess,
    InteractiveProcessResult,
    Process,
    ProcessResult,
)
from pants.engine.target import (
    CoarsenedTargets,
    CoarsenedTargetsRequest,
    Targets,
    TransitiveTargets,
    TransitiveTargetsRequest,
)

BY_NAME: bool

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Product = TypeVar("_Product")
_Awaitable = Any

@overload
def rule(function: _Function) -> _Function: ...
@overload
def rule(**kwargs: Any) -> Callable[[_Function], _Function]: ...
def implicitly(*args: Any) -> dict[str, Any]: ...
async def concurrently(calls: Iterable[Any]) -> tuple[Any, ...]: ...
async def add_prefix(request: AddPrefix) -> Digest: ...
async def create_digest(request: CreateDigest) -> Digest: ...
async def create_pex(request: PexRequest) -> Pex: ...
async def digest_complete_platforms(
    request: PexCompletePlatformsField, **implicit: Any
) -> CompletePlatforms: ...
async def digest_subset_to_digest(request: DigestSubset) -> Digest: ...
async def execute_process(request: Process, **implicit: Any) -> FallibleProcessResult: ...
async def execute_process_or_raise(**implicit: Any) -> ProcessResult: ...
async def find_interpreter(
    request: InterpreterConstraints, **implicit: Any
) -> PythonExecutable: ...
async def find_owners(request: OwnersRequest, **implicit: Any) -> Iterable[Address]: ...
async def get_digest_contents(digest: Digest) -> DigestContents: ...
async def get_digest_entries(digest: Digest) -> DigestEntries: ...
async def map_module_to_address(
    request: PythonModuleOwnersRequest, **implicit: Any
) -> PythonModuleOwners: ...
async def merge_digests(request: MergeDigests) -> Digest: ...
async def path_globs_to_digest(request: PathGlobs) -> Digest: ...
async def path_globs_to_paths(request: PathGlobs) -> Paths: ...
async def prepare_python_sources(
    request: PythonSourceFilesRequest, **implicit: Any
) -> PythonSourceFiles: ...
async def remove_prefix(request: RemovePrefix) -> Digest: ...
async def resolve_coarsened_targets(
    request: CoarsenedTargetsRequest, **implicit: Any
) -> CoarsenedTargets: ...
async def resolve_targets(**implicit: Any) -> Targets: ...
async def resolve_unparsed_address_inputs(
    request: UnparsedAddressInputs, **implicit: Any
) -> Addresses: ...
async def run_interactive_process(request: InteractiveProcess) -> InteractiveProcessResult: ...
async def strip_python_sources(request: PythonSourceFiles) -> StrippedPythonSourceFiles: ...
async def transitive_targets(
    request: TransitiveTargetsRequest, **implicit: Any
) -> TransitiveTargets: ...
