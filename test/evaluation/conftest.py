"""The recording room's message builders, for bags made in these tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[1] / "recording" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("recorded_messages", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

ros = _MODULE.ros
