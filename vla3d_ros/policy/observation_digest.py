"""A short name for the numbers a policy saw, so that two observations can be told apart without their pixels."""

from __future__ import annotations

import hashlib

import numpy as np

from vla3d_ros.datatypes import Observation

_BYTES = 8


def observation_digest(observation: Observation) -> str:
    """Return 16 hexadecimal digits over everything in an observation but the pixels.

    Stamps, camera names, intrinsics, camera poses, joints, end-effector poses, openings, instruction and executed steps
    go in bit by bit, and where there are any, which views have depth and whose prompt picture in which colour there is.
    The pixels of a recorded image are named by their camera and stamp.
    """
    hashed = hashlib.blake2b(digest_size=_BYTES)
    hashed.update(f"{observation.stamp_ns}|{observation.instruction}|{observation.missing_views}".encode())
    for view in observation.views:
        hashed.update(f"|{view.camera}|{view.stamp_ns}|{view.rgb.shape}".encode())
        for array in (view.model.K, view.model.distortion, view.T_base_camera.matrix):
            hashed.update(np.ascontiguousarray(array).tobytes())
    for state in observation.robot_states:
        hashed.update(f"|{state.arm}|{state.stamp_ns}|{state.joint_names}".encode())
        opening = np.array([state.gripper_opening])
        for array in (state.q, state.dq, state.T_base_ee.matrix, opening):
            hashed.update(np.ascontiguousarray(array).tobytes())
    hashed.update(repr(observation.executed_steps).encode())
    if with_depth := [view.camera for view in observation.views if view.depth_m is not None]:
        hashed.update(f"|depth {with_depth}".encode())
    if (prompt := observation.prompt) is not None:
        hashed.update(f"|prompt {prompt.camera} {prompt.colour}".encode())
    return hashed.hexdigest()
