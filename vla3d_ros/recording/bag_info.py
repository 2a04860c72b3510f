"""What `ros2 bag info` says of a bag, in its words."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import yaml

from vla3d_ros.recording.bag_reader import BagReader

_SERVICE_EVENT = "/_service_event"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_PAGE = 1024.0
_STORAGE_IDS = {".mcap": "mcap", ".db3": "sqlite3"}


def bag_info(path: Path) -> str:
    """Describe a bag.

    Args:
        path: Bag folder or storage file.

    Raises:
        RecordingError: If it can not be read.
    """
    with BagReader(path) as bag:
        files = _storage_files(path)
        counts = bag.counts
        lines = [
            ("Files", "\n                   ".join(file.name for file in files)),
            ("Bag size", _size(sum(file.stat().st_size for file in files))),
            ("Storage id", _STORAGE_IDS.get(files[0].suffix, "unknown") if files else "unknown"),
            ("ROS Distro", _distro(path)),
            ("Duration", f"{bag.duration_ns * 1e-9:.9f}s"),
            ("Start", _moment(bag.start_ns)),
            ("End", _moment(bag.start_ns + bag.duration_ns)),
            ("Messages", str(sum(counts.values()))),
            ("Topic information", ""),
        ]
        text = "\n".join(f"{name + ':':<19}{value}".rstrip() for name, value in lines)
        formats = {c.topic: getattr(c.ext, "serialization_format", "cdr") for c in bag.connections}
        rows = [
            f"Topic: {topic} | Type: {kind} | Count: {counts[topic]} | Serialization Format: {formats[topic]}"
            for topic, kind in sorted(bag.topics.items())
            if not topic.endswith(_SERVICE_EVENT)
        ]
        services = [(t, k) for t, k in sorted(bag.topics.items()) if t.endswith(_SERVICE_EVENT)]
    indented = ("\n" + " " * 19).join(rows)
    named = "".join(
        f"Service: {topic.removesuffix(_SERVICE_EVENT)} | Type: {kind.removesuffix('_Event')} | "
        f"Event Count: {counts[topic]} | Serialization Format: {formats[topic]}\n"
        for topic, kind in services
    ).replace("\n", "\n" + " " * 19)
    return f"{text} {indented}\nServices:          {len(services)}\nService information: {named.strip()}".rstrip()


def _storage_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    content = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
    names = content["rosbag2_bagfile_information"]["relative_file_paths"]
    return [path / Path(name).name for name in names]


def _distro(path: Path) -> str:
    if path.is_file():
        return "unknown"
    content = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
    return str(content["rosbag2_bagfile_information"].get("ros_distro") or "unknown")


def _size(size_bytes: float) -> str:
    unit = 0
    while size_bytes >= _PAGE and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / _PAGE, unit + 1
    return f"{size_bytes:.1f} {_UNITS[unit]}"


def _moment(stamp_ns: int) -> str:
    seconds, rest_ns = divmod(stamp_ns, 10**9)
    local = datetime.fromtimestamp(seconds).astimezone()
    return f"{local.strftime('%b %d %Y %H:%M:%S')}.{rest_ns:09d} ({seconds}.{rest_ns:09d})"
