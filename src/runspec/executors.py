"""The executors that come with the library, by their names in env.toml.

The build side chooses the launcher by them. Others may be installed, by entry point.
"""

from __future__ import annotations

# NeMo-Run makes their requests.
NEMO_RUN_EXECUTORS = frozenset(("dgxcloud", "docker", "lepton", "slurm"))
EXECUTORS = NEMO_RUN_EXECUTORS | {"local", "ray"}
