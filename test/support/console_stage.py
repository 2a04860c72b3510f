"""A console without a graph: the real page, server, tiles, 3D view and trial desk, and a robot that is made up."""

import json
import threading
import time
from dataclasses import replace

import numpy as np

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.camera.robot_shape import load_shapes
from vla3d_ros.console.board import page_state
from vla3d_ros.console.desk_words import desk_to_json, give_answer
from vla3d_ros.console.facts import ArmFacts, CameraFacts, Facts, NodeWord, Said
from vla3d_ros.console.page_messages import PageMessage, read_page_message
from vla3d_ros.console.scene import Place, SceneView
from vla3d_ros.console.server import ConsoleServer
from vla3d_ros.console.show import Show
from vla3d_ros.datatypes import CameraImage
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import Vla3dError
from vla3d_ros.evaluation.desk import TrialDesk
from vla3d_ros.evaluation.operator import OperatorLeftError, SetUp, TrialView
from vla3d_ros.evaluation.placement import Placed, PlacementPicture
from vla3d_ros.evaluation.study import SubTask
from vla3d_ros.resources import config_dir

BEAT_S = 0.1
GREY = 200
KEEP_OUT_M = ((0.3, 0.2, 0.0), (0.5, 0.4, 0.25))


def trial_view(number=1, **changes) -> TrialView:
    """A trial in which two things are to be placed, two sub-tasks done, and two things checked before."""
    cup = Placed(name="cup", role="target", x_m=0.5, y_m=0.1, yaw_deg=30.0, size_m=(0.05, 0.05))
    plate = Placed(name="plate", role="item", x_m=0.45, y_m=-0.12, yaw_deg=0.0, size_m=(0.05, 0.05))
    view = TrialView(
        number=number, total=9, condition=1, attempt=1, policy="B", task="pour_water", setting="seen_table",
        object="cup", instruction="pour the water from the cup onto the plate", success="the cup is empty",
        timeout_s=40.0,
        sub_tasks=(SubTask(name="lift", text="the cup is lifted"), SubTask(name="pour", text="the water is poured")),
        checklist=("the cameras have not moved since the last check", "the cup is full"),
        environment={"tablecloth": "red"}, changes={"tablecloth": "red"},
        picture=PlacementPicture(
            title="pour", region_x_m=(0.35, 0.65), region_y_m=(-0.2, 0.2), placed=(cup, plate)
        ),
    )  # fmt: skip
    return replace(view, **changes)


class MadeUpRobot:
    """What would be heard of a graph: arms at their home, grey images, and whatever a test lets the policy believe."""

    def __init__(self, deployment) -> None:
        self.embodiment = deployment.embodiment
        self.rig = load_rig(deployment.rig_file)
        self.reach_m = 0.0
        self.moved: dict[str, float] = {}
        self.report = None
        self.plans: dict[str, np.ndarray] = {}
        self.images = 1

    def joints(self) -> dict[str, float]:
        known = {}
        for arm in self.embodiment.arms:
            known |= dict(zip(arm.joint_names, map(float, arm.q_home), strict=True))
            if arm.gripper is not None:
                known |= dict(zip(arm.gripper.joint_names, map(float, arm.gripper.position_open), strict=True))
        return known | self.moved

    def arms(self) -> tuple[ArmFacts, ...]:
        return tuple(
            ArmFacts(
                name=arm.name, joint_names=arm.joint_names, q=np.array(arm.q_home), q_lower=arm.limits.q_lower,
                q_upper=arm.limits.q_upper, p_base_ee=np.array([0.3 + self.reach_m, 0.2 * number, 0.4]), opening_m=0.04,
            )
            for number, arm in enumerate(self.embodiment.arms)
        )  # fmt: skip

    def plan(self, arm: str) -> np.ndarray:
        return self.plans.get(arm, np.zeros((0, 3)))

    def spatial(self):
        return self.report

    def images_seen(self, camera: str) -> int:
        return self.images

    def image(self, camera: str, now_ns: int):
        (spec,) = [spec for spec in self.rig.cameras if spec.name == camera]
        rgb = np.full((spec.model.height_px, spec.model.width_px, 3), GREY, np.uint8)
        return self.images, CameraImage(camera=camera, rgb=rgb, stamp_ns=1, receive_ns=1)


