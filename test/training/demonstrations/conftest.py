"""Lets the tests of this folder import what other folders made up: a policy package, and a recorded run."""

import sys
from pathlib import Path

for folder in ("policy", "replay"):
    sys.path.insert(0, str(Path(__file__).parents[2] / folder))
