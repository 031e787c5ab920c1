"""The targets of this backend and their fields. Their help text is the reference manual: `pants
help runspec_recipe`."""

from __future__ import annotations

import os.path
import re
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
    DictStringToStringSequenceField,
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
from runspec.executors import NEMO_RUN_EXECUTORS
from runspec.models import LAUNCH_KINDS
from runspec.plan import CONTENT_MODES, ON_FAILURE


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


class RecipeExecutorsField(StringSequenceField):
    alias = "executors"
    help = help_text(
        f"""
        The executors that the packaged job bundle is to run on without Pants, by their names in
        env.toml: `executors=["slurm"]`.

        A bundle's own launcher runs jobs on this machine and on Ray. With
        {", ".join(sorted(NEMO_RUN_EXECUTORS))} among these it is the one of
        `[nemo-runspec-slurm]`, which is larger by some 50 MB. `pants run` and `pants materialize`
        go by the profile, whatever is said here.
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
        RecipeExecutorsField,
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
        RecipeExecutorsField,
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
    executors: RecipeExecutorsField
    output_path: OutputPathField
    image: RecipeImageField
    launch: RecipeLaunchField
    cmd: RecipeCmdField
    workdir: RecipeWorkdirField
    default_config: RecipeDefaultConfigField
    nodes: RecipeNodesField
    env: RecipeEnvField


class ArtifactRecipeField(StringField):
    alias = "recipe"
    required = True
    value: str
    help = help_text(
        """
        Address of the recipe that makes the artifact: `recipe=":sft"`,
        `recipe="src/recipes/nano3:recipes#stage1_sft/train"`.
        """
    )


class ArtifactDependenciesField(Dependencies):
    help = help_text(
        """
        Targets that go with the artifact for Pants' own goals. What it is made from is inferred
        and needs no entry here, and nothing here is part of its key: what decides the result
        belongs to the recipe's `dependencies`, to `inputs` or to `external_inputs`:
        `dependencies=["docs:model-card"]`.
        """
    )


class ArtifactConfigField(StringField):
    alias = "config"
    help = help_text(
        """
        The config that the recipe runs with, as after `-c`: a name in the recipe's config folder
        (`config="tiny"`), or a path from the build root or from that folder
        (`config="src/recipes/nano3/config/tiny.yaml"`). By default the recipe's own default.
        """
    )


class ArtifactOverridesField(StringSequenceField):
    alias = "overrides"
    help = help_text(
        """
        Changes to the config, each as on the command line: `overrides=["train.steps=50",
        "train.lr=1e-4"]`. They are part of the artifact's key.
        """
    )


class ArtifactInputsField(StringSequenceField):
    alias = "inputs"
    help = help_text(
        """
        What the artifact is made from beside what its config names, in this order: addresses of
        artifact targets, and artifacts of the store with a version:
        `inputs=[":sft", "src/data:shards", "nano3-tokenizer:v3"]`.

        A target with a `sweep` stands for all that it generates. The script reads such inputs with
        `load_inputs()`. What the `run` section of the config names (`data: nano3-data:latest`) is
        an input anyway, and `${art:data}` is its path: with `latest` or no version it is the
        artifact target of that name, if there is one, brought up to date first; with a version
        (`nano3-data:v3`) or an alias (`nano3-data:prod`) it is what the store has. What only the
        job knows, such as `data: ${oc.env:DATA}`, cannot be an input and is refused.
        """
    )


class ArtifactOutputField(StringField):
    alias = "output"
    help = help_text(
        """
        For a script that does not log its artifact: the data, as a path below the folder that
        `RUNSPEC_OUTPUT_DIR` (in the config: `${run.output_dir}`) names: `output="model.npz"`, or
        `output="."` for all of that folder. It is logged when the job ends well.
        """
    )


class ArtifactTypeField(StringField):
    alias = "type"
    help = help_text(
        """
        The artifact's class, for a script that does not log it: `type="ModelArtifact"`.
        """
    )


class ArtifactNameField(StringField):
    alias = "artifact_name"
    help = help_text(
        """
        The artifact's name in the store, and the name by which configs refer to it:
        `artifact_name="nano3-sft-model"`, `artifact_name="team/nano3/sft-model"`. No two targets of
        the repository may have the same.

        By default the folder's name and the target's: `src/recipes/nano3:sft-model` is
        `nano3-sft-model`, and so is `src/recipes/nano3:nano3-sft-model`.
        """
    )


class ArtifactOnFailureField(StringField):
    alias = "on_failure"
    valid_choices = ON_FAILURE
    default = ON_FAILURE[0]
    help = help_text(
        """
        What becomes of the artifacts that are made from this one when it cannot be made:
        `on_failure="fail"`: they are not made either; `on_failure="skip"`: they go on without it,
        and record what is missing and why.
        """
    )


class ArtifactExternalInputsField(StringSequenceField):
    alias = "external_inputs"
    help = help_text(
        """
        Data that no artifact holds and the job reads all the same, as paths from the build root or
        URLs: `external_inputs=["data/words.txt", "s3://corpora/web/", "hf://datasets/org/set"]`.
        When one changes the artifact is stale.
        """
    )


class ArtifactKeyIgnoresField(StringSequenceField):
    alias = "key_ignores"
    help = help_text(
        """
        Keys of the config that change nothing about the result, so that another value does not
        make the artifact stale: `key_ignores=["train.log_every", "logging"]`.
        """
    )


class ArtifactContentField(StringField):
    alias = "content"
    valid_choices = CONTENT_MODES
    default = CONTENT_MODES[0]
    help = help_text(
        """
        How the data is compared with that of the last version, when it is logged:
        `content="hash"` by content, `content="stat"` by names, sizes and times, `content="none"`
        not at all. Where the data came out the same, nothing that is made from it has to run.
        """
    )


class ArtifactForeachField(StringField):
    alias = "foreach"
    help = help_text(
        """
        One job for each element of a list that only a run knows: `foreach="data:shards"` takes the
        list `shards` in the metadata of the input that the config's `run` section names `data`.
        Each job is cached by its element; together they are one version, in the list's order.
        """
    )


class ArtifactSweepField(DictStringToStringSequenceField):
    alias = "sweep"
    help = help_text(
        """
        One artifact for each value of a config key, or each combination of values of several keys;
        values are text, as on the command line: `sweep={"train.lr": ["1e-4", "3e-4"]}`.

        The target becomes a generator: `:sft` generates `:sft#lr-1e-4` and `:sft#lr-3e-4`. With
        `model` as its `artifact_name` they are called `model/lr-1e-4` and `model/lr-3e-4`. Who
        names the generator, by its address in `inputs` or by `model:latest` in a config, means all
        of them.
        """
    )


class ArtifactVariantField(DictStringToStringField):
    alias = "variant"
    help = help_text(
        """
        The values that make this artifact differ from the others of its `sweep`; set by Pants:
        `variant={"train.lr": "1e-4"}`.
        """
    )


ARTIFACT_FIELDS = (
    ArtifactRecipeField,
    ArtifactConfigField,
    ArtifactOverridesField,
    ArtifactInputsField,
    ArtifactOutputField,
    ArtifactTypeField,
    ArtifactNameField,
    ArtifactOnFailureField,
    ArtifactExternalInputsField,
    ArtifactKeyIgnoresField,
    ArtifactContentField,
    ArtifactForeachField,
    OutputPathField,
)


class ArtifactVariant(Target):
    alias = "artifact_variant"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        *ARTIFACT_FIELDS,
        ArtifactDependenciesField,
        ArtifactVariantField,
    )
    help = help_text(
        """
        One artifact of a sweep; generated by an `artifact` with a `sweep`, never written by hand.

            artifact(name="sft", recipe=":sft-recipe", sweep={"train.lr": ["1e-4", "3e-4"]})

        generates `:sft#lr-1e-4` and `:sft#lr-3e-4`, as if somebody had written

            artifact_variant(
                recipe=":sft-recipe",
                artifact_name="sft/lr-1e-4",
                overrides=["train.lr=1e-4"],
                variant={"train.lr": "1e-4"},
            )
        """
    )


class Artifact(TargetGenerator):
    """An artifact, or with `sweep` the generator of several.

    A `TargetGenerator` that generates nothing stands for itself wherever Pants resolves targets, so
    one name does for both.
    """

    alias = "artifact"
    generated_target_cls = ArtifactVariant
    core_fields = (
        *COMMON_TARGET_FIELDS,
        *ARTIFACT_FIELDS,
        ArtifactDependenciesField,
        ArtifactSweepField,
    )
    copied_fields = (*COMMON_TARGET_FIELDS, *ARTIFACT_FIELDS)
    moved_fields = ()
    help = help_text(
        """
        Data, a model, a report: what a recipe makes, as a cached build output.

            artifact(
                name="pretrain-model",
                recipe=":pretrain",
                config="tiny",
                overrides=["train.steps=50"],
            )

            pants plan src/recipes/nano3::
            pants materialize src/recipes/nano3:pretrain-model
            pants package src/recipes/nano3:pretrain-model

        The first says which artifacts are stale, why, and what they cost. The second brings one up
        to date: it runs what is stale among all it is made from, and nothing else. The third writes
        its manifest and metadata to `dist/`, so that a test can read them; it never trains.

        What it is made from stands in the config: `run: {data: nano3-pretrain-data:latest}` makes
        it depend on the artifact target of that name. It is stale when that has changed, when the
        recipe's code, the requirements it can import, its interpreter or image have, or a value of
        the config. A comment, a file that it does not import, a config that it does not use, who
        runs it and where: none of these makes it stale.

        Several values of a config key make several artifacts:

            artifact(name="sft", recipe=":sft-recipe", sweep={"train.lr": ["1e-4", "3e-4"]})

        Retries, time limits and the like belong to the profile, in `env.toml`.
        """
    )


# What a target's name may have and an artifact's may not.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class ArtifactFieldSet(PackageFieldSet):
    """What the rules read of an `artifact` target, or of one that a sweep generated."""

    required_fields = (ArtifactRecipeField,)

    recipe: ArtifactRecipeField
    config: ArtifactConfigField
    overrides: ArtifactOverridesField
    inputs: ArtifactInputsField
    output: ArtifactOutputField
    type: ArtifactTypeField
    artifact_name: ArtifactNameField
    on_failure: ArtifactOnFailureField
    external_inputs: ArtifactExternalInputsField
    key_ignores: ArtifactKeyIgnoresField
    content: ArtifactContentField
    foreach: ArtifactForeachField
    sweep: ArtifactSweepField
    output_path: OutputPathField

    @property
    def is_generator(self) -> bool:
        """Whether it stands for the artifacts of its sweep."""
        return bool(self.sweep.value)

    @property
    def name(self) -> str:
        """The artifact's name in the store."""
        return self.artifact_name.value or default_artifact_name(self.address)


def default_artifact_name(address: Address) -> str:
    """Return the name of an artifact whose target gives none: its folder's and the target's."""
    folder = os.path.basename(address.spec_path)
    name = address.target_name
    whole = name if not folder or f"{name}-".startswith(f"{folder}-") else f"{folder}-{name}"
    return _NOT_IN_NAMES.sub("-", whole).lstrip("._-") or "artifact"
