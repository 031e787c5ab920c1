"""A step that fails, by exit code or by signal."""

import os
import sys

if __name__ == "__main__":
    sys.stdin.read()
    how = os.environ["HOW"]
    if how.startswith("signal"):
        os.kill(os.getpid(), int(how.removeprefix("signal")))
    sys.exit(int(how))
