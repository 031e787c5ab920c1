"""A step that writes down what the one before it said, and hands it on."""

import os
import sys

if __name__ == "__main__":
    heard = sys.stdin.read()
    with open(os.environ["HEARD"], "a") as file:
        file.write(heard)
    sys.stdout.write(heard)
