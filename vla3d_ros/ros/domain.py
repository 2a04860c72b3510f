"""Keep graphs apart: which ROS domain is valid, which is free, and who is already in it."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from vla3d_ros.errors import TransportError, join_problems

HIGHEST_DOMAIN_ID = 101
"""Above it, Linux may hand the domain's ports to any outgoing connection."""

_FIRST_PORT, _PORTS_PER_DOMAIN = 7400, 250
_UDP_SOCKETS = Path("/proc/net/udp")


def domain_problem(environ: Mapping[str, str]) -> str | None:
    """Say what is wrong with ROS_DOMAIN_ID, or None."""
    value = environ.get("ROS_DOMAIN_ID") or "0"
    if value.isdecimal() and int(value) <= HIGHEST_DOMAIN_ID:
        return None
    return (
        f"ROS_DOMAIN_ID={value!r} is not usable: expected an integer from 0 to {HIGHEST_DOMAIN_ID}; "
        "unset it or choose one of those"
    )


@contextlib.contextmanager
def claimed_domain(candidates: Collection[int]) -> Iterator[int]:
    """Hold a domain that no other process uses, for tests and demos that must not meet a robot.

    Args:
        candidates: Domain ids to try, in order.

    Yields:
        The domain id. Set ROS_DOMAIN_ID to it before the first node starts.

    Raises:
        TransportError: If every candidate is in use.
    """
    for domain_id in candidates:
        lock_path = Path(tempfile.gettempdir()) / f"vla3d_ros_domain_{domain_id}.lock"
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(lock_path.open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if _has_participants(domain_id):
                continue
            yield domain_id
            return
    raise TransportError(
        f"no free ROS domain: {sorted(candidates)} are all in use on this machine; stop what runs there ('ros2 node "
        "list' shows it), or free their UDP ports"
    )


@contextlib.contextmanager
def claimed_namespace(domain_id: int, namespace: str) -> Iterator[None]:
    """Hold a robot's namespace in a domain, so that this machine never runs the same graph twice.

    Args:
        domain_id: The ROS domain.
        namespace: The robot's namespace, without slashes.

    Raises:
        TransportError: If another process of this machine holds it.
    """
    lock_path = Path(tempfile.gettempdir()) / f"vla3d_ros_graph_{domain_id}_{namespace.replace('/', '_')}.lock"
    with lock_path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TransportError(
                f"ROS domain {domain_id} is in use: namespace '/{namespace}' is already running on this machine; "
                "stop the other bring-up, or choose another domain with ROS_DOMAIN_ID=<n>"
            ) from error
        yield


def check_nodes_absent(running: Collection[str], planned: Collection[str], domain_id: int) -> None:
    """Refuse to start a graph beside a copy of itself.

    Args:
        running: Fully qualified names of the nodes that are in the domain now.
        planned: Fully qualified names of the nodes about to start.
        domain_id: The ROS domain.

    Raises:
        TransportError: If a planned name is taken; names every such node.
    """
    taken = sorted(set(running) & set(planned))
    if taken:
        remedy = "stop the other bring-up, or choose another domain with ROS_DOMAIN_ID=<n>"
        problems = [f"node {name!r} is already running; {remedy}" for name in taken]
        raise TransportError(join_problems(f"ROS domain {domain_id} is in use", problems))


def _has_participants(domain_id: int) -> bool:
    """Report whether a process on this machine listens on one of the domain's ports."""
    first_port = _FIRST_PORT + _PORTS_PER_DOMAIN * domain_id
    ports = range(first_port, first_port + _PORTS_PER_DOMAIN)
    sockets = _UDP_SOCKETS.read_text().splitlines()[1:]
    return any(int(line.split()[1].rpartition(":")[2], base=16) in ports for line in sockets)
