"""A robot, a board and a camera that follow the model exactly, plus noise; and pictures of a board."""

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from vla3d_ros.camera.board import BoardView, CharucoBoard, board_pose, parse_board
from vla3d_ros.camera.board_print import MARGIN_MM, board_boxes, page_size_mm
from vla3d_ros.camera.calibration_bundle import Mounting
from vla3d_ros.camera.hand_eye_ransac import HandEyeSample
from vla3d_ros.camera.rig import look_at
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.geometry import Transform, exp_se3, project

DATA = Path(__file__).parents[3] / "shared" / "data"
MODEL = CameraModel(width_px=640, height_px=480, K=np.array([[610.0, 0, 320], [0, 610.0, 240], [0, 0, 1]]))
PIXEL_PX, ARM_M, ARM_RAD = 0.3, 0.0005, np.radians(0.1)  # per axis
T_EE_CAMERA = Transform.from_rpy([0.06, 0.01, -0.05], [0.1, -0.2, 1.5])
T_BASE_CAMERA = look_at(np.array([1.1, 0.1, 0.7]), np.array([0.45, 0.0, 0.2]), np.array([0.0, 0.0, 1.0]))
T_BASE_BOARD = Transform.from_rpy([0.5, 0.0, 0.02], [np.pi, 0.02, 0.3])
T_EE_BOARD = Transform.from_rpy([0.02, 0.05, 0.05], [0.1, 0.2, 0.3])
BOARD = parse_board("charuco:8x6:30:22:DICT_5X5_100")


def grid_points(columns: int = 9, rows: int = 6, square_m: float = 0.025) -> np.ndarray:
    grid = np.mgrid[0:columns, 0:rows].reshape(2, -1).T * square_m
    return np.column_stack([grid - grid.mean(axis=0), np.zeros(len(grid))])


def truth(mounting: Mounting) -> tuple[Transform, Transform]:
    """T_mount_camera and T_target_board."""
    in_hand = mounting is Mounting.EYE_IN_HAND
    return (T_EE_CAMERA, T_BASE_BOARD) if in_hand else (T_BASE_CAMERA, T_EE_BOARD)


def ee_pose(mounting: Mounting, T_camera_board: Transform) -> Transform:
    """Where the end effector is when the camera sees the board there."""
    X, Y = truth(mounting)
    if mounting is Mounting.EYE_IN_HAND:
        return Y @ T_camera_board.inverse() @ X.inverse()
    return X @ T_camera_board @ Y.inverse()


def random_view(generator: np.random.Generator, mounting: Mounting, tilt_deg: float = 40.0) -> Transform:
    """Draw T_camera_board: the board tilted to all sides, turned about the axis, somewhere in the image."""
    near_m, far_m = (0.35, 0.55) if mounting is Mounting.EYE_IN_HAND else (0.5, 0.8)
    tilt = np.radians(tilt_deg)
    R = Rotation.from_euler("zxy", [generator.uniform(-1.5, 1.5), *generator.uniform(-tilt, tilt, 2)]).as_matrix()
    return Transform.from_rotation(R, [*generator.uniform(-0.1, 0.1, 2), generator.uniform(near_m, far_m)])


def sample(
    T_base_ee: Transform,
    T_camera_board: Transform,
    generator: np.random.Generator | None = None,
    points: np.ndarray | None = None,
) -> HandEyeSample | None:
    """One noisy sample, exact without a generator; None if the board is not wholly in the image."""
    points = grid_points() if points is None else points
    pixels = project(T_camera_board.apply(points), MODEL.K)
    if not ((pixels > 5) & (pixels < [634, 474])).all():
        return None
    if generator is not None:
        pixels = pixels + generator.normal(0.0, PIXEL_PX, pixels.shape)
        noise = np.concatenate([generator.normal(0.0, ARM_M, 3), generator.normal(0.0, ARM_RAD, 3)])
        T_base_ee = T_base_ee @ Transform(exp_se3(noise))
    found, _ = board_pose(BoardView(points_board=points, pixels=pixels), MODEL)
    return HandEyeSample(T_base_ee=T_base_ee, T_camera_board=found, points_board=points, observed=pixels)


def samples(seed: int, count: int, mounting: Mounting, *, noisy: bool = True) -> list[HandEyeSample]:
    generator = np.random.default_rng(seed)
    drawn: list[HandEyeSample] = []
    while len(drawn) < count:
        T_camera_board = random_view(generator, mounting)
        one = sample(ee_pose(mounting, T_camera_board), T_camera_board, generator if noisy else None)
        drawn += [one] if one else []
    return drawn


def page_raster(board: CharucoBoard, px_per_mm: float = 8.0) -> np.ndarray:
    """The printed page as a grey image."""
    width_mm, height_mm = page_size_mm(board)
    page = np.full((round(height_mm * px_per_mm), round(width_mm * px_per_mm)), 255, dtype=np.uint8)
    for box in board_boxes(board):
        left, top = round(box.x_mm * px_per_mm), round(box.y_mm * px_per_mm)
        right, bottom = round((box.x_mm + box.width_mm) * px_per_mm), round((box.y_mm + box.height_mm) * px_per_mm)
        page[top:bottom, left:right] = 0
    return page


def photograph(board: CharucoBoard, T_camera_board: Transform, model: CameraModel) -> np.ndarray:
    """An RGB image of the printed board, seen by an ideal lens."""
    px_per_mm, oversampling = 4.0, 3
    page = page_raster(board, px_per_mm)
    mm_from_raster = np.array(
        [[1 / px_per_mm, 0, 0.5 / px_per_mm - MARGIN_MM], [0, 1 / px_per_mm, 0.5 / px_per_mm - MARGIN_MM], [0, 0, 1]]
    )
    board_from_mm = np.diag([1e-3, 1e-3, 1.0])
    plane = np.column_stack([T_camera_board.rotation[:, :2], T_camera_board.translation])
    finer = np.array([[oversampling, 0, (oversampling - 1) / 2], [0, oversampling, (oversampling - 1) / 2], [0, 0, 1]])
    H = finer @ model.K @ plane @ board_from_mm @ mm_from_raster
    size = (oversampling * model.width_px, oversampling * model.height_px)
    image = cv2.warpPerspective(page, H, size, flags=cv2.INTER_AREA, borderValue=160)
    image = cv2.resize(image, (model.width_px, model.height_px), interpolation=cv2.INTER_AREA)
    return np.repeat(image[:, :, None], 3, axis=2)
