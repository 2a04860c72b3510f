"""Watches what a single command cannot show: clocks, drivers, other publishers, the operator, and both arms together.

Composed of the safety room's checks over the adapter room's arms; used by `ExecutionPipeline` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.arm_motion import ArmMotion
from vla3d_ros.adapter.description_check import description_problems
from vla3d_ros.adapter.trajectory import sample
from vla3d_ros.datatypes import JointTrajectory, Reason
from vla3d_ros.safety.gate import SafetyGate
from vla3d_ros.safety.watches import ClockWatch, FreezeWatch, HeartbeatWatch

Float = NDArray[np.float64]

_SAMPLE_NS = 20_000_000  # between two looks at the bodies along a trajectory
_FEWEST_SAMPLES, _MOST_SAMPLES = 4, 64


class ExecutionWatch:
    """Remembers what was last heard of clock, drivers, graph and operator."""

    def __init__(
        self, gate: SafetyGate, motions: Mapping[str, ArmMotion], max_frozen_s: float, max_clock_step_s: float,
        heartbeat_timeout_s: float,
    ) -> None:  # fmt: skip
        """Take the gate and the arms; nothing has been heard yet."""
        self._gate = gate
        self._motions = motions
        self._clock = ClockWatch(max_clock_step_s)
        self._freezes = {name: FreezeWatch(max_frozen_s) for name in motions}
        self._heartbeat = HeartbeatWatch(heartbeat_timeout_s)
        self._publishers: dict[str, tuple[str, ...]] = {}
        self._disagreements: dict[str, tuple[str, ...]] = {}

    # --------------------------------------------------------------------------------------------- heard

    def hear_heartbeat(self, now_ns: int) -> None:
        """Take note of the operator's heartbeat."""
        self._heartbeat.hear(now_ns)

    def hear_publishers(self, publishers: Mapping[str, Sequence[str]]) -> None:
        """Take note of who publishes on the command topics: topic -> node names."""
        self._publishers = {topic: tuple(sorted(names)) for topic, names in publishers.items()}

    def hear_robot_description(self, urdf: str) -> None:
        """Compare the URDF that the robot's driver publishes with ours."""
        problems = description_problems(urdf, [motion.spec for motion in self._motions.values()])
        self._disagreements["robot_description"] = tuple(problems)

    def hear_controller_joints(self, arm: str, controller: str, joints: Sequence[str]) -> None:
        """Compare the joints a controller commands with those of its arm; the order may differ."""
        spec = self._motions[arm].spec
        expected = getattr(spec.command, "wire_names", spec.joint_names)
        problem = f"controller '{controller}' moves joints {list(joints)}, but arm '{arm}' has {list(expected)}"
        remedy = "; correct joint_names in the robot's YAML, or the controller's parameters"
        self._disagreements[controller] = () if sorted(joints) == sorted(expected) else (problem + remedy,)

    # -------------------------------------------------------------------------------------------- judged

    def clock(self, now_ns: int) -> list[Reason]:
        """Return a reason if time leapt since the last look."""
        return self._clock.look(now_ns)

    def faults(self, now_ns: int) -> list[Reason]:
        """Return everything that speaks against going on, apart from commands."""
        reasons = []
        for name, motion in self._motions.items():
            reasons += self._gate.check_state(name, motion.states.latest, now_ns)
            reasons += self._check_following(name, motion, now_ns)
        return [*reasons, *self._heartbeat.look(now_ns), *self._foreign()]

    def obstacles(self, now_ns: int) -> list[str]:
        """Return everything that speaks against arming, apart from the arms' states."""
        reasons = [*self._heartbeat.look(now_ns), *self._foreign()]
        disagreements = [problem for problems in self._disagreements.values() for problem in problems]
        return [reason.message for reason in reasons] + disagreements

    def check_together(self, trajectories: Sequence[JointTrajectory], now_ns: int) -> list[Reason]:
        """Judge where the bodies of all arms would pass if these trajectories were sent now."""
        moving = {trajectory.arm: trajectory for trajectory in trajectories}
        end_ns = max((int(trajectory.times_ns[-1]) for trajectory in trajectories), default=now_ns)
        samples = int(np.clip((end_ns - now_ns) // _SAMPLE_NS, _FEWEST_SAMPLES, _MOST_SAMPLES))
        times_ns = np.linspace(now_ns, max(end_ns, now_ns), samples).round().astype(np.int64)
        q: dict[str, Float] = {}
        for name, motion in self._motions.items():
            if name in moving:
                q[name] = sample(moving[name], times_ns)[0]
                continue
            reference = motion.reference_q(now_ns) if motion.is_moving(now_ns) else None
            state = motion.states.latest
            if reference is None and state is None:
                return []  # `check_state` has a reason against it
            still = reference if reference is not None or state is None else state.q
            q[name] = np.repeat(np.asarray(still)[None], samples, axis=0)
        return self._gate.check_together(q)

    def _check_following(self, name: str, motion: ArmMotion, now_ns: int) -> list[Reason]:
        state = motion.states.latest
        if state is None or not motion.is_moving(now_ns):
            self._freezes[name].clear()
            return []
        q_reference = motion.reference_q(state.stamp_ns)
        if q_reference is None:
            return []
        frozen = self._freezes[name].look(state, q_reference)
        return frozen or self._gate.check_tracking(state, q_reference)

    def _foreign(self) -> list[Reason]:
        reasons = []
        for topic, names in self._publishers.items():
            if len(names) > 1:
                text = f"'{topic}' has {len(names)} publishers {list(names)}; exactly one may command an arm"
                reasons.append(Reason(check="foreign_command", message=f"{text}: end the others"))
        return reasons
