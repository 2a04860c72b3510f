"""Subscribes to every topic of a running graph, raw, with the QoS its publishers offer."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosbags.interfaces import Qos

from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.recording.qos import offered_qos
from vla3d_ros.recording.sequence_watch import SequenceWatch

_QUEUE_DEPTH = 200
_MOST_PER_TURN = 20  # then others have their turn, /clock among them


class GraphFollower:
    """Follows topics as they come and change. `refused` tells why a topic is not followed, by topic."""

    def __init__(
        self,
        node: Node,
        *,
        include: Sequence[str],
        exclude: Sequence[str],
        on_topic: Callable[[str, str, Qos, int], None],
        on_message: Callable[[str, str, bytes], None],
        on_missed: Callable[[str, int], None],
    ) -> None:
        """Choose the topics; nothing is subscribed before `discover`.

        Args:
            node: Whose subscriptions they are; its own topics are left out.
            include: Regular expressions on full names.
            exclude: The same, for what to leave out.
            on_topic: Called with name, type, offered QoS and number of publishers; may refuse by RecordingError.
            on_message: Called with name, type and serialized message.
            on_missed: Called with name and number of messages that were published and did not arrive.

        Raises:
            ConfigError: If an expression is none.
        """
        self._node, self._on_topic, self._on_message, self._on_missed = node, on_topic, on_message, on_missed
        self._include, self._exclude = _compiled("include", include), _compiled("exclude", exclude)
        self._followed: dict[str, tuple[QoSProfile, Subscription]] = {}
        self._sequences: dict[str, SequenceWatch] = {}
        self.refused: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._followed)

    def discover(self, ours: Sequence[str] = ()) -> None:
        """Subscribe to topics that appeared, and again where the offered QoS changed.

        Args:
            ours: Topics to leave out because this program writes them itself.
        """
        if not self._node.context.ok():
            return
        for topic, msgtypes in self._node.get_topic_names_and_types():
            if topic in self.refused or topic in ours or not self._is_wanted(topic):
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if publishers:
                self._follow(topic, msgtypes[0], [info.qos_profile for info in publishers])

    def close(self) -> None:
        """Give all subscriptions back."""
        for _, subscription in self._followed.values():
            self._node.destroy_subscription(subscription)
        self._followed.clear()

    def _is_wanted(self, topic: str) -> bool:
        if topic.startswith(f"{self._node.get_fully_qualified_name()}/"):
            return False
        is_included = any(pattern.fullmatch(topic) for pattern in self._include)
        return is_included and not any(pattern.fullmatch(topic) for pattern in self._exclude)

    def _follow(self, topic: str, msgtype: str, offered: Sequence[QoSProfile]) -> None:
        profile = _matching(offered)
        try:
            known = offered_qos(
                is_reliable=profile.reliability is ReliabilityPolicy.RELIABLE,
                is_latched=profile.durability is DurabilityPolicy.TRANSIENT_LOCAL,
                depth=max(1, *(each.depth for each in offered)),
            )
            self._on_topic(topic, msgtype, known, len(offered))
            if topic in self._followed:
                before, subscription = self._followed[topic]
                if before == profile:
                    return
                self._node.destroy_subscription(subscription)
                self._sequences.pop(topic, None)
            callback = partial(self._take, topic, msgtype)
            kind = _message_class(topic, msgtype)
            self._followed[topic] = profile, self._node.create_subscription(kind, topic, callback, profile, raw=True)
        except RecordingError as error:
            self.refused[topic] = str(error)
            self._node.get_logger().warning(f"not recorded: {error}")

    def _take(self, topic: str, msgtype: str, cdr: bytes, info: Mapping[str, Any]) -> None:
        """Hand on a message and all that wait behind it.

        rclpy takes one message of a topic per turn: behind many cameras, a fast topic would back up and overflow.
        """
        self._hand_on(topic, msgtype, cdr, info)
        for _ in range(_MOST_PER_TURN):
            followed = self._followed.get(topic)
            if followed is None:
                return
            handle = followed[1].handle
            with handle:
                taken = handle.take_message(followed[1].msg_type, True)
            if taken is None:
                return
            self._hand_on(topic, msgtype, *taken)

    def _hand_on(self, topic: str, msgtype: str, cdr: bytes, info: Mapping[str, Any]) -> None:
        if missed := self._sequences.setdefault(topic, SequenceWatch()).missed(info):
            self._on_missed(topic, missed)
        self._on_message(topic, msgtype, cdr)


def _compiled(name: str, expressions: Sequence[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(expression) for expression in expressions]
    except re.error as error:
        raise ConfigError(f"parameter '{name}' has {error.pattern!r}: not a regular expression: {error}") from error


def _matching(offered: Sequence[QoSProfile]) -> QoSProfile:
    """The strictest subscription that every publisher of a topic is compatible with."""
    is_reliable = all(each.reliability is ReliabilityPolicy.RELIABLE for each in offered)
    is_latched = all(each.durability is DurabilityPolicy.TRANSIENT_LOCAL for each in offered)
    return QoSProfile(
        depth=_QUEUE_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def _message_class(topic: str, msgtype: str) -> Any:
    package, kind, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError) as error:
        raise RecordingError(
            f"topic '{topic}': Python bindings of '{msgtype}' are missing; install and source package '{package}', "
            "or exclude the topic from recording"
        ) from error
