"""A step that writes what it was given, and where it runs."""

import json
import os
import sys

if __name__ == "__main__":
    print(json.dumps({"args": sys.argv[1:], "word": os.environ.get("WORD")}))
