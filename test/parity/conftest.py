"""The running graph of `test/ros`, here to be recorded and replayed."""

import importlib.util
import sys
from pathlib import Path

_ROS_CONFTEST = Path(__file__).parents[1] / "ros" / "conftest.py"
_spec = importlib.util.spec_from_file_location("running_graph_fixtures", _ROS_CONFTEST)
_fixtures = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _fixtures
_spec.loader.exec_module(_fixtures)

graph = _fixtures.graph
