"""The targets of this backend and their fields. Their help text is the reference manual: `pants
help runspec_recipe`."""

from __future__ import annotations

import os.path
from dataclasses import dataclass

from pants.backend.python.target_types import PexCompletePlatformsField, PythonResolveField
from pants.core.goals.package import OutputPathField, PackageFieldSet
from pants.core.goals.run import RunFieldSet, RunInSandboxBehavior
from pants.core.target_types import ResourceSourceField
from pants.engine.addresses import Address
from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    AsyncFieldMixin,
    Dependencies,
    DictStringToStringField,
    IntField,
    InvalidFieldException,
    MultipleSourcesField,
    StringField,
    StringSequenceField,
    Target,
    TargetFilesGenerator,
    TargetGenerator,
)
from pants.util.strutil import help_text

from pants_runspec.paths import leaves_build_root
from runspec.models import LAUNCH_KINDS


class RecipeScriptField(StringField, AsyncFieldMixin):
    alias = "script"
    required = True
    value: str
    help = help_text(
        """
        The training script, as a path relative to the BUILD file: `train.py`,
        `stage0_pretrain/train.py`.

        The script carries a `# /// script` block with a `[tool.runspec]` table (PEP 723), from
        which everything else about the recipe is taken. The file itself stays owned by a
        `python_sources` target, so that imports, tests and linters see it like any other Python
        file.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: str | None, address: Address) -> str:
        value = super().compute_value(raw_value, address) or ""
        if leaves_build_root(os.path.join(address.spec_path, value)):
            raise InvalidFieldException(
                f"{address}: the `{cls.alias}` field names {value!r}, which leads out of the "
                "repository; give the script's path relative to the BUILD file"
            )
        return value

    @property
    def file_path(self) -> str:
        """The script's path relative to the build root."""
        return os.path.normpath(os.path.join(self.address.spec_path, self.value))


class RecipeScriptsField(StringSequenceField):
    alias = "scripts"
    default = ("**/*.py",)
    help = help_text(
        """
        Globs of the scripts to make recipes of, relative to the BUILD file. Of the files they
        match, those that carry a `# /// script` block with a `[tool.runspec]` table become recipes.
        `!` excludes: `["**/*.py", "!**/old_*.py"]`.
        """
    )


class RecipeDependenciesField(Dependencies):
    help = help_text(
        """
        What the recipe needs beside what is inferred: the script and all that it imports, and
        the YAMLs of its config folder. Name here what no import shows, such as a `files` or
        `resources` target that is read at run time: `dependencies=[":prompts",
        "src/tools:helper"]`.
        """
    )


class RecipeProvidedField(StringSequenceField):
    alias = "provided"
    help = help_text(
        """
        Projects that are there where the job runs and so are never bundled: `provided=["torch",
        "megatron-core"]`.

        A recipe with an image needs this only for what its PEP 723 `dependencies` list: everything
        else that it imports is expected in the image anyway.
        """
    )


class RecipePythonField(StringField):
    alias = "python"
    help = help_text(
        f"""
        The Python version of the job, where it must be one in particular: `python="3.12"`.

        Without it the script's `requires-python` counts, and without that
        `[python].interpreter_constraints`. A recipe with an image that has a PEP 723 dependency
        with native code needs this or `{PexCompletePlatformsField.alias}`, since its wheels have to
        fit the image's interpreter.
        """
    )


class RecipeCompletePlatformsField(PexCompletePlatformsField):
    help = help_text(
        """
        The platforms of the job, where wheels with native code must fit another machine than this
        one: addresses of `file` targets that hold the JSON which
        `pex3 interpreter inspect --markers --tags` prints there:
        `complete_platforms=["3rdparty/platforms:h100-py312"]`.
        """
    )


class RecipeResolveField(PythonResolveField):
    help = help_text(
        """
        The resolve of `[python].resolves` whose lockfile the recipe's requirements come from:
        `resolve="python-default"`. By default `[python].default_resolve`.
        """
    )


class RecipeImageField(StringField):
    alias = "image"
    help = 'Overrides the script\'s `image`, e.g. `image="nvcr.io/nvidia/nemo:25.11"`.'


class RecipeLaunchField(StringField):
    alias = "launch"
    valid_choices = tuple(LAUNCH_KINDS)
    help = 'Overrides the script\'s `run.launch`, e.g. `launch="torchrun"`.'


class RecipeCmdField(StringField):
    alias = "cmd"
    help = help_text(
        """
        Overrides the script's `run.cmd`: the command line of the job, with the placeholders
        `{script}` and `{config}`, e.g. `cmd="uv run --no-project {script} --config {config}"`.
        """
    )


class RecipeWorkdirField(StringField):
    alias = "workdir"
    help = help_text(
        """
        Overrides the script's `run.workdir`: the folder the job starts in, e.g.
        `workdir="/opt/nemo-rl"`.
        """
    )


class RecipeDefaultConfigField(StringField):
    alias = "default_config"
    help = help_text(
        """
        Overrides the script's `config.default`: the config that counts without `-c`, e.g.
        `default_config="tiny"`.
        """
    )


class RecipeNodesField(IntField):
    alias = "nodes"
    help = "Overrides the script's `resources.nodes`, e.g. `nodes=4`."


class RecipeEnvField(DictStringToStringField):
    alias = "env"
    help = help_text(
        """
        Environment variables of the job, added to the script's `env`:
        `env={"NCCL_DEBUG": "WARN"}`.
        """
    )


OVERRIDE_FIELDS = (
    RecipeImageField,
    RecipeLaunchField,
    RecipeCmdField,
    RecipeWorkdirField,
    RecipeDefaultConfigField,
    RecipeNodesField,
    RecipeEnvField,
)


class RunspecRecipe(Target):
    alias = "runspec_recipe"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        RecipeScriptField,
        RecipeDependenciesField,
        RecipeResolveField,
        RecipeProvidedField,
        RecipePythonField,
        RecipeCompletePlatformsField,
        OutputPathField,
        *OVERRIDE_FIELDS,
    )
    help = help_text(
        """
        A training recipe: a script that describes itself in a `[tool.runspec]` table.

            # /// script
            # dependencies = ["numpy"]
            # [tool.runspec]
            # name = "nano3/pretrain"
            # [tool.runspec.run]
            # launch = "direct"
            # ///

            runspec_recipe(name="pretrain", script="stage0_pretrain/train.py")

        `pants run src/recipes/nano3:pretrain -- -c tiny train.steps=5` runs it on this machine,
        `pants run src/recipes/nano3:pretrain -- --dry-run` shows the compiled config and the
        command, and `pants package src/recipes/nano3:pretrain` writes its job bundle to `dist/`: a
        folder that runs on another machine without Pants.

        All metadata comes from the script; a field given here only overrides it.
        """
    )


