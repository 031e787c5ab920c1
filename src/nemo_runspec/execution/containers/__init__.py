"""Jobs in containers of docker, DGX Cloud and Lepton, by NeMo-Run's executors of those names.

All three run the same: a small script beside `job.sh` runs it, keeps what it writes, and says how
it ended in the job's own state file. The job's folder, its bundle and its output are mounted where
they are on this side, so nothing is copied and no secret leaves the file that is for it.
"""
