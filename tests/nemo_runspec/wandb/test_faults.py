"""What a run loses to a server that fails: a warning, and not its exit code or its manifests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from nemo_runspec.store import open_store
from tests.nemo_runspec.wandb.clients import Ran, run_script
from tests.nemo_runspec.wandb.wandb_server import Fault, WandbServer, client_environment

# Started by the script or by a framework; ended by either, or by Python as it ends.
SCRIPT = """
    import json, sys, time
    from pathlib import Path

    import wandb
    from nemo_runspec import wandb_kit
    from nemo_runspec.artifacts import Artifact, log_artifact, setup_artifact_tracking
    from nemo_runspec.wandb_tracking.own_session import session

    tracking = setup_artifact_tracking({"artifacts": {"wandb": True}})
    began = time.monotonic()
    if FRAMEWORK:
        wandb_kit.patch_wandb_init_for_lineage(
            artifact_qualified_names=["ent/proj/data:v0"], tags=["pretrain"]
        )
        run = wandb.init(project="proj")
        run.log({"loss": 1.0})
    else:
        wandb_kit.init_wandb_from_env()
    Path("data").mkdir()
    for n in range(3):
        Path("data/x").write_text(str(n))
        log_artifact(Artifact(path="data"), tracking, name=f"out{n}")
    if END == "script":
        wandb_kit.finish_run(0)
    elif END == "framework":
        run.finish()
    print(json.dumps({"spent": session()._spent, "seconds": time.monotonic() - began}))
"""

# Who starts the run, and who ends it.
BY_SCRIPT, BY_FRAMEWORK, BY_PYTHON = ("script", "script"), ("framework",) * 2, ("framework", "")
CASES = {
    "nobody listens": (None, BY_SCRIPT),
    "a key that is refused": (Fault("refuse"), BY_SCRIPT),
    "no answer": (Fault("hang"), BY_PYTHON),
    "nothing but errors": (Fault("error"), BY_SCRIPT),
    "slow": (Fault("slow", seconds=1.5), BY_SCRIPT),
    "no run is made": (Fault("error", "UpsertBucket"), BY_FRAMEWORK),
    "dies after the run is made": (Fault("die", after=3), BY_SCRIPT),
    "dies after the run is made, a framework": (Fault("die", after=3), BY_PYTHON),
    "no artifact is made": (Fault("error", "CreateArtifact"), BY_SCRIPT),
    "hangs as files are sent": (Fault("hang", "PUT"), BY_FRAMEWORK),
    "hangs as the history is sent": (Fault("hang", "file_stream"), BY_SCRIPT),
    "refuses the history": (Fault("error", "file_stream"), BY_PYTHON),
}
# These have the seconds that a run has; the others show the same with fewer.
AS_ALWAYS = ("no answer", "dies after the run is made, a framework")


def run_case(folder: Path, name: str) -> Ran:
    fault, (starts, ends) = CASES[name]
    code = SCRIPT.replace("FRAMEWORK", str(starts == "framework")).replace("END", repr(ends))
    seconds = {} if name in AS_ALWAYS else {"RUNSPEC_WANDB_SECONDS": "5"}
    if fault is None:
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        return run_script(folder, code, client_environment(url, folder, **seconds))
    with WandbServer(fault) as server:
        return run_script(folder, code, server.environment(folder, **seconds))


@pytest.fixture(scope="module")
def cases(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[Path, Future[Ran]]]]:
    """All cases, many at a time: most of their time is waiting."""
    with ThreadPoolExecutor(8) as pool:
        folders = {name: tmp_path_factory.mktemp("case") for name in CASES}
        # Those that take longest come first.
        order = sorted(CASES, key=lambda name: name not in AS_ALWAYS)
        started = {name: pool.submit(run_case, folders[name], name) for name in order}
        yield {name: (folders[name], future) for name, future in started.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on(name: str, cases: dict[str, tuple[Path, Future[Ran]]]) -> None:
    folder, future = cases[name]
    ran = future.result()
    assert ran.code == 0, ran.errors
    assert len(ran.warnings) == 1, ran.errors
    # Nothing else is said: no traceback, none of the client's own lines.
    assert ran.errors.strip() == ran.warnings[0].strip()
    assert "local-" not in ran.errors  # the key
    store = open_store(str(folder / ".runspec" / "artifacts"))
    assert store.names() == ["out0", "out1", "out2"]
    assert all(store.versions(out) == [1] for out in store.names())
