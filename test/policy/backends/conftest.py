"""Lets the tests of this folder import the servers, graphs and devices they are run against."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
