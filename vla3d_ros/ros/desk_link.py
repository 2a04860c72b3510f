"""The operator's desk across processes: trials on one side, the console on the other, either of which may die.

`trials/desk` (std_msgs/String, latched, twice a second) says what is waited for; `trials/answer` says what was pressed,
for which trial and attempt, so that a press that comes late or twice changes nothing.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, Queue
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from vla3d_ros.console.desk_words import AnswerError, desk_to_json, give_answer
from vla3d_ros.errors import Vla3dError
from vla3d_ros.evaluation.desk import DeskPhase, TrialDesk
from vla3d_ros.evaluation.operator import SetUp, TargetBox
from vla3d_ros.evaluation.start_image import StartImages
from vla3d_ros.ros import qos

DESK_TOPIC, ANSWER_TOPIC, OVERLAY_TOPIC = "trials/desk", "trials/answer", "trials/overlay"
_LOGGER = logging.getLogger(__name__)
_BEAT_S, _LOOK_S, _COMPARE_S = 0.5, 0.05, 1.0


class DeskHost:
    """The trials' side: shows the desk on a topic and gives it what is pressed, in a thread of its own."""

    def __init__(self, node: Node, desk: TrialDesk, starts: StartImages | None) -> None:
        """Begin.

        Args:
            node: In the robot's namespace, spun by somebody else.
            desk: Where the trials wait.
            starts: Compares the scene with its reference image; None without a camera.
        """
        self._node, self._desk, self._starts = node, desk, starts
        self._publisher = node.create_publisher(String, DESK_TOPIC, qos.LATCHED)
        self._overlay = node.create_publisher(CompressedImage, OVERLAY_TOPIC, qos.LATCHED)
        self._answers: Queue[str] = Queue()
        self._subscription = node.create_subscription(
            String, ANSWER_TOPIC, lambda msg: self._answers.put(msg.data), qos.EVENT
        )
        self._score: float | None = None
        self._refusal = ""
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trial_desk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; the desk is shown as empty."""
        self._is_closing.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        shown, shown_s, compared_s = "", 0.0, 0.0
        while not self._is_closing.is_set():
            self._take_answer()
            state, now_s = self._desk.look(), time.monotonic()
            if state.phase is not DeskPhase.SET_UP:
                self._score = None
            elif now_s - compared_s > _COMPARE_S:
                compared_s = now_s
                self._compare(state.view.condition if state.view else 0)
            text = json.dumps(desk_to_json(state, self._score, self._refusal))
            if text != shown or now_s - shown_s > _BEAT_S:
                shown, shown_s = text, now_s
                self._publisher.publish(String(data=text))
        self._publisher.publish(String(data="{}"))

    def _take_answer(self) -> None:
        try:
            text = self._answers.get(timeout=_LOOK_S)
        except Empty:
            return
        try:
            give_answer(self._desk, json.loads(text), self._ready)
            self._refusal = ""
        except (ValueError, AnswerError) as error:
            self._refusal = str(error)
        except Vla3dError as error:
            self._refusal = str(error)
            _LOGGER.warning("an answer of the console changed nothing: %s", error)

    def _ready(self, target: TargetBox | None) -> SetUp:
        view = self._desk.look().view
        if self._starts is None or view is None:
            return SetUp(target=target)
        found = self._starts.compare(view.condition)
        image = self._starts.keep(view.condition, view.number, view.attempt)
        return SetUp(placement_score=found[0].score if found else None, start_image=image, target=target)

    def _compare(self, condition: int) -> None:
        """Lay the reference image over the live one, and say how alike they are."""
        if self._starts is None:
            return
        try:
            found = self._starts.compare(condition)
        except Vla3dError as error:
            self._refusal = str(error)
            return
        if found is not None:
            match, path = found
            self._score = match.score
            self._overlay.publish(CompressedImage(format="png", data=path.read_bytes()))


class DeskClient:
    """The console's side."""

    def __init__(self, node: Node, clock_s: Callable[[], float]) -> None:
        """Listen.

        Args:
            node: In the robot's namespace.
            clock_s: Steady time in seconds.
        """
        self._clock_s = clock_s
        self._state: Mapping[str, Any] = {}
        self._heard_s = 0.0
        self.overlay: bytes | None = None
        """The reference start image over the live one (PNG), None where there is none."""
        self._publisher = node.create_publisher(String, ANSWER_TOPIC, qos.EVENT)
        node.create_subscription(String, DESK_TOPIC, self._on_desk, qos.LATCHED)
        node.create_subscription(CompressedImage, OVERLAY_TOPIC, self._on_overlay, qos.LATCHED)

    def look(self) -> Mapping[str, Any] | None:
        """Return what the trials wait for; None if there are none."""
        if not self._state:
            return None
        return {**self._state, "silent_s": round(self._clock_s() - self._heard_s, 1)}

    def answer(self, answer: Mapping[str, Any]) -> None:
        """Hand on what was pressed."""
        self._publisher.publish(String(data=json.dumps(dict(answer))))

    def _on_desk(self, msg: String) -> None:
        self._state, self._heard_s = json.loads(msg.data), self._clock_s()
        if self._state.get("score") is None:
            self.overlay = None

    def _on_overlay(self, msg: CompressedImage) -> None:
        self.overlay = bytes(msg.data)
