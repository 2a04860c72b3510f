"""The cameras of one observation as tensors: pinhole projection both ways (3DVLA Eq. 2), always in float32.

Pixels count from the centre of the top left pixel, as K does: its centre is (0, 0), its corner (-0.5, -0.5).
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, torch


class Cameras(NamedTuple):
    """V views: K (B, V, 3, 3) px, T_base_camera (B, V, 4, 4) m, mask (B, V) bool, image size (height, width) px.

    closest_m is the epsilon of Eq. 2: no depth below it divides.
    """

    K: Tensor
    T_base_camera: Tensor
    mask: Tensor
    size_px: tuple[int, int]
    closest_m: float


class Projection(NamedTuple):
    """Points in every view: pixels (B, V, N, 2) in [0, 1] of width and height, depth_m (B, V, N), visible (B, V, N).

    A point that a view does not see (behind the camera, beside the image, view masked) has some pixel at the image's
    border and `visible` false.
    """

    pixels: Tensor
    depth_m: Tensor
    visible: Tensor


def known_cameras(
    K: Tensor, T_base_camera: Tensor, mask: Tensor, size_px: tuple[int, int], closest_m: float = 0.01
) -> Cameras:
    """Put identity matrices where the mask is false, so that what stands there (NaN even) reaches nothing.

    Args:
        K: (B, V, 3, 3) px.
        T_base_camera: (B, V, 4, 4) m.
        mask: (B, V) bool.
        size_px: Height and width of the images K speaks of.
        closest_m: Epsilon of Eq. 2.

    Returns:
        Cameras in float32.
    """
    present = mask[:, :, None, None]
    eye3 = torch.eye(3, dtype=torch.float32, device=K.device)
    eye4 = torch.eye(4, dtype=torch.float32, device=K.device)
    known_K, known_T = torch.where(present, K.float(), eye3), torch.where(present, T_base_camera.float(), eye4)
    return Cameras(known_K, known_T, mask, size_px, closest_m)


def project(points_base: Tensor, cameras: Cameras) -> Projection:
    """Project points into every view, Eq. 2: `u = norm(K (R p + t) / max(Z, epsilon))`.

    Args:
        points_base: (B, N, 3) m, the same for every view.
        cameras: V views.

    Returns:
        The projection.
    """
    R_base_camera = cameras.T_base_camera[..., :3, :3]
    offset = points_base.float().unsqueeze(1) - cameras.T_base_camera[..., :3, 3].unsqueeze(2)
    points_camera = offset @ R_base_camera  # rows: (R^T offset)^T
    depth = points_camera[..., 2]
    homogeneous = points_camera @ cameras.K.transpose(-1, -2) / depth.clamp(min=cameras.closest_m).unsqueeze(-1)
    height, width = cameras.size_px
    size = torch.tensor([width, height], dtype=torch.float32, device=points_base.device)
    pixels = (homogeneous[..., :2] + 0.5) / size
    inside = ((pixels >= 0.0) & (pixels <= 1.0)).all(dim=-1)
    visible = inside & (depth > cameras.closest_m) & cameras.mask.unsqueeze(-1)
    return Projection(pixels.clamp(0.0, 1.0), depth, visible)


def unproject(pixels_px: Tensor, depth_m: Tensor, cameras: Cameras) -> Tensor:
    """Lift pixels with a depth along z into the robot's base frame.

    Args:
        pixels_px: (N, 2) px, the same in every view.
        depth_m: (B, V, N).
        cameras: V views.

    Returns:
        (B, V, N, 3) m in base.
    """
    K = cameras.K.unsqueeze(2)  # (B, V, 1, 3, 3)
    y = (pixels_px[:, 1] - K[..., 1, 2]) / K[..., 1, 1]
    x = (pixels_px[:, 0] - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
    points_camera = torch.stack([x, y, torch.ones_like(x)], dim=-1) * depth_m.float().unsqueeze(-1)
    R_base_camera = cameras.T_base_camera[..., :3, :3]
    return points_camera @ R_base_camera.transpose(-1, -2) + cameras.T_base_camera[..., :3, 3].unsqueeze(2)


def cell_centres_px(grid: tuple[int, int], size_px: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Return the centres of a grid's cells, row by row.

    Args:
        grid: Rows and columns.
        size_px: Height and width of the image they divide.
        device: Where to put them.

    Returns:
        (rows * columns, 2) px, x then y.
    """
    rows = (torch.arange(grid[0], dtype=torch.float32, device=device) + 0.5) * (size_px[0] / grid[0]) - 0.5
    columns = (torch.arange(grid[1], dtype=torch.float32, device=device) + 0.5) * (size_px[1] / grid[1]) - 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=-1)
