"""Pants with this backend on a build root of its own, for tests.

A `RuleRunner` is as quick to make as its rule graph is small: the goals and the queries that a test
needs are named by it, Pants' own register modules are left out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, Union

from pants.backend.python import target_types_rules
from pants.backend.python.dependency_inference import rules as dependency_inference
from pants.backend.python.macros import python_requirements
from pants.backend.python.macros.python_requirements import PythonRequirementsTargetGenerator
from pants.backend.python.target_types import (
    PythonRequirementTarget,
    PythonSourcesGeneratorTarget,
    PythonSourceTarget,
)
from pants.backend.python.util_rules import local_dists, pex, pex_from_targets, python_sources
from pants.build_graph.address import AddressInput
from pants.core.target_types import (
    FilesGeneratorTarget,
    FileTarget,
    ResourcesGeneratorTarget,
    ResourceTarget,
    TargetGeneratorSourcesHelperTarget,
)
from pants.core.target_types import rules as core_target_type_rules
from pants.core.util_rules import (
    distdir,
    source_files,
    stripped_source_files,
    system_binaries,
)
from pants.engine.addresses import Address, Addresses
from pants.engine.internals.parametrize import Parametrize
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.target import Dependencies, DependenciesRequest
from pants.testutil.rule_runner import PYTHON_BOOTSTRAP_ENV, QueryRule, RuleRunner

from pants_runspec import register
from pants_runspec.recipe.spec import Recipe, RecipeRequest
from pants_runspec.target_types import RecipeFieldSet

Files = Mapping[str, Union[str, bytes]]

# Two locked trees that share nothing, and one project more; the hashes are no archive's.
LOCK = """\
left==1.0 \\
    --hash=sha256:1111111111111111111111111111111111111111111111111111111111111111
    # via -r default.in
left-leaf==1.1 \\
    --hash=sha256:2222222222222222222222222222222222222222222222222222222222222222
    # via left
right==2.0 \\
    --hash=sha256:3333333333333333333333333333333333333333333333333333333333333333
    # via -r default.in
"""

OPTIONS = (
    # By default below the build root of the runner that was made last.
    "--pants-distdir=dist",
    "--source-root-patterns=['/', '/src']",
    "--python-infer-use-rust-parser",
    "--python-enable-resolves",
    "--python-resolves={'default': 'default.lock', 'other': 'other.lock'}",
    "--python-default-resolve=default",
    "--python-resolves-generate-lockfiles=false",
    "--python-invalid-lockfile-behavior=ignore",
    "--python-interpreter-constraints=['CPython>=3.11,<3.14']",
    "--python-interpreter-versions-universe=['3.9', '3.10', '3.11', '3.12', '3.13']",
)


def with_defaults(options: Iterable[str]) -> list[str]:
    """Return options and those of `OPTIONS` that they do not give themselves."""
    own = list(options)
    given = {option.partition("=")[0] for option in own}
    return [*(option for option in OPTIONS if option.partition("=")[0] not in given), *own]


def pex_cli() -> list[str]:
    """Return the options by which a `RuleRunner` uses the Pex that ./pants set up.

    Under another Pants it downloads the one that it knows itself.
    """
    home = os.environ.get("RUNSPEC_PANTS_HOME")
    if home is None:
        return []
    (path,) = Path(home).glob("pex-v*.pex")
    version = path.stem[len("pex-") :]
    content = path.read_bytes()
    digest, size = hashlib.sha256(content).hexdigest(), len(content)
    platforms = ("linux_arm64", "linux_x86_64", "macos_arm64", "macos_x86_64")
    known = [f"{version}|{platform}|{digest}|{size}" for platform in platforms]
    return [
        f"--pex-cli-version={version}",
        f"--pex-cli-url-template=file://{home}/pex-{{version}}.pex",
        f"--pex-cli-known-versions={known}",
    ]


def make_runner(
    files: Files,
    *,
    rules: Iterable[Any] = (),
    options: Iterable[str] = (),
    is_isolated: bool = False,
) -> RuleRunner:
    """Return a `RuleRunner` on a new build root.

    Args:
        files: what is in it, by path; `LOCK` is both resolves' lockfile unless given.
        rules: those of the goals, and the queries, that the test asks for beside a recipe and the
            dependencies of a target.
        options: those beside `OPTIONS`, or instead of them.
        is_isolated: whether it has a store of its own, so that nothing comes from a cache.
    """
    runner = RuleRunner(
        rules=[
            *core_target_type_rules(),
            *dependency_inference.rules(),
            *distdir.rules(),
            *local_dists.rules(),
            *pex.rules(),
            *pex_from_targets.rules(),
            *python_requirements.rules(),
            *python_sources.rules(),
            *source_files.rules(),
            *stripped_source_files.rules(),
            *system_binaries.rules(),
            *target_types_rules.rules(),
            *register.rules(),
            QueryRule(Address, (AddressInput,)),
            QueryRule(Addresses, (DependenciesRequest,)),
            QueryRule(Recipe, (RecipeRequest,)),
            *rules,
        ],
        target_types=[
            FileTarget,
            FilesGeneratorTarget,
            PythonRequirementTarget,
            PythonRequirementsTargetGenerator,
            PythonSourceTarget,
            PythonSourcesGeneratorTarget,
            ResourceTarget,
            ResourcesGeneratorTarget,
            TargetGeneratorSourcesHelperTarget,
            *register.target_types(),
        ],
        objects={"parametrize": Parametrize},
        isolated_local_store=is_isolated,
    )
    runner.set_options(with_defaults(options), env_inherit=PYTHON_BOOTSTRAP_ENV)
    runner.write_files({"default.lock": LOCK, "other.lock": LOCK, **files})
    return runner


def script(runspec: str = "", body: str = "", *, standard: str = "") -> str:
    """Return a recipe script.

    Args:
        runspec: TOML lines of its `[tool.runspec]` table.
        body: what follows the block.
        standard: TOML lines of PEP 723's own fields.
    """
    toml = f"{dedent(standard)}\n[tool.runspec]\n{dedent(runspec)}"
    block = "".join(f"# {line}".rstrip() + "\n" for line in toml.splitlines() if line)
    return f"# /// script\n{block}# ///\n{dedent(body)}"


def address_of(runner: RuleRunner, spec: str) -> Address:
    """Return the address that is written so."""
    written = AddressInput.parse(spec, description_of_origin="a test")
    return runner.request(Address, [written])


def dependencies(runner: RuleRunner, spec: str) -> list[str]:
    """Return what a target depends on directly, as addresses, sorted."""
    target = runner.get_target(address_of(runner, spec))
    request = DependenciesRequest(target[Dependencies])
    return sorted(address.spec for address in runner.request(Addresses, [request]))


def field_set(runner: RuleRunner, spec: str) -> RecipeFieldSet:
    """Return the field set of a recipe's target."""
    return RecipeFieldSet.create(runner.get_target(address_of(runner, spec)))


def recipe(runner: RuleRunner, spec: str) -> Recipe:
    """Return the recipe that a target describes."""
    return runner.request(Recipe, [RecipeRequest(field_set(runner, spec))])


def only_error(error: ExecutionError) -> Exception:
    """Return the one exception below an engine's error; its text is one line without a trace."""
    (wrapped,) = error.wrapped_exceptions
    assert "\n" not in str(wrapped), wrapped
    return wrapped
