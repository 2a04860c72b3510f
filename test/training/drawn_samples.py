"""Scenes drawn from a seed: coloured boxes on a table, two cameras, one arm that goes to the box it is told."""

from typing import Any

import numpy as np

from vla3d_ros.geometry import Transform
from vla3d_ros.policy.preprocess import pose_numbers
from vla3d_ros.training.data import TrainingData
from vla3d_ros.training.recipe import Recipe
from vla3d_ros.training.recipe_file import merged, recipe_from
from vla3d_ros.training.samples import MASK_SCALE, SceneTruth, TrainingSample

SIZE_PX, STEPS, SLOTS, JOINTS = 64, 8, 4, 7
COLOURS = {"red": (200, 40, 40), "blue": (40, 60, 200), "green": (40, 160, 60)}
HALF_M = 0.03
CAMERAS = {"head": ([1.0, 0.0, 0.7], [0.45, 0.0, 0.0]), "side": ([0.5, -0.8, 0.6], [0.45, 0.0, 0.0])}
K = np.array([[SIZE_PX, 0, (SIZE_PX - 1) / 2], [0, SIZE_PX, (SIZE_PX - 1) / 2], [0, 0, 1]])

RECIPE: dict[str, Any] = {
    "seed": 3,
    "network": {
        "preset": "tiny_vla3d",
        "changes": {
            "image_size": [SIZE_PX, SIZE_PX],
            "views": ["head", "side"],
            "wrist_views": ["side"],
            "arms": ["arm"],
            "chunk": STEPS,
            "encoder": {"width": 32, "depth": 1},
            "context": {"width": 32, "depth": 1},
            "expert": {"width": 32, "depth": 1},
            "vla3d": {
                "width": 32,
                "probes": 8,
                "instances": 4,
                "occluded_instances": 2,
                "token_depth": "aligned_or_predicted",
                "neighbours": 2,
            },
        },
    },
    "data": {
        "demonstrations": "nowhere",
        "robot": "drawn",
        "cameras": {"head": "head", "side": "side"},
        "arms": {"arm": "arm"},
        "instances": SLOTS,
        "surface_points": 8,
        "held_out_every": 4,
    },
    "stages": [
        {
            "name": "instances",
            "steps": 4,
            "trains": ["trunk", "fusion", "instances", "tokens", "expert"],
            "completes": False,
            "peak_rate": 0.001,
            "warmup_steps": 2,
            "losses": {"flow": 1.0, "instances": 0.1, "depth": 0.1},
        },
        {
            "name": "completion",
            "steps": 4,
            "trains": ["completion", "aggregation", "tokens", "expert"],
            "peak_rate": 0.001,
            "warmup_steps": 2,
            "losses": {"flow": 1.0, "self_supervision": 0.1},
        },
    ],
    "optimiser": {"batch": 4, "device": "cpu"},
    "watch": {"validate_every": 0, "validation_samples": 4, "checkpoint_every": 3},
}


def small_recipe(variant: str = "routing", name: str = "drawn", **changes: Any) -> Recipe:
    """A recipe over a network that takes milliseconds a step."""
    return recipe_from(merged({**RECIPE, "variant": variant}, changes), name)


def drawn_data(episodes: int = 8, held_out: int = 2) -> TrainingData:
    """One sample per episode; the last ones are held out."""
    source = [drawn_sample(number) for number in range(episodes)]
    numbers = np.arange(episodes)
    return TrainingData(
        source=source,
        numbers=source,
        training=numbers[: episodes - held_out],
        held_out=numbers[episodes - held_out :],
        sha256="drawn",
        joints=(JOINTS,),
        description=f"{episodes} drawn scenes",
    )


