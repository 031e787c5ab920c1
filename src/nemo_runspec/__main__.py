"""`python -m nemo_runspec`."""

import sys

from nemo_runspec.cli import main

sys.exit(main())
