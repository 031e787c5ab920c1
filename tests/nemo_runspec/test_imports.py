"""Importing is cheap, and every name of the seeds is where they say."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from nemo_runspec.exceptions import (
    ArtifactNotFoundError,
    ArtifactVersionNotFoundError,
    ConfigNotFoundError,
    NemoRunspecError,
)

HEAVY = ("nemo_run", "omegaconf", "yaml", "pydantic", "rich", "typer", "click")


@pytest.mark.parametrize(
    ("modules", "allowed"),
    [
        ("nemo_runspec, nemo_runspec._models, nemo_runspec._parser", ()),
        ("nemo_runspec.config, nemo_runspec.env, nemo_runspec.display", ()),
        ("nemo_runspec.cli_context, nemo_runspec.recipe_config, nemo_runspec.utils", ()),
        ("nemo_runspec.store, nemo_runspec.store.lineage, nemo_runspec.store_admin", ()),
        ("nemo_runspec.step, nemo_runspec.pipeline, nemo_runspec.packaging", ()),
        ("nemo_runspec.squash, nemo_runspec.evaluator, nemo_runspec.run", ()),
        ("nemo_runspec.packaging.code_packager, nemo_runspec.pipeline.steps.run", ()),
        ("nemo_runspec.pipeline.steps.experiment", ("omegaconf", "yaml")),
        ("nemo_runspec.config.loader, nemo_runspec.config.resolvers", ("omegaconf", "yaml")),
    ],
)
def test_imports_bring_nothing_heavy(modules: str, allowed: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    )
    assert set(done.stdout.split()).intersection(HEAVY) - set(allowed) == set()


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("nemo_runspec", "parse Runspec RunspecRun RunspecConfig RunspecResources"),
        (
            "nemo_runspec.config",
            "parse_config find_config_file load_config apply_dotlist_overrides build_job_config "
            "extract_train_config generate_job_dir save_configs RecipeSettings "
            "load_pydantic_config parse_config_and_overrides ResolverMode register_resolvers "
            "register_resolvers_from_config register_auto_mount_resolver "
            "register_manifest_resolver clear_artifact_cache get_git_mounts clear_git_mounts "
            "load_omegaconf_yaml omegaconf_to_dataclass",
        ),
        ("nemo_runspec.config.loader", "parse_config build_job_config save_configs load_config"),
        ("nemo_runspec.config.resolvers", "register_resolvers_from_config ResolverMode"),
        (
            "nemo_runspec.artifacts",
            "setup_artifact_tracking log_artifact ArtifactTrackingResult Artifact "
            "PretrainBlendsArtifact PretrainDataArtifact DataBlendsArtifact SFTDataArtifact "
            "SplitJsonlDataArtifact ModelArtifact patch_checkpoint_logging_both "
            "patch_wandb_checkpoint_logging patch_manifest_checkpoint_logging "
            "patch_wandb_init_for_lineage merge_artifacts load_inputs save_value load_value",
        ),
        ("nemo_runspec.manifest_tracker", "ManifestTracker get_tracker set_tracker"),
        (
            "nemo_runspec.wandb_kit",
            "WandbConfig init_wandb_from_env init_wandb_if_configured finish_run add_run_tags "
            "log_wandb_config patch_wandb_http_handler_skip_digest_verification "
            "patch_wandb_local_file_handler_skip_digest_verification "
            "patch_wandb_runid_for_seeded_random patch_checkpoint_logging_both "
            "patch_manifest_checkpoint_logging patch_wandb_checkpoint_logging "
            "patch_nemo_rl_checkpoint_logging patch_nemo_rl_checkpoint_logging_both "
            "patch_manifest_nemo_rl_checkpoint_logging patch_wandb_init_for_lineage",
        ),
        (
            "nemo_runspec.artifact_registry",
            "ArtifactRegistry get_artifact_registry set_artifact_registry get_resolver_mode",
        ),
        ("nemo_runspec.filesystem", "ArtifactFileSystem"),
        ("nemo_runspec.env", "parse_env load_env_profile load_env_file find_env_file"),
        ("nemo_runspec.cli_context", "GlobalContext split_unknown_args"),
        ("nemo_runspec.recipe_config", "RecipeConfig parse_recipe_config"),
        ("nemo_runspec.display", "display_job_config display_job_submission"),
        (
            "nemo_runspec.execution",
            "create_executor create_slurm_executor get_executor_type build_env_vars execute_local "
            "get_startup_commands prepend_startup_to_cmd clone_git_repos_via_tunnel",
        ),
        ("nemo_runspec.step", "Step"),
        (
            "nemo_runspec.pipeline",
            "PipelineConfig Launcher run_pipeline run_local run_nemo_run run_sbatch "
            "generate_sbatch_script generate_pipeline_commands",
        ),
        (
            "nemo_runspec.packaging",
            "SelfContainedPackager CodePackager REMOTE_CONFIG REMOTE_SCRIPT",
        ),
        ("nemo_runspec.packaging.code_packager", "CodePackager"),
        (
            "nemo_runspec.packaging.self_contained_packager",
            "SelfContainedPackager inline_imports",
        ),
        (
            "nemo_runspec.squash",
            "ensure_squashed_image check_sqsh_exists get_squash_path container_to_sqsh_name "
            "normalize_container_source build_salloc_args resolve_build_partition "
            "resolve_build_time resolve_build_image resolve_build_cache_dir",
        ),
        (
            "nemo_runspec.run",
            "RunConfig patch_nemo_run_ray_template_for_cpu "
            "patch_nemo_run_rsync_accept_new_host_keys",
        ),
        (
            "nemo_runspec.evaluator",
            "parse_task_flags get_non_task_args needs_wandb ensure_wandb_host_env "
            "inject_wandb_env_mappings collect_evaluator_images maybe_auto_squash_evaluator "
            "save_eval_configs",
        ),
        ("nemo_runspec.exceptions", "ArtifactNotFoundError ArtifactVersionNotFoundError"),
        ("nemo_runspec.utils", "resolve_run_interpolations rewrite_paths_for_remote"),
    ],
)
def test_names_of_the_seeds(module: str, names: str) -> None:
    for name in names.split():
        assert getattr(importlib.import_module(module), name) is not None


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(ImportError, match="parse_confg"):
        from nemo_runspec.config import parse_confg  # noqa: F401


def test_errors_are_one_line() -> None:
    assert str(NemoRunspecError("a\n  b\n")) == "a b"
    missing = ConfigNotFoundError("no\nfile")
    assert str(missing) == "no file"
    assert isinstance(missing, (FileNotFoundError, ValueError, NemoRunspecError))
    assert ArtifactNotFoundError("a/b").name == "a/b"
    assert str(ArtifactVersionNotFoundError("a", 3)) == "artifact 'a' has no version 3"