def drawn_sample(seed: int) -> TrainingSample:
    rng = np.random.default_rng(seed)
    names = list(rng.permutation(list(COLOURS)))
    points = np.stack([rng.uniform([0.3, -0.2], [0.6, 0.2]) for _ in names])
    points = np.concatenate([points, np.full((len(names), 1), HALF_M)], axis=1)
    poses = {name: looking(*place) for name, place in CAMERAS.items()}
    drawn = [_draw(T_base_camera, points, names) for T_base_camera in poses.values()]
    T_base_ee = Transform.from_rpy([0.45, 0.0, 0.35], [np.pi, 0.0, rng.uniform(-0.5, 0.5)]).matrix
    q = rng.uniform(-1, 1, JOINTS)
    state = np.zeros((1, 18), np.float32)
    state[0, : 10 + JOINTS] = np.concatenate([pose_numbers(T_base_ee), [1.0], q])
    return TrainingSample(
        images=np.stack([view["image"] for view in drawn]),
        view_mask=np.ones(2, bool),
        K=np.repeat(K[None], 2, axis=0).astype(np.float32),
        T_base_camera=np.stack(list(poses.values())).astype(np.float32),
        depth_m=np.stack([view["depth_m"] for view in drawn]),
        state=state,
        state_mask=np.ones(1, bool),
        T_base_ee=T_base_ee[None].astype(np.float32),
        arm_mask=np.ones(1, bool),
        embodiment=0,
        instruction=f"take the {names[0]} box",
        actions=_towards(points[0], T_base_ee),
        truth=_truth(points, drawn),
        episode=seed,
    )


def looking(position: list[float], target: list[float]) -> np.ndarray:
    z = np.subtract(target, position)
    z = z / np.linalg.norm(z)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x = x / np.linalg.norm(x)
    T_base_camera = np.eye(4)
    T_base_camera[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    T_base_camera[:3, 3] = position
    return T_base_camera


def _draw(T_base_camera: np.ndarray, points: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    image = np.full((SIZE_PX, SIZE_PX, 3), 120, np.uint8)
    v, u = np.mgrid[:SIZE_PX, :SIZE_PX].astype(float)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1) @ T_base_camera[:3, :3].T
    depth = np.clip(-T_base_camera[2, 3] / np.minimum(rays[..., 2], -1e-3), 0, 3.0)
    masks, boxes = np.zeros((SLOTS, SIZE_PX, SIZE_PX), bool), np.zeros((SLOTS, 4), np.float32)
    for slot, (point, name) in enumerate(zip(points, names, strict=True)):
        corners = point + HALF_M * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        seen = (corners - T_base_camera[:3, 3]) @ T_base_camera[:3, :3]
        pixels = (seen @ K.T)[:, :2] / seen[:, 2:]
        low, high = np.clip(np.stack([pixels.min(axis=0), pixels.max(axis=0) + 1]), 0, SIZE_PX).round().astype(int)
        inside = np.s_[low[1] : high[1], low[0] : high[0]]
        masks[(slice(None), *inside)] = False
        masks[slot][inside] = True
        image[inside], depth[inside] = COLOURS[name], seen[:, 2].min()
        boxes[slot] = np.concatenate([(low + high) / 2, high - low]) / SIZE_PX
    cells = masks.reshape(SLOTS, SIZE_PX // MASK_SCALE, MASK_SCALE, SIZE_PX // MASK_SCALE, MASK_SCALE)
    return {
        "image": image,
        "depth_m": depth.astype(np.float32),
        "masks": cells.mean(axis=(2, 4)) > 0.25,
        "boxes": boxes,
        "visible": masks.sum(axis=(1, 2)) > 4,
    }


def _truth(points: np.ndarray, drawn: list[dict[str, np.ndarray]]) -> SceneTruth:
    count = len(points)
    padded = np.zeros((SLOTS, 3), np.float32)
    padded[:count] = points
    visible = np.stack([view["visible"] for view in drawn])
    return SceneTruth(
        masks=np.stack([view["masks"] for view in drawn]),
        boxes=np.stack([view["boxes"] for view in drawn]),
        object_points=padded,
        object_mask=np.arange(SLOTS) < count,
        object_roles=np.array([1, 0, 0, 0], np.int64)[:SLOTS],
        object_visible=visible,
        object_seen=visible.astype(np.float32),
        surface_points=np.repeat(padded[:, None], 8, axis=1),
    )


def _towards(point: np.ndarray, T_base_ee: np.ndarray) -> np.ndarray:
    goal = (point - T_base_ee[:3, 3]) @ T_base_ee[:3, :3]
    shares = np.arange(1, STEPS + 1) / STEPS
    actions = np.zeros((STEPS, 10), np.float32)
    actions[:, :3] = 0.3 * shares[:, None] * goal
    actions[:, 3:9] = [1, 0, 0, 0, 1, 0]
    actions[:, 9] = 1.0 - shares
    return actions
