"""The printed board is the board that is detected, to a hundredth of a millimetre."""

import re

import numpy as np
import pytest
from simulated_calibration import BOARD, MODEL, page_raster, photograph

from vla3d_ros.camera.board import BoardView, board_pose, parse_board
from vla3d_ros.camera.board_print import MARGIN_MM, board_boxes, page_size_mm, write_board
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform, project


@pytest.mark.parametrize("text", ["charuco:8x6:30:22:DICT_5X5_100", "charuco:5x7:24.5:18:DICT_4X4_50"])
def test_printed_page_shows_every_corner_where_the_definition_puts_it(text) -> None:
    board, px_per_mm = parse_board(text), 8.0
    page = page_raster(board, px_per_mm)
    view = board.detect(np.repeat(page[:, :, None], 3, axis=2))
    assert len(view.pixels) == (board.columns - 1) * (board.rows - 1)
    expected_px = (1e3 * view.points_board[:, :2] + MARGIN_MM) * px_per_mm - 0.5
    assert np.abs(view.pixels - expected_px).max() / px_per_mm < 0.05


def test_svg_holds_the_same_rectangles_in_millimetres_and_a_ruler(tmp_path) -> None:
    write_board(BOARD, tmp_path / "board.svg")
    text = (tmp_path / "board.svg").read_text()
    assert 'width="270mm" height="224mm" viewBox="0 0 270 224"' in text
    number = r'"([\d.]+)"'
    rects = re.findall(rf"<rect x={number} y={number} width={number} height={number}/>", text)
    drawn = np.array(rects, dtype=float)
    boxes = np.array([[b.x_mm, b.y_mm, b.width_mm, b.height_mm] for b in board_boxes(BOARD)])
    assert np.allclose(drawn[: len(boxes)], boxes, atol=1e-4)
    assert (drawn[len(boxes) :] == [15.0, 202.0, 100.0, 0.3]).all(axis=1).any(), "a bar of 100 mm"
    assert "print at 100 %" in text and BOARD.text in text


def test_pdf_page_has_the_size_of_the_drawing(tmp_path) -> None:
    write_board(BOARD, tmp_path / "board.pdf")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", (tmp_path / "board.pdf").read_bytes())
    points = np.array([float(box[1]), float(box[2])])
    assert np.allclose(points * 25.4 / 72, page_size_mm(BOARD), atol=0.01)


def test_other_file_types_are_refused_with_those_that_work(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"ends in '.png'; expected one of \['.pdf', '.svg'\]"):
        write_board(BOARD, tmp_path / "board.png")


@pytest.mark.parametrize("text", ["charuco:8x6:30:22:DICT_5X5_100", "chessboard:9x6:23.6", "marker:9:39:DICT_4X4_50"])
def test_definition_survives_a_round_trip(text) -> None:
    assert parse_board(text).text == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("charuco:8x6:22:30:DICT_5X5_100", "markers smaller than squares"),
        ("charuco:30x30:30:22:DICT_5X5_100", "has 100 markers, this board needs 450"),
        ("charuco:8x6:30:22:DICT_9X9", "no dictionary 'DICT_9X9'"),
        ("checker:9x6:20", "expected one of"),
        ("chessboard:9:20", "expected one of"),
    ],
)
def test_wrong_definition_is_refused_with_examples(text, complaint) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_board(text)


def test_photographed_board_gives_its_pose_back() -> None:
    T_camera_board = Transform.from_rpy([-0.1, -0.08, 0.5], [0.3, -0.25, 0.1])
    view = BOARD.detect(photograph(BOARD, T_camera_board, MODEL))
    assert len(view.pixels) == 35
    assert np.abs(view.pixels - project(T_camera_board.apply(view.points_board), MODEL.K)).max() < 0.3
    found, error_px = board_pose(view, MODEL)
    distance_m, angle_rad = found.distance_to(T_camera_board)
    assert error_px < 0.2 and distance_m < 0.001 and np.degrees(angle_rad) < 0.2


def test_image_without_the_board_gives_nothing() -> None:
    grey = np.full((480, 640, 3), 128, dtype=np.uint8)
    assert BOARD.detect(grey) is None
    assert parse_board("chessboard:9x6:23.6").detect(grey) is None
    assert parse_board("marker:9:39:DICT_4X4_50").detect(grey) is None


def test_exact_corners_give_an_exact_pose() -> None:
    T_camera_board = Transform.from_rpy([0.05, 0.02, 0.6], [0.5, 0.2, -0.4])
    points = np.array(BOARD.opencv().getChessboardCorners(), dtype=float)
    view = BoardView(points_board=points, pixels=project(T_camera_board.apply(points), MODEL.K))
    found, error_px = board_pose(view, MODEL)
    assert error_px < 1e-4 and found.distance_to(T_camera_board)[0] < 1e-6