class Stage:
    """Serves the page of a made-up robot until it is closed; `facts` may be changed at any time."""

    def __init__(self, name: str = "fr3_tabletop_twin", *, has_view: bool = False, port: int = 0) -> None:
        deployment = load_deployment(name, config_dir())
        self.robot = MadeUpRobot(deployment)
        self.pressed: list[PageMessage] = []
        self.stops: list[float] = []
        self.refusal = ""
        self.score: float | None = None
        self.overlay: bytes | None = None
        self.desk = TrialDesk()
        self.has_desk = False
        self.answers: list = []
        self.facts = self._facts(name)
        scene = self._scene(deployment) if has_view else None
        self.scene = scene
        self.server = ConsoleServer("127.0.0.1", port, "", scene.port if scene else None)
        self.server.on_stop = lambda: self.stops.append(time.monotonic())
        self.server.on_message = self._hear
        self.server.start()
        self.show = Show(
            self.robot.embodiment, self.robot.rig, self.robot, scene, self.server.show, lambda: self.overlay
        )
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.desk.leave()
        self._is_closing.set()
        self._thread.join()
        self.server.stop()
        if self.scene is not None:
            self.scene.close()

    def change(self, **changes) -> None:
        """Let the console hear something else."""
        self.facts = replace(self.facts, **changes)

    def adapter(self, armed="armed", stopped="", dry_run="false") -> None:
        said = Said(values={"armed": armed, "stopped": stopped, "dry_run": dry_run}, message=armed, silent_s=1.0)
        self.change(adapter=said)

    def begin(self, action, *arguments) -> threading.Thread:
        """Let trials wait at the desk: what they are told ends up in `answers`."""

        def run() -> None:
            try:
                self.answers.append(action(*arguments))
            except OperatorLeftError as error:
                self.answers.append(error)

        self.has_desk = True
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _hear(self, raw) -> None:
        message = read_page_message(raw)
        self.pressed.append(message)
        if message.action == "desk":
            try:
                give_answer(self.desk, message.answer, lambda target: SetUp(target=target))
                self.refusal = ""
            except (ValueError, Vla3dError) as error:
                self.refusal = str(error)

    def _beat(self) -> None:
        while not self._is_closing.wait(BEAT_S):
            desk = None
            if self.has_desk:
                desk = {**desk_to_json(self.desk.look(), self.score, self.refusal), "silent_s": 0.1}
            self.server.tell(json.dumps(page_state(replace(self.facts, desk=desk, arms=self.robot.arms()))))
            self.show.draw_tiles(1)
            self.show.draw_scene(time.monotonic())

    def _facts(self, name: str) -> Facts:
        cameras = tuple(
            CameraFacts(
                name=spec.name, silent_s=0.0, age_ms=31.2, skew_ms=1.2, rate_hz=30.0, expected_hz=30.0, max_skew_ms=8.0,
                size_px=(spec.model.width_px, spec.model.height_px),
            )
            for spec in self.robot.rig.cameras
        )  # fmt: skip
        words = Said(values={"armed": "disarmed", "stopped": "", "dry_run": "false"}, message="disarmed", silent_s=1.0)
        report = {"latency_ms": "22.4", "compute_ms": "5.91", "skew_ms": "0.0", "phase": "approach", "lost_sets": "0"}
        return Facts(
            deployment=name, has_twin=True, is_simulated=True, ros_s=12.3, clock_silent_s=0.0, joints_silent_s=0.0,
            ee_silent_s=0.0, adapter=words, policy=Said(values=report, message="ok", silent_s=0.1),
            recorder=Said(values={"free_mb": "61300"}, message="ready", silent_s=0.1),
            verdicts={"allow": 41, "clamp": 2},
            cameras=cameras, nodes=(NodeWord(name="/r/policy", level="ok", message="thinking", silent_s=0.2,
            values={"latency_ms": "22.4", "period_p99_ms": "34.0"}),),
        )  # fmt: skip

    @staticmethod
    def _scene(deployment) -> SceneView:
        gate = deployment.parameters["adapter"]["execution"]["gate"]
        place = Place(
            workspace_lower_m=np.array(gate["workspace_lower_m"]),
            workspace_upper_m=np.array(gate["workspace_upper_m"]),
            keep_out_m=np.array([KEEP_OUT_M]), table_z_m=gate.get("table_z_m", 0.0),
        )  # fmt: skip
        embodiment = deployment.embodiment
        return SceneView(embodiment.base_frame, load_shapes(embodiment.urdf_path), place)
