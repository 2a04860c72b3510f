"""Pictures of the moments at which two replays differ most: both paths, drawn into what the cameras saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import Observation, RobotState, View
from vla3d_ros.geometry import project
from vla3d_ros.replay.chunk_record import ArmSteps, ChunkRecord
from vla3d_ros.replay.comparison import ChunkDifference
from vla3d_ros.replay.offline import OfflineReplay

Float = NDArray[np.float64]
Rgb = NDArray[np.uint8]

# Colours are RGB as in the report: accent for the replay, amber for the reference, white below both.
REPLAY_RGB, REFERENCE_RGB, _UNDER_RGB = (20, 184, 166), (245, 158, 11), (255, 255, 255)
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Moment:
    """One observation with both paths drawn: image per camera; how far apart the paths are."""

    difference: ChunkDifference
    images: Mapping[str, Rgb]


def draw_moments(
    offline: OfflineReplay,
    differences: Sequence[ChunkDifference],
    replayed: Mapping[int, ChunkRecord],
    reference: Mapping[int, ChunkRecord],
) -> list[Moment]:
    """Return pictures of moments, in the given order.

    Args:
        offline: Where the observations come from; the bag is read again up to the last of them.
        differences: Which moments.
        replayed: The replay's chunks by stamp.
        reference: The reference's chunks by stamp.
    """
    wanted = {difference.stamp_ns: difference for difference in differences}
    found: dict[int, Moment] = {}
    for observation in offline.stream() if wanted else ():
        stamp_ns = observation.stamp_ns
        if stamp_ns in wanted:
            images = {
                view.camera: _draw(view, observation, replayed[stamp_ns], reference[stamp_ns])
                for view in observation.views
            }
            found[stamp_ns] = Moment(difference=wanted[stamp_ns], images=images)
            if len(found) == len(wanted):
                break
    return [found[difference.stamp_ns] for difference in differences if difference.stamp_ns in found]


def _draw(view: View, observation: Observation, replayed: ChunkRecord, reference: ChunkRecord) -> Rgb:
    image: Rgb = view.rgb.copy()
    for robot in observation.robot_states:
        paths = ((reference, REFERENCE_RGB, 5), (replayed, REPLAY_RGB, 2))
        for record, colour, thickness in paths:
            if robot.arm in record.arms:
                _draw_path(image, view, _path(robot, record.arms[robot.arm]), colour, thickness)
    return image


def _path(robot: RobotState, steps: ArmSteps) -> Float:
    """(T + 1, 3) positions in the base frame, from where the end effector is."""
    points: Float = np.vstack([robot.T_base_ee.translation, robot.T_base_ee.apply(steps.p_ee0_ee)])
    return points


def _draw_path(image: Rgb, view: View, points_base: Float, colour: tuple[int, int, int], thickness: int) -> None:
    model = view.model
    pixels = project(view.T_base_camera.inverse().apply(points_base), model.K, model.distortion)
    within = np.isfinite(pixels).all(axis=1) & (np.abs(pixels) < 4 * max(model.width_px, model.height_px)).all(axis=1)
    scaled = np.rint(pixels[within] * (1 << _SUBPIXEL_BITS)).astype(np.int32).reshape(-1, 1, 2)
    if len(scaled) > 1:
        for width, shade in ((thickness + 2, _UNDER_RGB), (thickness, colour)):
            cv2.polylines(image, [scaled], False, shade, width, cv2.LINE_AA, _SUBPIXEL_BITS)
        end = tuple(int(value) for value in scaled[-1, 0])
        cv2.circle(image, end, (thickness + 2) << _SUBPIXEL_BITS, colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
