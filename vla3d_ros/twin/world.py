"""The simulated world: physics, the robot's controllers, objects on the table. One thread may use it at a time."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment, GripperSpec
from vla3d_ros.adapter.interface_specs import Float64ArrayInterface
from vla3d_ros.adapter.interfaces.messages import ArrayMessage, GripperGoal, TrajectoryMessage, WireMessage
from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.errors import ConfigError, Vla3dError
from vla3d_ros.geometry import Transform
from vla3d_ros.twin.arm_driver import TrajectoryDriver
from vla3d_ros.twin.drivers import DriverSettings, create_driver
from vla3d_ros.twin.engine import import_mujoco
from vla3d_ros.twin.faults import TwinFaults
from vla3d_ros.twin.fingers import Fingers, dof_index, qpos_index
from vla3d_ros.twin.gripper_controller import GripperState
from vla3d_ros.twin.model import CUBE_PREFIX, PAD_PREFIX, build_model, parking_m
from vla3d_ros.twin.motion_log import MotionLog
from vla3d_ros.twin.placement import Placement, TrialScene, draw_trial
from vla3d_ros.twin.renderer import pack_render_state
from vla3d_ros.twin.scene import SceneConfig
from vla3d_ros.twin.surroundings import Surroundings
from vla3d_ros.twin.trajectory_command import TrajectoryCommand
from vla3d_ros.twin.trajectory_controller import TrajectoryController
from vla3d_ros.twin.truth import JointSample, ObjectTruth, Truth

Float = NDArray[np.float64]

START_NS = 1_000_000_000  # a ROS time of zero means "no time yet"
_NS = 1_000_000_000
_SERVO_RAD_S = 150.0  # bandwidth of the joint servo; critically damped: it rests 20 ms after its reference does
_PERIOD_TOLERANCE = 1e-9


class TwinWorld:
    """Robot, table and objects, advanced one control period at a time."""

    def __init__(
        self,
        embodiment: Embodiment,
        rig: CameraRig,
        scene: SceneConfig,
        *,
        physics_hz: float = 500.0,
        control_hz: float = 500.0,
        drivers: DriverSettings | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Build the world with the robot at its home configuration, grippers open, the table empty.

        Args:
            embodiment: The robot.
            rig: Cameras.
            scene: Table, cubes, pads.
            physics_hz: Physics steps per second, a whole multiple of `control_hz`.
            control_hz: Updates of the robot's controllers per second.
            drivers: Which versions of the vendors' drivers to imitate; None = the newest.
            surroundings: Clutter, plates and light around the task; None = nothing, in the usual light.

        Raises:
            ConfigError: If the rates do not fit each other, or robot, rig and scene do not fit.
            DependencyError: If MuJoCo is not installed.
        """
        self._mujoco = import_mujoco()
        self._substeps = _substeps(physics_hz, control_hz)
        self._period_ns = round(_NS / control_hz)
        self.embodiment, self.rig, self.scene = embodiment, rig, scene
        self.model = build_model(embodiment, rig, scene, physics_hz=physics_hz, surroundings=surroundings)
        self._data = self._mujoco.MjData(self.model)
        self.time_ns = START_NS
        self.trial: TrialScene | None = None
        self.drivers = {
            arm.name: create_driver(
                arm,
                embodiment.urdf_path,
                period_ns=self._period_ns,
                settings=drivers or DriverSettings(),
                grip=partial(self._grip_within_stroke, arm.name),
            )
            for arm in embodiment.arms
        }
        self.faults = TwinFaults()
        self.log: MotionLog | None = None
        self._index_model()
        self.reset_robot()

    @property
    def controllers(self) -> dict[str, TrajectoryController]:
        """The trajectory controllers of the arms that have one."""
        return {n: driver.controller for n, driver in self.drivers.items() if isinstance(driver, TrajectoryDriver)}

    @property
    def period_ns(self) -> int:
        """Control period."""
        return self._period_ns

    # ------------------------------------------------------------------------------------------------- time

    def step(self) -> None:
        """Advance one control period: sample the controllers, drive the joints, integrate.

        Raises:
            Vla3dError: If the physics has diverged.
        """
        data, model = self._data, self.model
        self._mujoco.mj_step1(model, data)
        self._acceleration[:] = 0.0
        for name, (q_index, v_index) in self._arms.items():
            q, dq = data.qpos[q_index], data.qvel[v_index]
            q_ref, dq_ref = self.drivers[name].update(self.time_ns, q, dq)
            self._acceleration[v_index] = _SERVO_RAD_S * (_SERVO_RAD_S * (q_ref - q) + 2.0 * (dq_ref - dq))
        self._mujoco.mj_mulM(model, data, self._torque, self._acceleration)
        v_index = self._driven
        torque = np.clip((self._torque + data.qfrc_bias)[v_index], -self._torque_limit, self._torque_limit)
        if not np.isfinite(torque).all():
            raise Vla3dError(
                f"the physics diverged at {self.time_ns} ns: torques {torque.tolist()}; use a higher physics_hz"
            )
        data.qfrc_applied[v_index] = torque
        for name, (_, v_arm) in self._arms.items():
            if not self.drivers[name].is_powered:
                data.qfrc_applied[v_arm] = 0.0
        for fingers in self._fingers.values():
            fingers.step(model, data, self._period_ns)
        self._mujoco.mj_step2(model, data)
        if self._substeps > 1:
            self._mujoco.mj_step(model, data, self._substeps - 1)
        self.time_ns += self._period_ns
        if self.log is not None:
            self.log.record(self.time_ns, data)

    def keep_log(self, seconds: float) -> None:
        """Record from now on how the arms move, the last so many seconds of it."""
        joints = [
            (name, int(q), int(v))
            for arm in self.embodiment.arms
            for name, q, v in zip(arm.joint_names, *self._arms[arm.name], strict=True)
        ]
        self.log = MotionLog(self.model, joints, capacity=max(1, round(seconds * _NS / self._period_ns)))

    # ------------------------------------------------------------------------- the interfaces of the real robot

    def joint_state(self) -> JointSample:
        """Return all joints as the robot's drivers name them."""
        data = self._data
        parts = []
        for arm in self.embodiment.arms:
            q_index, v_index = self._arms[arm.name]
            scale = self.drivers[arm.name].feedback_scale
            parts.append(np.stack([scale * data.qpos[q_index], data.qvel[v_index], data.qfrc_applied[v_index]]))
            if arm.name in self._fingers:
                parts.append(self._fingers[arm.name].joint_sample(data))
        q, dq, effort = np.concatenate(parts, axis=1)
        sample = JointSample(stamp_ns=self.time_ns, names=self._state_names, q=q, dq=dq, effort=effort)
        return self.faults.spoil(sample)

    def command_trajectory(self, trajectory: JointTrajectory) -> str | None:
        """Send a trajectory to its arm's controller.

        Returns:
            None if accepted, otherwise the controller's words.
        """
        return self.receive(trajectory.arm, TrajectoryMessage(topic="", trajectory=trajectory))

    def receive(self, arm: str, message: WireMessage) -> str | None:
        """Deliver a message to an arm's driver or to its gripper.

        Returns:
            What the driver writes to its log, None if nothing.
        """
        spec = self.embodiment.arm(arm)
        if self.faults.is_deaf:
            return None
        if isinstance(message, GripperGoal):
            self.command_gripper(arm, message.position, message.max_effort_n)
            return None
        if isinstance(message, ArrayMessage) and spec.gripper is not None and _is_for(message, spec.gripper):
            self.command_gripper(arm, message.values[0], spec.gripper.max_effort_n)
            return None
        return self.drivers[arm].receive(message, self.time_ns)

    def submit_trajectory(self, arm: str, command: TrajectoryCommand) -> str | None:
        """Send a trajectory message as it came over the wire; see `TrajectoryController.submit`."""
        name = self.embodiment.arm(arm).name
        if self.faults.is_deaf:
            return None
        if name not in self.controllers:
            raise ConfigError(f"arm '{name}' has no trajectory controller; arms with one: {list(self.controllers)}")
        return self.controllers[name].submit(command, self.time_ns)

    def command_gripper(self, arm: str, position: float, max_effort: float) -> None:
        """Send a GripperCommand goal; see `GripperController.submit`."""
        fingers = self._gripper(arm)
        if self.faults.refuses_gripper:
            position = float("inf")
        fingers.controller.submit(position, max_effort, fingers.gap_m(self._data))

    def gripper_state(self, arm: str) -> GripperState:
        """Return what the gripper's action would report."""
        fingers = self._gripper(arm)
        return fingers.controller.state(fingers.gap_m(self._data))

    def render_state(self) -> Float:
        """Copy what the cameras can see, for a `TwinRenderer` in any thread."""
        return pack_render_state(self._data)

    # ---------------------------------------------------------------------------------- what an experimenter does

    def reset_robot(self) -> None:
        """Put every arm at rest at its home configuration with an open gripper; controllers hold there."""
        data = self._data
        data.qvel[:] = 0.0
        data.qacc_warmstart[:] = 0.0
        for arm in self.embodiment.arms:
            data.qpos[self._arms[arm.name][0]] = arm.q_home
            self.drivers[arm.name].reset()
        for fingers in self._fingers.values():
            data.qpos[fingers.q_index] = fingers.spec.stroke_m * fingers.position_per_gap
            fingers.controller.reset()
        self._mujoco.mj_forward(self.model, data)

    def place(self, generator: np.random.Generator) -> TrialScene:
        """Draw a trial and put its objects on the table; all others are put away. The robot is left alone.

        Raises:
            ConfigError: If the objects do not fit into the region.
        """
        return self.place_trial(draw_trial(self.scene, generator))

    def place_trial(self, trial: TrialScene) -> TrialScene:
        """Put the objects of a known trial on the table; all others are put away."""
        for index, colour in enumerate(self.scene.cubes.colours):
            self._put_cube(colour, parking_m(self.scene, index), 0.0)
        for index, colour in enumerate(self.scene.pads.colours):
            self._put_pad(colour, parking_m(self.scene, index) - np.array([0.0, 0.0, 1.0]), 0.0)
        top_z_m = self.scene.table.top_z_m
        for colour, at in trial.cubes.items():
            self._put_cube(colour, np.array([at.x_m, at.y_m, top_z_m + self.scene.cubes.size_m / 2]), at.yaw_rad)
        for colour, at in trial.pads.items():
            self._put_pad(colour, np.array([at.x_m, at.y_m, top_z_m + self.scene.pads.size_m[2] / 2]), at.yaw_rad)
        self.trial = trial
        self._mujoco.mj_forward(self.model, self._data)
        return trial

    def nudge(self, cube: str, dx_m: float, dy_m: float, dyaw_rad: float = 0.0) -> None:
        """Shift and turn a cube on the spot, as a careless elbow would.

        Raises:
            ConfigError: If the trial has no such cube.
        """
        if self.trial is None or cube not in self.trial.cubes:
            available = list(self.trial.cubes) if self.trial else []
            raise ConfigError(f"no cube '{cube}' on the table; available: {available}")
        position, yaw_rad = self._cube_pose(cube)
        self._put_cube(cube, position + np.array([dx_m, dy_m, 0.0]), yaw_rad + dyaw_rad)

    def truth(self) -> Truth:
        """Return what a judge needs; no policy, adapter or safety code may see it."""
        data = self._data
        trial = self.trial
        return Truth(
            stamp_ns=self.time_ns,
            cubes={colour: self._object(CUBE_PREFIX + colour) for colour in (trial.cubes if trial else ())},
            pads={colour: self._object(PAD_PREFIX + colour) for colour in (trial.pads if trial else ())},
            gripper_opening={
                arm: fingers.gap_m(data) / fingers.spec.stroke_m for arm, fingers in self._fingers.items()
            },
            p_world_ee={arm.name: data.body(arm.ee_frame).xpos.copy() for arm in self.embodiment.arms},
        )

    def frame_pose(self, link: str) -> Transform:
        """Return `T_world_link` of any link at the last step.

        Raises:
            ConfigError: If the robot has no such link.
        """
        try:
            body = self._data.body(link)
        except KeyError as error:
            raise ConfigError(f"robot '{self.embodiment.name}' has no link '{link}'") from error
        return _pose(body.xmat, body.xpos)

    # ------------------------------------------------------------------------------------------------ internals

    def _index_model(self) -> None:
        model = self.model
        arms = self.embodiment.arms
        self._arms = {arm.name: (qpos_index(model, arm.joint_names), dof_index(model, arm.joint_names)) for arm in arms}
        speed_m_s = 2.0 * self.scene.gripper.finger_speed_m_s
        self._fingers = {arm.name: Fingers(model, arm.gripper, speed_m_s) for arm in arms if arm.gripper}
        driven = [name for arm in arms for name in arm.joint_names]
        self._driven = dof_index(model, driven)
        limits = np.array([model.jnt_actfrcrange[model.joint(name).id, 1] for name in driven])
        self._torque_limit = np.where(limits > 0, limits, np.inf)
        self._acceleration = np.zeros(model.nv)
        self._torque = np.zeros(model.nv)
        self._state_names = tuple(name for arm in arms for name in _state_names(arm))
        self._mocap = {name: model.body(PAD_PREFIX + name).mocapid[0] for name in self.scene.pads.colours}

    def _gripper(self, arm: str) -> Fingers:
        name = self.embodiment.arm(arm).name
        if name not in self._fingers:
            raise ConfigError(f"arm '{arm}' has no gripper; arms with one: {list(self._fingers)}")
        return self._fingers[name]

    def _grip_within_stroke(self, arm: str, position: float, effort_n: float) -> None:
        """What a driver asks for that clamps to the gripper's stroke rather than refuse."""
        fingers = self._gripper(arm)
        ends = sorted((fingers.spec.command_closed, fingers.spec.command_open))
        self.command_gripper(arm, min(max(position, ends[0]), ends[1]), effort_n)

    def _cube_pose(self, colour: str) -> tuple[Float, float]:
        qpos = self._data.joint(CUBE_PREFIX + colour).qpos
        w, z = qpos[3], qpos[6]
        return qpos[:3].copy(), float(2.0 * np.arctan2(z, w))

    def _put_cube(self, colour: str, position_m: Float, yaw_rad: float) -> None:
        joint = self._data.joint(CUBE_PREFIX + colour)
        joint.qpos[:] = [*position_m, np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2)]
        joint.qvel[:] = 0.0

    def _put_pad(self, colour: str, position_m: Float, yaw_rad: float) -> None:
        index = self._mocap[colour]
        self._data.mocap_pos[index] = position_m
        self._data.mocap_quat[index] = [np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2)]

    def _object(self, body_name: str) -> ObjectTruth:
        body = self._data.body(body_name)
        return ObjectTruth(T_world_object=_pose(body.xmat, body.xpos), speed_m_s=float(np.linalg.norm(body.cvel[3:])))


def _is_for(message: ArrayMessage, gripper: GripperSpec) -> bool:
    return isinstance(gripper.command, Float64ArrayInterface) and gripper.command.topic == message.topic


def _state_names(arm: ArmSpec) -> tuple[str, ...]:
    return (*arm.joint_names, *(arm.gripper.joint_names if arm.gripper else ()))


def _pose(xmat: Float, xpos: Float) -> Transform:
    return Transform.from_rotation(np.array(xmat).reshape(3, 3), np.array(xpos))


def _substeps(physics_hz: float, control_hz: float) -> int:
    ratio = physics_hz / control_hz
    if ratio < 1 or abs(ratio - round(ratio)) > _PERIOD_TOLERANCE:
        raise ConfigError(
            f"physics_hz is {physics_hz:g} and control_hz is {control_hz:g}; "
            "expected physics_hz to be a whole multiple of control_hz"
        )
    return round(ratio)


__all__ = ["START_NS", "JointSample", "ObjectTruth", "Placement", "TrialScene", "Truth", "TwinWorld"]
