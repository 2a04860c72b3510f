"""What the tests of camera sources share: a rig's entry, and reading with an end."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.datatypes import CameraModel, CameraMount
from vla3d_ros.geometry import Transform


def camera_spec(source: str, settings: dict[str, Any], width: int = 320, height: int = 240, name="head") -> CameraSpec:
    """A rig's entry with a centred pinhole."""
    K = np.array([[300.0, 0.0, (width - 1) / 2], [0.0, 300.0, (height - 1) / 2], [0.0, 0.0, 1.0]])
    mount = CameraMount(
        camera=name,
        parent_frame="base",
        optical_frame=f"{name}_optical_frame",
        T_parent_camera=Transform.from_rotation(np.eye(3), (0, 0, 1)),
    )
    model = CameraModel(width_px=width, height_px=height, K=K)
    return CameraSpec(name=name, source=source, model=model, mount=mount, settings=settings)


def read_until(source, is_done: Callable[[list], bool], timeout_s: float = 15.0) -> list:
    """Read images until something is so; fail when it never becomes so."""
    images: list = []
    deadline = time.monotonic() + timeout_s
    while not is_done(images):
        assert time.monotonic() < deadline, f"{len(images)} images and {source.health} after {timeout_s:g} s"
        image = source.read(0.2)
        if image is not None:
            images.append(image)
    return images


def read_n(source, count: int, timeout_s: float = 15.0) -> list:
    """Read so many images."""
    return read_until(source, lambda images: len(images) >= count, timeout_s)
