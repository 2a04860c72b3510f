"""One arm with two cameras, and settings that fit, for the tests of the remote policy."""

import numpy as np

from vla3d_ros.datatypes import CameraModel, Observation, RobotState, View
from vla3d_ros.geometry import Transform

STEPS = 4
STAMP_NS = 7_000_000_000
POSE = Transform.from_rpy([0.4, -0.1, 0.3], [0.2, 0.5, -1.1])


def view(camera, rgb):
    model = CameraModel(width_px=rgb.shape[1], height_px=rgb.shape[0], K=np.eye(3))
    return View(camera=camera, rgb=rgb, model=model, T_base_camera=Transform.identity(), stamp_ns=STAMP_NS)


def observation(stamp_ns=STAMP_NS, cameras=("head", "wrist"), size_px=(6, 8), pose=POSE):
    colours = {"head": 50, "wrist": 200}
    robot = RobotState(
        arm="arm",
        stamp_ns=stamp_ns,
        joint_names=("a", "b"),
        q=np.array([0.1, -0.2]),
        dq=np.array([1.0, 2.0]),
        T_base_ee=pose,
        gripper_opening=0.25,
    )
    views = tuple(view(camera, np.full((*size_px, 3), colours[camera], np.uint8)) for camera in cameras)
    return Observation(stamp_ns=stamp_ns, views=views, robot_states=(robot,), instruction="")


def settings(url="ws://127.0.0.1:1", **server):
    image = {"camera": "head", "width_px": 4, "height_px": 4, "fit": "pad"}
    return {
        "backend": "remote",
        "server": {
            "url": url,
            "timeout_s": 0.2,
            "first_reply_s": 30.0,
            "silence_s": 30.0,
            "connect_s": 5.0,
            "retry_s": [0.01, 0.02],
            **server,
        },
        "observation": {
            "images": {
                "observation/image": image,
                "images.wrist": {**image, "camera": "wrist", "when_missing": "black"},
            },
            "states": {"observation/state": [{"arm": "arm", "quantity": "joint_positions"}]},
            "prompt": "prompt",
        },
        "actions": {
            "key": "actions",
            "steps": STEPS,
            "rate_hz": 20.0,
            "representation": "ee_pose_relative",
            "gripper_overshoot": 0.1,
            "arms": {"arm": {"first_column": 0, "rotation": "quat_xyzw", "gripper": [0.0, 1.0]}},
        },
    }


def actions(x=0.1, opening=0.5):
    """Rows of x, y, z, quaternion xyzw, gripper."""
    row = np.array([x, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, opening], np.float32)
    return np.tile(row, (STEPS, 1))
