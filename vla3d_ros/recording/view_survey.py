"""What one camera of a bag saw: thumbnails, brightness and sharpness over time, black, blurred and frozen stretches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.recording.image_look import ImageLook, LookLimits, look_at, look_problem

Rgb = NDArray[np.uint8]

_NS_PER_S = 1e9
_THUMBNAIL_WIDTH_PX = 320
_FROZEN_S = 1.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ViewSurvey:
    """One camera of a bag.

    Attributes:
        camera: Its name.
        topic: Its image topic.
        width_px: Of the first image.
        height_px: Of the first image.
        encoding: Of the first image.
        stamps_ns: Of the images that were looked at, (M,).
        looks: What they looked like.
        problems: One sentence and the number of looked-at images, by kind.
        frozen_s: Longest time without any change of any looked-at pixel.
        thumbnails: First, middle and last image, small, RGB.
    """

    camera: str
    topic: str
    width_px: int
    height_px: int
    encoding: str
    stamps_ns: NDArray[np.int64]
    looks: tuple[ImageLook, ...]
    problems: tuple[tuple[str, int], ...]
    frozen_s: float
    frozen_span_ns: tuple[int, int]
    thumbnails: tuple[Rgb, ...]

    @property
    def is_frozen(self) -> bool:
        """Whether it stood still for longer than a camera with noise can."""
        return self.frozen_s > _FROZEN_S


@dataclass(slots=True)
class ViewSurveyor:
    """Takes the images of one camera, one after the other, and keeps little of each."""

    camera: str
    topic: str
    expected: int
    encoding: str = ""
    size_px: tuple[int, int] = (0, 0)
    _stamps_ns: list[int] = field(default_factory=list)
    _looks: list[ImageLook] = field(default_factory=list)
    _thumbnails: list[Rgb] = field(default_factory=list)
    _taken: int = 0

    def take(self, stamp_ns: int, rgb: Rgb) -> None:
        """Take the next image that is looked at, (H, W, 3) or (H, W, 1) uint8."""
        self._stamps_ns.append(stamp_ns)
        self._looks.append(look_at(rgb))
        self.size_px = self.size_px if self._thumbnails else (rgb.shape[1], rgb.shape[0])
        middle = (self.expected - 1) // 2
        if self._taken in (0, middle, self.expected - 1):
            self._thumbnails.append(_thumbnail(rgb))
        self._taken += 1

    def survey(self, limits: LookLimits) -> ViewSurvey:
        """Sum up."""
        kinds: dict[str, tuple[str, int]] = {}
        for look in self._looks:
            if problem := look_problem(look, limits):
                kind = problem.split(" ")[0]
                first, count = kinds.get(kind, (problem, 0))
                kinds[kind] = (first, count + 1)
        frozen_ns, span = _longest_stillness(self._stamps_ns, self._looks)
        return ViewSurvey(
            camera=self.camera,
            topic=self.topic,
            width_px=self.size_px[0],
            height_px=self.size_px[1],
            encoding=self.encoding,
            stamps_ns=np.array(self._stamps_ns, dtype=np.int64),
            looks=tuple(self._looks),
            problems=tuple(kinds.values()),
            frozen_s=frozen_ns / _NS_PER_S,
            frozen_span_ns=span,
            thumbnails=tuple(self._thumbnails),
        )


def _longest_stillness(stamps_ns: Sequence[int], looks: Sequence[ImageLook]) -> tuple[int, tuple[int, int]]:
    longest, span, start = 0, (0, 0), 0
    for index in range(1, len(looks)):
        if looks[index].digest != looks[start].digest:
            start = index
        elif stamps_ns[index] - stamps_ns[start] > longest:
            longest, span = stamps_ns[index] - stamps_ns[start], (stamps_ns[start], stamps_ns[index])
    return longest, span


def _thumbnail(rgb: Rgb) -> Rgb:
    height = max(1, round(rgb.shape[0] * _THUMBNAIL_WIDTH_PX / rgb.shape[1]))
    small = cv2.resize(rgb, (_THUMBNAIL_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    colour = small if small.ndim > 2 else cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
    return np.asarray(colour, dtype=np.uint8)