class RunspecRecipesGenerator(TargetGenerator):
    alias = "runspec_recipes"
    generated_target_cls = RunspecRecipe
    core_fields = (*COMMON_TARGET_FIELDS, RecipeScriptsField)
    copied_fields = COMMON_TARGET_FIELDS
    moved_fields = (
        RecipeDependenciesField,
        RecipeResolveField,
        RecipeProvidedField,
        RecipePythonField,
        RecipeCompletePlatformsField,
    )
    help = help_text(
        """
        One `runspec_recipe` for each script that carries a `[tool.runspec]` table.

            runspec_recipes(name="recipes", scripts=["stage*/*.py"])

        generates `:recipes#stage0_pretrain/train` for `stage0_pretrain/train.py`, and so on.
        """
    )


class RunspecConfigSourceField(ResourceSourceField):
    # A resource: a test or a binary that depends on a config finds the file.
    expected_file_extensions = (".yaml", ".yml")
    help = 'The YAML file, relative to the BUILD file: `source="default.yaml"`.'


class RunspecConfigDependenciesField(Dependencies):
    help = help_text(
        """
        What the config needs beside the YAMLs named under its `defaults:`, which are inferred:
        `dependencies=["src/prompts:system"]`.
        """
    )


class RunspecConfig(Target):
    alias = "runspec_config"
    core_fields = (*COMMON_TARGET_FIELDS, RunspecConfigSourceField, RunspecConfigDependenciesField)
    help = help_text(
        """
        One YAML config of recipes; usually generated by `runspec_configs`.

            runspec_config(name="tiny", source="tiny.yaml")

        It depends on the YAMLs that its `defaults:` names. A recipe depends on every config in its
        config folder.
        """
    )


class RunspecConfigSourcesField(MultipleSourcesField):
    default = ("*.yaml", "*.yml")
    expected_file_extensions = (".yaml", ".yml")
    help = help_text(
        """
        Globs of the YAML files, relative to the BUILD file: `sources=["config/*.yaml"]`. By
        default all YAMLs beside the BUILD file.
        """
    )


class RunspecConfigsGenerator(TargetFilesGenerator):
    alias = "runspec_configs"
    generated_target_cls = RunspecConfig
    core_fields = (*COMMON_TARGET_FIELDS, RunspecConfigSourcesField)
    copied_fields = COMMON_TARGET_FIELDS
    moved_fields = (RunspecConfigDependenciesField,)
    help = help_text(
        """
        The YAML configs of recipes, one `runspec_config` a file, so that a change to one of
        them touches just the recipes that use it.

            runspec_configs(name="config", sources=["config/*.yaml"])
        """
    )


@dataclass(frozen=True)
class RecipeFieldSet(PackageFieldSet, RunFieldSet):
    """What the rules read of a `runspec_recipe` target."""

    required_fields = (RecipeScriptField,)
    run_in_sandbox_behavior = RunInSandboxBehavior.NOT_SUPPORTED

    script: RecipeScriptField
    dependencies: RecipeDependenciesField
    resolve: RecipeResolveField
    provided: RecipeProvidedField
    python: RecipePythonField
    complete_platforms: RecipeCompletePlatformsField
    output_path: OutputPathField
    image: RecipeImageField
    launch: RecipeLaunchField
    cmd: RecipeCmdField
    workdir: RecipeWorkdirField
    default_config: RecipeDefaultConfigField
    nodes: RecipeNodesField
    env: RecipeEnvField
