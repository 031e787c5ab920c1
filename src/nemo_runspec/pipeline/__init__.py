"""Artifacts as build outputs: what is stale, why, and running it in order."""
