"""Lets the tests of this folder import what they share, whatever pytest's import mode; without torch there are none."""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]
