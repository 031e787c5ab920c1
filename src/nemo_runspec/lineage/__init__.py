"""Where a version came from, and what came from it."""
