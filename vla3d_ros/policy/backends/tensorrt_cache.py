"""Built engines on disk: one folder for each package, GPU, TensorRT and precision, under the user's cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)
_KEY_FILE = "key.json"
_TIMINGS = "timings.bin"
# Rises when the rules of `tensorrt_precision` change: plans built by the old ones are not taken any more.
_RECIPE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """Everything that makes a plan another one.

    Attributes:
        package_sha256: Hash of the whole policy package, hex.
        gpu: Name of the GPU, or `none` for a build without one.
        compute_capability: e.g. `8.9`, or `none`.
        builder: Kind and version of TensorRT, e.g. `tensorrt 10.13.3.9`.
        precision: `fp32`, `fp16` or `bf16`.
        keep: Name patterns handed in that stay float32.
    """

    package_sha256: str
    gpu: str
    compute_capability: str
    builder: str
    precision: str
    keep: tuple[str, ...] = ()

    def mapping(self) -> dict[str, object]:
        """Return it as JSON says it."""
        return {**asdict(self), "keep": list(self.keep), "recipe": _RECIPE}

    @property
    def folder(self) -> str:
        """Name of its folder."""
        digest = hashlib.sha256(json.dumps(self.mapping(), sort_keys=True).encode()).hexdigest()
        return f"{self.package_sha256[:12]}-{self.precision}-{digest[:12]}"


class EngineCache:
    """Plans and timings by key. What does not match its key or its hash is not used, and that is said."""

    def __init__(self, root: Path) -> None:
        """Take the folder under which everything lies; it is made when something is stored."""
        self._root = root

    def folder(self, key: EngineKey) -> Path:
        """Return where the plans of a key are, or would be."""
        return self._root / key.folder

    def plans(self, key: EngineKey, names: tuple[str, ...]) -> dict[str, bytes] | None:
        """Return the plans of these graphs, or None if not all of them are there, whole."""
        folder = self.folder(key)
        if not (folder / _KEY_FILE).is_file():
            return None
        try:
            stored = json.loads((folder / _KEY_FILE).read_text(encoding="utf-8"))
            plans = {name: (folder / f"{name}.plan").read_bytes() for name in names}
            hashes = {name: hashlib.sha256(plan).hexdigest() for name, plan in plans.items()}
            is_whole = stored["key"] == key.mapping() and all(stored["sha256"][name] == hashes[name] for name in names)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("engine cache %s can not be read (%s): building anew", folder, error)
            return None
        if not is_whole:
            _LOG.warning("engine cache %s is not what its key.json says: building anew", folder)
            return None
        return plans

    def timings(self, key: EngineKey) -> bytes:
        """Return the timings of a former build on this GPU with this TensorRT, or nothing."""
        file = self._root / _timings_name(key)
        return file.read_bytes() if file.is_file() else b""

    def store(self, key: EngineKey, plans: Mapping[str, bytes], timings: bytes) -> Path:
        """Write plans, then the key that makes them valid; return the folder."""
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        for name, plan in plans.items():
            _replace(folder / f"{name}.plan", plan)
        hashes = {name: hashlib.sha256(plan).hexdigest() for name, plan in plans.items()}
        stored = json.dumps({"key": key.mapping(), "sha256": hashes}, indent=1)
        _replace(folder / _KEY_FILE, stored.encode())
        if timings:
            _replace(self._root / _timings_name(key), timings)
        return folder


def default_cache_root() -> Path:
    """Return the user's cache folder for engines: `$XDG_CACHE_HOME/vla3d_ros/engines`, by default in `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "vla3d_ros" / "engines"


def _timings_name(key: EngineKey) -> str:
    """Timings serve every package: they belong to a GPU and a builder."""
    digest = hashlib.sha256(f"{key.gpu}|{key.compute_capability}|{key.builder}".encode()).hexdigest()
    return f"{digest[:12]}-{_TIMINGS}"


def _replace(file: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or none."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=file.name, delete=False) as part:
        part.write(content)
    Path(part.name).replace(file)
