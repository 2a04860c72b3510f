"""Bring the ROS transport into a state that can carry camera images, and check that it is.

Fast DDS's default loses every image that is larger than its 512 KiB shared-memory segment, silently. The package
ships a profile (`config/fastdds.xml`), every entry point puts it in force, and `check_transport` says before start
what would be lost otherwise.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from vla3d_ros.errors import TransportError, join_problems
from vla3d_ros.ros.domain import domain_problem
from vla3d_ros.ros.shared_memory import remove_stale_segments

_log = logging.getLogger(__name__)

PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
LEGACY_PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
REQUIRED_SEGMENT_BYTES = 64 * 1024 * 1024
SHARED_MEMORY_DIR = Path("/dev/shm")

_FAST_DDS = "rmw_fastrtps_cpp"
_ADVICE = {
    "rmw_zenoh_cpp": (
        "Zenoh carries images over TCP without loss; start its router ('ros2 run rmw_zenoh_cpp rmw_zenohd') and set "
        "ZENOH_CONFIG_OVERRIDE='transport/shared_memory/enabled=true' to save the copies"
    ),
    "rmw_cyclonedds_cpp": (
        "Cyclone DDS needs large UDP buffers for images: 'sysctl -w net.core.rmem_max=2147483647', and in the file "
        'CYCLONEDDS_URI names: <Internal><SocketReceiveBufferSize min="10MB"/></Internal>'
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportReport:
    """What carries the messages.

    Attributes:
        rmw: Name of the middleware.
        profile: The Fast DDS profile in force; None for another middleware.
        segment_bytes: Size of each process's shared-memory segment; None for another middleware.
        advice: What the user of another middleware should configure; empty for Fast DDS.
    """

    rmw: str
    profile: Path | None
    segment_bytes: int | None
    advice: tuple[str, ...]


def transport_environment(config_dir: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that put the shipped profile in force; empty if the user chose a profile.

    Args:
        config_dir: Directory of the shipped `fastdds.xml`.
        environ: The environment to complete.
    """
    if environ.get(PROFILE_VARIABLE) or environ.get(LEGACY_PROFILE_VARIABLE):
        return {}
    return {PROFILE_VARIABLE: str(config_dir / "fastdds.xml")}


def check_transport(
    environ: Mapping[str, str], *, participants: int, shared_memory_dir: Path = SHARED_MEMORY_DIR
) -> TransportReport:
    """Check that images will arrive.

    Args:
        environ: The environment in which the nodes will run.
        participants: How many more processes with ROS nodes are about to start.
        shared_memory_dir: Where the system keeps shared memory.

    Returns:
        What is in force.

    Raises:
        TransportError: If the profile is missing, unreadable or too small, if shared memory has no room for the
            processes, or if ROS_DOMAIN_ID is unusable; all problems at once.
    """
    rmw = environ.get("RMW_IMPLEMENTATION") or _FAST_DDS
    problems = [problem for problem in [domain_problem(environ)] if problem]
    profile: Path | None = None
    segment_bytes: int | None = None
    advice: tuple[str, ...] = ()
    if rmw.startswith("rmw_fastrtps"):
        profile, segment_bytes, found = _inspect_profile(environ)
        problems += found or _room_problems(shared_memory_dir, participants, segment_bytes)
    else:
        advice = (_ADVICE.get(rmw, f"{rmw!r} is not known here: check that it carries 1 MB messages at 90 Hz"),)
    if problems:
        raise TransportError(join_problems("ROS transport", problems))
    return TransportReport(rmw=rmw, profile=profile, segment_bytes=segment_bytes, advice=advice)


def _inspect_profile(environ: Mapping[str, str]) -> tuple[Path | None, int, list[str]]:
    """Return the profile in force, its segment size in bytes, and what is wrong with it."""
    variable = PROFILE_VARIABLE if environ.get(PROFILE_VARIABLE) else LEGACY_PROFILE_VARIABLE
    value = environ.get(variable)
    if not value:
        remedy = "start through 'vla3d' or a launch file of this package, or set it to the shipped config/fastdds.xml"
        return None, 0, [f"{PROFILE_VARIABLE} is not set, so most camera images are lost; {remedy}"]
    path, remedy = Path(value), "unset it to use the shipped profile"
    try:
        segment_bytes = shared_memory_segment(ElementTree.parse(path).getroot())
    except OSError as error:
        return path, 0, [f"{variable}={value} cannot be read ({error.strerror}); {remedy}"]
    except ElementTree.ParseError as error:
        return path, 0, [f"{variable}={value} is not XML ({error}); {remedy}"]
    if segment_bytes >= REQUIRED_SEGMENT_BYTES:
        return path, segment_bytes, []
    got = f"gives the default participant a shared-memory segment of {segment_bytes} bytes"
    return path, segment_bytes, [f"{variable}={value} {got}, expected at least {REQUIRED_SEGMENT_BYTES}; {remedy}"]


def shared_memory_segment(root: ElementTree.Element) -> int:
    """Return the bytes of the default participant's shared-memory segment; 0 if the profile gives it none.

    Args:
        root: The parsed profile. Namespaces are ignored, as Fast DDS does.
    """
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    chosen = {
        (transport.text or "").strip()
        for participant in root.iter("participant")
        if participant.get("is_default_profile") == "true"
        for transport in participant.findall("rtps/userTransports/transport_id")
    }
    sizes = [
        int(descriptor.findtext("segment_size", "0"))
        for descriptor in root.iter("transport_descriptor")
        if descriptor.findtext("type", "").strip() == "SHM"
        and descriptor.findtext("transport_id", "").strip() in chosen
    ]
    return max(sizes, default=0)


def _room_problems(shared_memory_dir: Path, participants: int, segment_bytes: int) -> list[str]:
    """Say if shared memory cannot hold the segments of the processes about to start, after giving back dead ones."""
    needed_bytes = participants * segment_bytes
    try:
        free_bytes = shutil.disk_usage(shared_memory_dir).free
        if free_bytes < needed_bytes and (removed := remove_stale_segments(shared_memory_dir)):
            _log.info("gave back the shared memory of %d dead processes", removed)
            free_bytes = shutil.disk_usage(shared_memory_dir).free
    except OSError as error:
        return [f"shared memory at {shared_memory_dir} is not available ({error.strerror}); mount a tmpfs there"]
    if free_bytes >= needed_bytes:
        return []
    needed_mb, free_mb = (round(size / 2**20) for size in (needed_bytes, free_bytes))
    got = f"shared memory at {shared_memory_dir} has {free_mb} MiB free, {participants} processes need {needed_mb} MiB"
    remedy = f"start a container with '--shm-size={_shm_size_gb(needed_bytes)}g' (Docker's default is 64 MB)"
    return [f"{got}; {remedy}, or stop other ROS processes"]


def _shm_size_gb(needed_bytes: int) -> int:
    """Return a comfortable container setting: twice the need, in whole GiB."""
    return max(1, -(-2 * needed_bytes // 2**30))
