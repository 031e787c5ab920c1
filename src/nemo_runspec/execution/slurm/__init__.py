"""Jobs on a Slurm cluster whose commands (`sbatch`, `squeue`, …) work on this machine.

`executor` is what the registry loads. `settings` reads a profile, `render` has NeMo-Run make the
header and the `srun` command of it, `batch_script` is what Slurm starts, `client` asks Slurm, and
`record` reads what the job itself says.
"""
