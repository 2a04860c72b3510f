"""A box on a table, seen by cameras that measure depth exactly: rays against six planes, in NumPy."""

import numpy as np
import torch

from vla3d_ros.policy.nets.features import ContextInputs
from vla3d_ros.policy.nets.vla3d.cameras import known_cameras
from vla3d_ros.policy.nets.vla3d.coordinates import Surface

SIZE_PX = (96, 128)
FOCAL_PX = 140.0
TABLE_M = 0.0


def intrinsics():
    """Return K (3, 3)."""
    return np.array([[FOCAL_PX, 0.0, 63.5], [0.0, FOCAL_PX, 47.5], [0.0, 0.0, 1.0]])


def look_at(eye, target):
    """Return T_base_camera (4, 4) of a camera at `eye` that looks at `target`, its image upright."""
    z = np.asarray(target, dtype=float) - eye
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    T[:3, 3] = eye
    return T


def cast(T_base_camera, centre, size, yaw_rad=0.0):
    """Return depth along z (H, W) and whether a pixel shows the box (H, W); the table is the plane z = 0."""
    height, width = SIZE_PX
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    K = intrinsics()
    rays = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], axis=-1)
    R_base_box = np.array(
        [[np.cos(yaw_rad), -np.sin(yaw_rad), 0.0], [np.sin(yaw_rad), np.cos(yaw_rad), 0.0], [0.0, 0.0, 1.0]]
    )
    directions = rays @ T_base_camera[:3, :3].T
    origin = T_base_camera[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        table = (TABLE_M - origin[2]) / directions[..., 2]
        table = np.where(table > 0, table, np.inf)
        local, start = directions @ R_base_box, (origin - centre) @ R_base_box
        slabs = np.stack([(side * np.asarray(size) / 2 - start) / local for side in (-1, 1)])
    enter, leave = slabs.min(axis=0).max(axis=-1), slabs.max(axis=0).min(axis=-1)
    hits = (enter < leave) & (enter > 0)
    depth = np.minimum(table, np.where(hits, enter, np.inf))
    return np.where(np.isfinite(depth), depth, 0.0), hits & (enter <= table)


def in_box(points, centre, size, yaw_rad=0.0, margin_m=0.0):
    """Say which points (..., 3) lie inside the box grown by a margin on every side."""
    R = np.array([[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]])
    local = points - centre
    local = np.concatenate([local[..., :2] @ R, local[..., 2:]], axis=-1)
    return (np.abs(local) <= np.asarray(size) / 2 + margin_m).all(axis=-1)


def cameras_at(poses):
    """Return the route's cameras for poses T_base_camera."""
    count = len(poses)
    K = torch.tensor(np.stack([intrinsics()] * count)[None], dtype=torch.float32)
    T = torch.tensor(np.stack(poses)[None], dtype=torch.float32)
    return known_cameras(K, T, torch.ones(1, count, dtype=torch.bool), SIZE_PX)


def full_surface(depths, cameras):
    """Return the surface with one cell per pixel."""
    from vla3d_ros.policy.nets.vla3d.cameras import unproject
    from vla3d_ros.policy.nets.vla3d.depth import sampled_pixels_px

    depth = torch.tensor(np.stack(depths)[None].reshape(1, len(depths), -1), dtype=torch.float32)
    points = unproject(sampled_pixels_px(SIZE_PX, SIZE_PX), depth, cameras)
    return Surface(points, depth, SIZE_PX)


def route_inputs(config, seed=0, batch=1):
    """Return ContextInputs of a scene in which cameras around a table see it, and all arms are there."""
    rng = np.random.default_rng(seed)
    height, width = config.image_size
    views, arms = len(config.views), len(config.arms)
    K = np.array([[1.1 * width, 0.0, width / 2 - 0.5], [0.0, 1.1 * width, height / 2 - 0.5], [0.0, 0.0, 1.0]])
    angles = rng.uniform(0, 2 * np.pi, (batch, views))
    T = np.array([[look_at([0.5 * np.cos(a), 0.5 * np.sin(a), 0.7], [0.0, 0.0, 0.2]) for a in row] for row in angles])
    T_ee = np.tile(np.eye(4), (batch, arms, 1, 1))
    T_ee[..., :3, 3] = rng.uniform(-0.3, 0.3, (batch, arms, 3))
    ones = torch.ones
    return ContextInputs(
        images=torch.zeros(batch, views, height, width, 3, dtype=torch.uint8),
        view_mask=ones(batch, views, dtype=torch.bool),
        state=torch.zeros(batch, arms, config.state_width),
        state_mask=ones(batch, arms, dtype=torch.bool),
        arm_mask=ones(batch, arms, dtype=torch.bool),
        embodiment=torch.zeros(batch, dtype=torch.int64),
        text_mask=ones(batch, config.text.length, dtype=torch.bool),
        K=torch.tensor(np.tile(K, (batch, views, 1, 1)), dtype=torch.float32),
        T_base_camera=torch.tensor(T, dtype=torch.float32),
        depth_m=torch.tensor(rng.uniform(0.4, 1.0, (batch, views, height, width)), dtype=torch.float32),
        T_base_ee=torch.tensor(T_ee, dtype=torch.float32),
    )


def route_features(config, seed=0, batch=1):
    """Return VisualFeatures of noise, every token there."""
    from vla3d_ros.policy.nets.features import VisualFeatures

    generator = torch.Generator().manual_seed(seed)
    count = config.grid[0] * config.grid[1]
    tokens = torch.randn(batch, len(config.views), count, config.width, generator=generator)
    return VisualFeatures(tokens, config.grid, torch.ones(tokens.shape[:3], dtype=torch.bool))
