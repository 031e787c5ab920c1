"""Adds the packages of a node's Ray after a job's own, wherever those come from.

A copy of this file, named `sitecustomize.py`, lies in a folder of the job's PYTHONPATH: whatever
Python the job has then imports the cluster's `ray`, and of everything else the version that it was
locked with. Standard library only, any Python from 3.8 on.
"""

import os
import sys

for _folder in os.environ.get("RUNSPEC_RAY_PACKAGES", "").split(os.pathsep):
    if _folder and _folder not in sys.path:
        sys.path.append(_folder)
