"""A step of a pipeline: a module that runs as a script, alone or under torchrun."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from nemo_runspec.execution.command import torchrun_options

__all__ = ["Step"]

_RENDEZVOUS_PORT = 29500  # PyTorch's own default


@dataclass
class Step:
    """A Python module that runs as `python -m module`.

    Args:
        name: how the step is called in messages.
        module: the module, imported.
        torchrun: run it by `torch.distributed.run`, several processes a node.
    """

    name: str
    module: ModuleType
    torchrun: bool = False

    @property
    def module_name(self) -> str:
        """The module's full name."""
        return self.module.__name__

    @property
    def module_file(self) -> str | None:
        """The file that the module was read from."""
        return self.module.__file__

    def get_command(self, nproc_per_node: int = 8) -> list[str]:
        """The argv that runs the step on this machine, with the interpreter that runs us.

        Args:
            nproc_per_node: processes under torchrun; of no meaning to another step.
        """
        if not self.torchrun:
            return [sys.executable, "-m", self.module_name]
        options = torchrun_options(nproc_per_node)
        return [sys.executable, *options, "-m", self.module_name]

    def get_srun_command(
        self,
        nproc_per_node: int = 8,
        container_image: str | None = None,
        mounts: Sequence[str] | None = None,
        extra_args: Sequence[str] = (),
    ) -> str:
        """The shell line that runs the step inside of a Slurm allocation.

        A torchrun step is one task a node, each of which starts its processes; another step is
        one task in all.

        Args:
            nproc_per_node: processes a node under torchrun.
            container_image: the image to run in (pyxis); None runs on the node itself.
            mounts: `SOURCE:TARGET` of the container.
            extra_args: arguments of the module.
        """
        words = ["srun", "--kill-on-bad-exit=1"]
        if container_image:
            words.append(f"--container-image={container_image}")
            if mounts:
                words.append(f"--container-mounts={','.join(mounts)}")
        if not self.torchrun:
            words += ["--nodes=1", "--ntasks=1", "python3", "-m", self.module_name, *extra_args]
            return shlex.join(words)
        # The batch script knows the head; the rank is the node's own, so a shell there reads it.
        run = (
            f"exec python3 -m torch.distributed.run --nproc_per_node={nproc_per_node} "
            '--nnodes="$SLURM_JOB_NUM_NODES" --node_rank="$SLURM_NODEID" '
            f'--master_addr="$RUNSPEC_HEAD_ADDRESS" --master_port={_RENDEZVOUS_PORT} '
            + shlex.join(["-m", self.module_name, *extra_args])
        )
        return f"{shlex.join([*words, '--ntasks-per-node=1', 'bash', '-c'])} {shlex.quote(run)}"
