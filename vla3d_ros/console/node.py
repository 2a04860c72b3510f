"""`console`: hears the graph, serves the operator's page, and hands on what is pressed. Control never waits for it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import String

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.camera.robot_shape import load_shapes
from vla3d_ros.console.board import page_state
from vla3d_ros.console.facts import Answer, ArmFacts, Facts
from vla3d_ros.console.page_messages import REQUESTS, PageMessage, read_page_message
from vla3d_ros.console.scene import Place, SceneView
from vla3d_ros.console.server import ConsoleServer
from vla3d_ros.console.show import Show
from vla3d_ros.errors import ShapeError
from vla3d_ros.page_access import CONSOLE_TOKEN
from vla3d_ros.ros import qos
from vla3d_ros.ros.console_topics import ConsoleTopics
from vla3d_ros.ros.desk_link import DeskClient
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.operator_requests import OperatorRequests
from vla3d_ros.ros.parameters import declare, parameter
from vla3d_ros.ros.scene_requests import SceneRequests

_TELL_S, _SHOW_S = 0.1, 0.12
_REPEAT_S, _REPEATS = 0.1, 10
_ANSWERS_KEPT = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleNodeParameters:
    """Parameters of `console`."""

    robot_file: str = parameter("Robot file: joints, frames, limits")
    rig_file: str = parameter("Camera rig file")
    deployment: str = parameter("Name of the deployment, for the page's title", default="")
    page_host: str = parameter("Address of the page; other than loopback needs a token", default="127.0.0.1")
    page_port: int = parameter("Port of the page; 0: a free one", default=8080)
    has_view: bool = parameter("Serve the 3D view", default=True)
    has_twin: bool = parameter("Offer scenes of the twin", default=False)
    workspace_lower_m: tuple[float, ...] = parameter("The gate's workspace: lowest x, y, z", unit="m")
    workspace_upper_m: tuple[float, ...] = parameter("The gate's workspace: highest x, y, z", unit="m")
    keep_out_m: tuple[float, ...] = parameter("The gate's keep-out boxes, six numbers each", unit="m", default=())
    table_z_m: float = parameter("Height of the table's top", unit="m", default=0.0)
    autostart: bool = parameter("Activate without being asked: nobody has to bring a console up again", default=False)


class ConsoleNode(ManagedNode):
    """Wires topics to the page and buttons to services. STOP is sent in the thread of the tab that says it."""

    def __init__(self) -> None:
        super().__init__("console")
        self._settings = declare(self, ConsoleNodeParameters)
        self._topics: ConsoleTopics | None = None
        self._server: ConsoleServer | None = None
        self._scene: SceneView | None = None
        self._is_closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._answers: deque[Answer] = deque(maxlen=_ANSWERS_KEPT)
        self._stop_s: float | None = None
        self._stops_left = 0
        self._requests = OperatorRequests(self, self._on_answer)
        self._scenes = SceneRequests(self, self._on_answer)
        self._desk = DeskClient(self, time.monotonic)
        self._instruction_publisher = self.create_publisher(String, "instruction", qos.LATCHED)
        self._note_publisher = self.create_publisher(String, "recorder/note", qos.EVENT)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._repeat_timer = self.create_timer(_REPEAT_S, self._repeat_stop, clock=steady)
        self._start_timer = self.create_timer(_REPEAT_S, self._start_oneself, clock=steady)

    def _start_oneself(self) -> None:
        self._start_timer.cancel()
        if self._settings.autostart and self.trigger_configure() is TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def configure(self) -> None:
        """Read robot and rig, and listen."""
        settings = self._settings
        self._embodiment = load_embodiment(Path(settings.robot_file))
        self._rig = load_rig(Path(settings.rig_file))
        self._topics = ConsoleTopics(self, self._embodiment, self._rig, time.monotonic)
        if settings.has_view:
            place = Place(
                workspace_lower_m=np.array(settings.workspace_lower_m),
                workspace_upper_m=np.array(settings.workspace_upper_m),
                keep_out_m=np.array(settings.keep_out_m).reshape(-1, 2, 3),
                table_z_m=settings.table_z_m,
            )
            self._scene = SceneView(self._embodiment.base_frame, load_shapes(self._embodiment.urdf_path), place)
        port = self._scene.port if self._scene else None
        token = os.environ.get(CONSOLE_TOKEN, "")
        self._server = ConsoleServer(settings.page_host, settings.page_port, token, port)
        self._server.on_stop = self._stop_now
        self._server.on_message = self._on_message

    def activate(self) -> None:
        """Serve the page."""
        assert self._server is not None
        assert self._topics is not None
        self._is_closing.clear()
        self._server.start()
        show = Show(
            self._embodiment, self._rig, self._topics, self._scene, self._server.show, lambda: self._desk.overlay
        )
        for name, action, period_s in (
            ("console_tell", self._tell, _TELL_S),
            ("console_pictures", lambda: show.draw_tiles(self.now_ns), _SHOW_S),
            ("console_scene", lambda: show.draw_scene(time.monotonic()), _SHOW_S),
        ):
            thread = threading.Thread(target=self._keep, args=(action, period_s), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self.get_logger().info(f"page on {self._server.url}")

    def deactivate(self) -> None:
        """Turn all tabs away."""
        self._is_closing.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self._threads = []
        if self._server is not None:
            self._server.stop()

    def clean_up(self) -> None:
        """Stop listening."""
        if self._topics is not None:
            self._topics.close()
        if self._scene is not None:
            self._scene.close()
        self._topics = self._scene = self._server = None

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report where the page is and how many connections it has."""
        if self._server is None:
            return True, "not configured", {}
        return True, f"page on {self._server.url}", {"page": self._server.url, "connections": str(self._server.tabs)}

    def _keep(self, action: object, period_s: float) -> None:
        """Do something again and again; what goes wrong once is logged and tried again."""
        assert callable(action)
        while not self._is_closing.wait(period_s):
            try:
                action()
            except Exception as error:  # a page that shows less is better than none
                self.get_logger().error(f"drawing the page: {error!r}", throttle_duration_sec=5.0)

    # ------------------------------------------------------------------------------------------- buttons

    def _stop_now(self) -> None:
        """Stop, in the caller's thread, and go on until the adapter says that it has."""
        self._stop_s, self._stops_left = time.monotonic(), _REPEATS
        self._requests.send("stop")

    def _repeat_stop(self) -> None:
        if self._stops_left <= 0:
            return
        self._stops_left -= 1
        if self._topics is not None and self._topics.said("state").values.get("stopped"):
            self._stops_left = 0
        elif self._stop_s is not None and time.monotonic() - self._stop_s > _REPEAT_S:
            self._requests.send("stop")

    def _on_message(self, raw: str | bytes) -> None:
        try:
            message = read_page_message(raw)
        except ShapeError as error:
            self._on_answer("page", False, str(error))
            return
        if message.action == "stop":
            self._stop_now()
        elif message.action in REQUESTS:
            self._requests.send(message.action)
        else:
            self._do(message)

    def _do(self, message: PageMessage) -> None:
        match message.action:
            case "instruct":
                self._instruction_publisher.publish(String(data=message.text.strip()))
                said = f"told: {message.text.strip()}" if message.text.strip() else "told to idle"
                self._on_answer("instruction", True, said)
            case "note":
                self._note_publisher.publish(String(data=message.text.strip()))
                self._on_answer("note", True, message.text.strip())
            case "place":
                self._scenes.place(message.seed)
            case "desk":
                self._desk.answer(message.answer)

    def _on_answer(self, request: str, is_granted: bool, text: str) -> None:
        at = datetime.now().astimezone().strftime("%H:%M:%S")
        answer = Answer(at=at, request=request, is_granted=is_granted, text=text)
        if not self._answers or (self._answers[-1].request, self._answers[-1].text) != (request, text):
            self._answers.append(answer)
        else:
            self._answers[-1] = answer

    # --------------------------------------------------------------------------------------------- page

    def _tell(self) -> None:
        assert self._server is not None
        self._server.tell(json.dumps(page_state(self._facts())))

    def _facts(self) -> Facts:
        assert self._topics is not None
        assert self._server is not None
        topics, now_ns = self._topics, self.now_ns
        is_simulated = bool(self.get_parameter("use_sim_time").value)
        arms: tuple[ArmFacts, ...] = ()
        with contextlib.suppress(ShapeError):
            arms = topics.arms()
        return Facts(
            deployment=self._settings.deployment,
            has_twin=self._settings.has_twin,
            is_simulated=is_simulated,
            ros_s=now_ns / 1e9,
            clock_silent_s=topics.silent_s("clock") if is_simulated else 0.0,
            joints_silent_s=topics.silent_s("joints"),
            ee_silent_s=topics.silent_s("ee"),
            adapter=topics.said("state"),
            policy=topics.said("report"),
            verdict=topics.verdict,
            verdicts=topics.verdicts,
            recorder=topics.said("recorder"),
            cameras=topics.cameras(now_ns),
            arms=arms,
            nodes=topics.nodes(),
            answers=tuple(self._answers),
            instruction=topics.instruction,
            scene=self._scenes.scene,
            stop_pressed_s=None if self._stop_s is None else time.monotonic() - self._stop_s,
            desk=self._desk.look(),
            tabs=self._server.tabs,
        )
