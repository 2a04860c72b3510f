"""Where the named cube and pad are, tracked from view to view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import Observation
from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import triangulate
from vla3d_ros.policy.backends.scripted_box_fit import BoxFit, fit_box
from vla3d_ros.policy.backends.scripted_config import FitSettings, ScriptedConfig, Triple
from vla3d_ros.policy.backends.scripted_instruction import PickAndPlace
from vla3d_ros.policy.backends.scripted_segmentation import ColourSegmenter, Silhouette, coarse_hsv

Float = NDArray[np.float64]

_START_YAW_STEP = np.pi / 6.0
_REACH_M = 5.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Belief:
    """Where an object is: box (4,) centre x, y, z in base (m) and yaw (rad, up to the symmetry of the box).

    `stamp_ns` is when it was last seen; `cameras` and `rms_px` say in which views and how well.
    """

    box: Float
    stamp_ns: int
    cameras: tuple[str, ...]
    rms_px: Float

    def age_ns(self, now_ns: int) -> int:
        """Time since the object was last seen."""
        return now_ns - self.stamp_ns

    def describe(self) -> str:
        """Say where, in which views and with which residuals."""
        x, y, z, yaw = self.box
        views = ", ".join(f"{camera} {rms:.2f} px" for camera, rms in zip(self.cameras, self.rms_px, strict=True))
        return f"({x:.4f}, {y:.4f}, {z:.4f}) m, yaw {np.degrees(yaw):.1f} deg; {views}"


def turn_symmetry(size_m: Triple) -> float:
    """Return the turn about the vertical (rad) after which a box of this size looks the same."""
    return np.pi / 2.0 if size_m[0] == size_m[1] else np.pi


class BoxTracker:
    """Follows one box: found with at least two views, believed while residuals are small, remembered when hidden."""

    def __init__(self, size_m: Triple, fit: FitSettings) -> None:
        self._half_size_m = np.array(size_m) / 2.0
        self._symmetry = turn_symmetry(size_m)
        self._fit = fit
        self._belief: Belief | None = None
        self._jump: Float | None = None
        self._guess = 0

    @property
    def belief(self) -> Belief | None:
        """What is known, or None if the object was never seen."""
        return self._belief

    def update(self, silhouettes: Sequence[Silhouette], stamp_ns: int) -> Belief | None:
        """Take in the outlines of one observation.

        Args:
            silhouettes: The object's outline in every view that shows its colour.
            stamp_ns: Stamp of the observation.

        Returns:
            The belief, unchanged if these outlines do not support one.
        """
        seen = self._track(silhouettes, stamp_ns) or self._search(silhouettes, stamp_ns)
        if seen is not None:
            self._belief = self._merge(seen)
        return self._belief

    def _track(self, silhouettes: Sequence[Silhouette], stamp_ns: int) -> Belief | None:
        if self._belief is None or len(silhouettes) < 2:
            return None
        return self._believable(silhouettes, self._belief.box, stamp_ns, is_warm=True)

    def _search(self, silhouettes: Sequence[Silhouette], stamp_ns: int) -> Belief | None:
        if len(silhouettes) < 2:
            return None
        centre = _centre(silhouettes)
        if centre is None:
            return None
        yaws = np.arange(0.0, self._symmetry, _START_YAW_STEP)
        if self._belief is not None:  # Lost from sight, not unknown: one guess per observation keeps pace.
            self._guess = (self._guess + 1) % len(yaws)
            yaws = yaws[self._guess : self._guess + 1]
        starts = [np.append(centre, yaw) for yaw in yaws]
        found = [self._believable(silhouettes, start, stamp_ns, is_warm=False) for start in starts]
        good = [belief for belief in found if belief is not None]
        return min(good, key=lambda belief: (-len(belief.cameras), float(belief.rms_px.mean())), default=None)

    def _believable(
        self, silhouettes: Sequence[Silhouette], start: Float, stamp_ns: int, *, is_warm: bool
    ) -> Belief | None:
        """Fit, drop the worst view while one does not match, and give up below two views."""
        kept = list(silhouettes)
        while len(kept) >= 2:
            fit = fit_box(kept, self._half_size_m, start, inlier_px=self._fit.inlier_px, is_warm=is_warm)
            poor = (fit.inlier_fraction < self._fit.min_inlier_fraction) | (fit.rms_px > self._fit.max_rms_px)
            if not poor.any():
                return _belief(fit, kept, stamp_ns)
            del kept[int(np.argmin(fit.inlier_fraction))]
        return None

    def _merge(self, seen: Belief) -> Belief | None:
        """Smooth small changes; believe a large one when it is seen twice."""
        known = self._belief
        if known is None:
            return replace(seen, box=self._with_yaw_near(seen.box, 0.0))
        box = self._with_yaw_near(seen.box, float(known.box[3]))
        if np.linalg.norm(box[:3] - known.box[:3]) <= self._fit.jump_m:
            self._jump = None
            return replace(seen, box=known.box + self._fit.smoothing * (box - known.box))
        is_confirmed = self._jump is not None and np.linalg.norm(box[:3] - self._jump[:3]) <= self._fit.jump_m
        self._jump = box
        return replace(seen, box=box) if is_confirmed else known

    def _with_yaw_near(self, box: Float, reference: float) -> Float:
        yaw = box[3] + self._symmetry * round((reference - float(box[3])) / self._symmetry)
        return np.append(box[:3], yaw)


class TabletopPerception:
    """Finds the cube and the pad an instruction names."""

    def __init__(self, config: ScriptedConfig, task: PickAndPlace) -> None:
        self._cameras = config.cameras
        self._segmenter = ColourSegmenter(config.colours, config.fit)
        self._hues_deg = {
            "cube": config.colours.cubes_hue_deg[task.cube],
            "pad": config.colours.pads_hue_deg[task.pad],
        }
        self._trackers = {
            "cube": BoxTracker(config.objects.cube_size_m, config.fit),
            "pad": BoxTracker(config.objects.pad_size_m, config.fit),
        }

    def update(self, observation: Observation) -> Mapping[str, Belief | None]:
        """Look at an observation.

        Returns:
            Beliefs by the names "cube" and "pad"; None for what was never seen in two views.
        """
        views = [view for view in observation.views if view.camera in self._cameras]
        images = [coarse_hsv(view) for view in views]
        beliefs: dict[str, Belief | None] = {}
        for name, tracker in self._trackers.items():
            hue_deg = self._hues_deg[name]
            found = [self._segmenter.find(view, hsv, hue_deg) for view, hsv in zip(views, images, strict=True)]
            outlines = [outline for outline in found if outline is not None]
            beliefs[name] = tracker.update(outlines, observation.stamp_ns)
        return beliefs


def _centre(silhouettes: Sequence[Silhouette]) -> Float | None:
    """Triangulate the outlines' centroids; None where the rays do not meet in front of the cameras."""
    pixels = [silhouette.centroid_px for silhouette in silhouettes]
    Ks = [silhouette.view.model.K for silhouette in silhouettes]
    try:
        centre, _ = triangulate(pixels, Ks, [silhouette.view.T_base_camera for silhouette in silhouettes])
    except ShapeError:
        return None
    return centre if np.linalg.norm(centre) < _REACH_M else None


def _belief(fit: BoxFit, silhouettes: Sequence[Silhouette], stamp_ns: int) -> Belief:
    cameras = tuple(silhouette.view.camera for silhouette in silhouettes)
    return Belief(box=fit.box, stamp_ns=stamp_ns, cameras=cameras, rms_px=fit.rms_px)
