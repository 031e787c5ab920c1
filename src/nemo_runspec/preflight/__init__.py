"""Trying a profile before the big job: `doctor`, and `--preflight` of recipes and pipelines."""
