"""Recipe scripts that describe themselves, and what both sides of the house need to know of them.

The build side (the Pants backend) and the run side (`nemo_runspec`) share this package and nothing
else: the parser of PEP 723 blocks and `[tool.runspec]`, the recipe's command line, the digest of a
source file and `bundle.json`. It is pure: standard library, and tomli below Python 3.11.
"""

from runspec.arguments import OPTIONS, Arguments, ArgumentsError, Option, parse_arguments
from runspec.blocks import Block
from runspec.bundle import Bundle, Fingerprints, from_json, to_json
from runspec.errors import (
    DuplicateBlockError,
    InvalidBundleError,
    InvalidFieldError,
    InvalidPlanError,
    InvalidTomlError,
    NoBlockError,
    NoRunspecTableError,
    RunspecError,
    ScriptEncodingError,
    ScriptNotFoundError,
    UnknownFieldError,
    UnknownLaunchError,
    UnreadableScriptError,
    UnsupportedSchemaError,
)
from runspec.mapping import FrozenMapping
from runspec.models import Runspec, RunspecConfig, RunspecResources, RunspecRun
from runspec.parser import find_block, has_block, is_recipe, parse, parse_bytes, parse_text
from runspec.source_digest import canonical_source, content_digest, source_digest

__all__ = [
    "OPTIONS",
    "Arguments",
    "ArgumentsError",
    "Block",
    "Bundle",
    "DuplicateBlockError",
    "Fingerprints",
    "FrozenMapping",
    "InvalidBundleError",
    "InvalidFieldError",
    "InvalidPlanError",
    "InvalidTomlError",
    "NoBlockError",
    "NoRunspecTableError",
    "Option",
    "Runspec",
    "RunspecConfig",
    "RunspecError",
    "RunspecResources",
    "RunspecRun",
    "ScriptEncodingError",
    "ScriptNotFoundError",
    "UnknownFieldError",
    "UnknownLaunchError",
    "UnreadableScriptError",
    "UnsupportedSchemaError",
    "canonical_source",
    "content_digest",
    "find_block",
    "from_json",
    "has_block",
    "is_recipe",
    "parse",
    "parse_arguments",
    "parse_bytes",
    "parse_text",
    "source_digest",
    "to_json",
]
