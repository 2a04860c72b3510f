"""Quality of service as a bag records it, spelled in the words ROS uses."""

from __future__ import annotations

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

_UNSPECIFIED = QosTime(0, 0)


def offered_qos(*, is_reliable: bool = True, is_latched: bool = False, depth: int = 10) -> Qos:
    """Describe what a publisher offers.

    Args:
        is_reliable: Reliable rather than best effort.
        is_latched: Transient local: late subscribers get the last messages.
        depth: Messages kept.

    Returns:
        A keep-last profile with unspecified deadline, lifespan and liveliness lease.
    """
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE if is_reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if is_latched else QosDurability.VOLATILE,
        deadline=_UNSPECIFIED,
        lifespan=_UNSPECIFIED,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_UNSPECIFIED,
        avoid_ros_namespace_conventions=False,
    )


def is_latched(qos: Qos) -> bool:
    """Whether late subscribers get the last messages."""
    return qos.durability is QosDurability.TRANSIENT_LOCAL
