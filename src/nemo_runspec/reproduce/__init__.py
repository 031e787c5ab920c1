"""Whether a version can be made again, and making it again."""
