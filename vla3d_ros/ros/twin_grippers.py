"""A gripper's action, served by the twin as the gripper's own driver would."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from control_msgs.action import ParallelGripperCommand
from rclpy.action import ActionServer, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState

from vla3d_ros.adapter.embodiment import GripperSpec
from vla3d_ros.adapter.interface_specs import GripperActionInterface
from vla3d_ros.ros.grippers import ACTION_TYPES, PARALLEL, goal_from_msg
from vla3d_ros.twin.gripper_controller import GripperState
from vla3d_ros.twin.world import TwinWorld

WorldCall = Callable[[Callable[[TwinWorld], Any]], Any]
"""Runs a function on the world between two steps and returns its result; None while there is no world."""


class TwinGripperAction:
    """One action server; a new goal ends the one before it, without a result of its own."""

    def __init__(self, node: Node, arm: str, spec: GripperSpec, interface: GripperActionInterface, call: WorldCall):
        """Serve the action of an arm's gripper."""
        self._node, self._arm, self._spec, self._interface, self._call = node, arm, spec, interface, call
        self._goal: tuple[ServerGoalHandle, Future] | None = None
        kind = ACTION_TYPES[interface.kind]
        self._server = ActionServer(node, kind, interface.action, self._execute, goal_callback=self._judge_goal)

    def answer(self) -> None:
        """Resolve the goal if the gripper has come to an end: reached, stalled or refused. Call every 20 ms or so."""
        if self._goal is None:
            return
        state = self._call(partial(_gripper_state, self._arm))
        if state is not None and not state.is_active:
            (_, done), self._goal = self._goal, None
            done.set_result(state)

    def _judge_goal(self, request: Any) -> GoalResponse:
        """Accept, as drivers do, but for one which the action's own definition makes meaningless."""
        if self._interface.kind == PARALLEL and len(request.command.position) != 1:
            count = len(request.command.position)
            text = f"Received action goal with wrong number of position values, expects 1, got {count}"
            self._node.get_logger().error(text)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    async def _execute(self, handle: ServerGoalHandle) -> Any:
        if self._goal is not None:
            self._goal[1].set_result(None)
        goal = goal_from_msg(self._interface, handle.request, self._spec.max_effort_n)
        self._call(lambda world: world.receive(self._arm, goal))
        done: Future = Future(executor=self._node.executor)
        self._goal = (handle, done)
        state = await done
        if state is None:
            handle.abort()
            return ACTION_TYPES[self._interface.kind].Result()
        handle.succeed() if state.reached_goal else handle.abort()
        return self._result(state)

    def _result(self, state: GripperState) -> Any:
        """A GripperCommand reports the gap, as franka_gripper does; the parallel one reports its joint."""
        if self._interface.kind == PARALLEL:
            position = self._spec.command_position(state.gap_m / self._spec.stroke_m)
            joint = JointState(name=[self._interface.joint_name], position=[position], effort=[state.effort_n])
            return ParallelGripperCommand.Result(state=joint, stalled=state.stalled, reached_goal=state.reached_goal)
        result = ACTION_TYPES[self._interface.kind].Result()
        result.position, result.effort = state.gap_m, state.effort_n
        result.stalled, result.reached_goal = state.stalled, state.reached_goal
        return result


def _gripper_state(arm: str, world: TwinWorld) -> GripperState:
    return world.gripper_state(arm)
