"""Markers seen by several cameras of a replay, triangulated through its calibration: does the rig agree with itself?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.board import parse_board
from vla3d_ros.datatypes import Observation, View
from vla3d_ros.geometry import triangulate
from vla3d_ros.geometry.pinhole import undistort

Float = NDArray[np.float64]

_RESTS_PX = 2.0  # corners of a marker that rests scatter less than this around their median
_FEWEST_VIEWS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerFinding:
    """One marker: its four sides, how far its rays miss each other, and how flat it lies; medians, in mm.

    sets counts how often it was triangulated: once for a marker that rests (from medians of its corners), else per
    observation. side_error_mm is the mean side less the nominal one, None where nobody gave it.
    """

    marker: int
    rests: bool
    cameras: tuple[str, ...]
    sets: int
    sides_mm: tuple[float, float, float, float]
    side_mean_mm: float
    side_spread_mm: float
    rays_miss_mm: float
    height_spread_mm: float
    nominal_mm: float | None
    side_error_mm: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class MarkerSurvey:
    """Collects the corners of all markers of one dictionary in the views of observations."""

    def __init__(self, dictionary: str, nominal_mm: Mapping[int, float]) -> None:
        """Take the dictionary, e.g. DICT_4X4_50, and the sides that are known, by marker.

        Raises:
            ConfigError: If the dictionary is unknown.
        """
        parse_board(f"marker:0:10:{dictionary}")
        settings = cv2.aruco.DetectorParameters()
        settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        chosen = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
        self._detector = cv2.aruco.ArucoDetector(chosen, settings)
        self._nominal_mm = dict(nominal_mm)
        self._seen: dict[int, list[dict[str, tuple[View, Float]]]] = defaultdict(list)

    def add(self, observation: Observation) -> None:
        """Look for markers in every view."""
        found: dict[int, dict[str, tuple[View, Float]]] = defaultdict(dict)
        for view in observation.views:
            corners, ids, _ = self._detector.detectMarkers(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY))
            numbers = [] if ids is None else ids.ravel().tolist()
            for number, pixels in zip(numbers, corners, strict=False):
                if numbers.count(number) == 1:
                    found[number][view.camera] = (view, np.asarray(pixels, dtype=np.float64).reshape(4, 2))
        for number, views in found.items():
            self._seen[number].append(views)

    def findings(self) -> tuple[MarkerFinding, ...]:
        """Return what can be said of every marker that at least two cameras saw, by number."""
        found = (self._finding(number, sightings) for number, sightings in sorted(self._seen.items()))
        return tuple(finding for finding in found if finding is not None)

    def _finding(self, number: int, sightings: list[dict[str, tuple[View, Float]]]) -> MarkerFinding | None:
        by_camera: dict[str, list[tuple[View, Float]]] = defaultdict(list)
        for sighting in sightings:
            for camera, seen in sighting.items():
                by_camera[camera].append(seen)
        rests = _rests(by_camera.values())
        sets = [_medians(by_camera)] if rests else sightings
        solved = [_corners(views) for views in sets if len(views) >= _FEWEST_VIEWS]
        if not solved:
            return None
        sides = np.median([1e3 * np.linalg.norm(p - np.roll(p, -1, axis=0), axis=1) for p, _ in solved], axis=0)
        nominal, mean = self._nominal_mm.get(number), float(np.mean(sides))
        return MarkerFinding(
            marker=number,
            rests=rests,
            cameras=tuple(sorted({camera for views in sets if len(views) >= _FEWEST_VIEWS for camera in views})),
            sets=len(solved),
            sides_mm=(float(sides[0]), float(sides[1]), float(sides[2]), float(sides[3])),
            side_mean_mm=mean,
            side_spread_mm=float(np.ptp(sides)),
            rays_miss_mm=1e3 * float(np.median([miss for _, miss in solved])),
            height_spread_mm=1e3 * float(np.median([np.ptp(points[:, 2]) for points, _ in solved])),
            nominal_mm=nominal,
            side_error_mm=None if nominal is None else mean - nominal,
        )


def _rests(cameras: Iterable[list[tuple[View, Float]]]) -> bool:
    """Whether most sightings lie where their camera's median is: occlusion and noise may spoil a few."""
    distances = []
    for seen in cameras:
        pixels = np.stack([corners for _, corners in seen])
        distances.append(np.abs(pixels - np.median(pixels, axis=0)).max(axis=(1, 2)))
    return float(np.median(np.concatenate(distances))) < _RESTS_PX and sum(map(len, distances)) > len(distances)


def _medians(by_camera: Mapping[str, list[tuple[View, Float]]]) -> dict[str, tuple[View, Float]]:
    return {
        camera: (seen[0][0], np.median([corners for _, corners in seen], axis=0)) for camera, seen in by_camera.items()
    }


def _corners(views: Mapping[str, tuple[View, Float]]) -> tuple[Float, float]:
    """(4, 3) corners in the base frame, m, and the largest RMS distance to the rays, m."""
    found = []
    for corner in range(4):
        pixels = [_undistorted(view, corners[corner]) for view, corners in views.values()]
        Ks, poses = [view.model.K for view, _ in views.values()], [view.T_base_camera for view, _ in views.values()]
        found.append(triangulate(pixels, Ks, poses))
    return np.stack([point for point, _ in found]), max(miss for _, miss in found)


def _undistorted(view: View, pixel: Float) -> Float:
    K = view.model.K
    centred = np.linalg.solve(K[:2, :2], pixel - K[:2, 2])
    straight: Float = K[:2, :2] @ undistort(centred, view.model.distortion) + K[:2, 2]
    return straight
