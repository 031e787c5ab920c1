"""Pipelines of `Step`s: modules run one after the other, here or on a cluster."""
