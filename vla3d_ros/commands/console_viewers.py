"""`vla3d console DEPLOYMENT --viewers DIR`: layouts for Foxglove and RViz that show the deployment's topics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.interfaces.feedback import JOINT_STATES, FeedbackNames
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.console.viewers import Viewed, foxglove_layout, rviz_config
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.resources import config_dir


def viewed_of(deployment: Deployment) -> Viewed:
    """Return what a deployment has to show."""
    arms = deployment.embodiment.arms
    return Viewed(
        namespace=deployment.namespace,
        base_frame=deployment.embodiment.base_frame,
        arms=tuple(arm.name for arm in arms),
        joints=tuple(joint for arm in arms for joint in arm.joint_names),
        state_joints=state_joints(arms),
        cameras=tuple(spec.name for spec in load_rig(deployment.rig_file).cameras),
    )


def state_joints(arms: Sequence[ArmSpec]) -> tuple[str, ...]:
    """Return the joints of a message on `joint_states`, in order: what drivers publish there, else what is merged."""
    is_merged = FeedbackNames(arms).needs_merging
    joints: list[str] = []
    for arm in arms:
        if is_merged or arm.feedback.topic == JOINT_STATES:
            joints += arm.joint_names
        if arm.gripper is not None and (is_merged or arm.feedback.gripper_topic == JOINT_STATES):
            joints += arm.gripper.joint_names
    return tuple(joints)


def write_viewers(name: str, folder: Path, console: Console) -> int:
    """Write `<deployment>.json` for Foxglove and `<deployment>.rviz` into a folder.

    Returns:
        0; a wrong deployment is an error.
    """
    deployment = load_deployment(name, config_dir())
    viewed = viewed_of(deployment)
    folder.mkdir(parents=True, exist_ok=True)
    foxglove, rviz = folder / f"{deployment.name}.json", folder / f"{deployment.name}.rviz"
    foxglove.write_text(json.dumps(foxglove_layout(viewed), indent=2) + "\n", encoding="utf-8")
    rviz.write_text(yaml.safe_dump(rviz_config(viewed), sort_keys=False, width=120), encoding="utf-8")
    console.print(f"Foxglove: import {foxglove} as a layout · RViz: rviz2 -d {rviz}")
    return 0
