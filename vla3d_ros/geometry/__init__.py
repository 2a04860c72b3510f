"""SE(3), rotations, pinhole cameras and interpolation: NumPy and SciPy only."""

from vla3d_ros.geometry.interpolation import blend_transforms, interpolate_transforms
from vla3d_ros.geometry.pinhole import distort, project, triangulate, undistort, unproject
from vla3d_ros.geometry.transform import Transform, exp_se3, log_se3

__all__ = [
    "Transform",
    "blend_transforms",
    "distort",
    "exp_se3",
    "interpolate_transforms",
    "log_se3",
    "project",
    "triangulate",
    "undistort",
    "unproject",
]
