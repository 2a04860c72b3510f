"""`vla3d calibrate`: the command line; the work is in `calibrate_rig`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `calibrate` to the command line."""
    calibrate = verbs.add_parser("calibrate", help="measure intrinsics and extrinsics of a rig's cameras")
    what = calibrate.add_subparsers(required=True, metavar="WHAT")
    board = what.add_parser("board", help="write a ChArUco board to print")
    _add_board(board)
    board.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .pdf or .svg")
    board.set_defaults(run=_run, function="board")

    capture = what.add_parser("capture", help="take the images with the running graph, told what is still missing")
    capture.add_argument("kind", choices=("intrinsics", "poses"), help="poses: for hand-eye and extrinsics")
    capture.add_argument("--camera", required=True, help="name in the rig file")
    capture.add_argument("--deployment", default=None, help="default: that of config/trials/demo.yaml")
    capture.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the images and poses.csv")
    capture.add_argument("--images", type=int, default=20, help="how many; default: %(default)s")
    capture.add_argument("--silence", type=float, default=10.0, help="give up after so many s without an image")
    _add_board(capture)
    capture.set_defaults(run=_run, function="capture")

    intrinsics = what.add_parser("intrinsics", help="one camera, from images of a board")
    intrinsics.add_argument("--camera", required=True, help="name in the rig file")
    intrinsics.add_argument("--max-px", type=float, default=None, help="largest held-out error; default: 0.5")
    hand_eye = what.add_parser("hand-eye", help="one camera on the hand, or one fixed, from images and arm poses")
    hand_eye.add_argument("--camera", required=True, help="name in the rig file; its mount tells which of the two")
    extrinsics = what.add_parser("extrinsics", help="all fixed cameras at once, from one board on the gripper")
    extrinsics.add_argument("--camera", action="append", default=None, help="repeat; default: all fixed ones")
    for name, parser in (("intrinsics", intrinsics), ("hand_eye", hand_eye), ("extrinsics", extrinsics)):
        parser.add_argument("data", type=Path, help="folder of images (with poses.csv or poses.yaml), or a bag")
        parser.add_argument("--deployment", default=None, help="default: that of config/trials/demo.yaml")
        parser.add_argument("--out", type=Path, default=None, metavar="RIG.yaml", help="default: the rig file itself")
        parser.add_argument("--dry-run", action="store_true", help="print the result, write nothing")
        parser.add_argument("--force", action="store_true", help="write it although it is worse than the threshold")
        parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
        parser.add_argument("--seed", type=int, default=0, help="of RANSAC and held-out views; default: %(default)s")
        _add_board(parser)
        if name != "intrinsics":
            parser.add_argument("--max-mm", type=float, default=None, help="largest held-out error; default: 3.0")
        parser.set_defaults(run=_run, function=name)


def _add_board(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--board",
        default=None,
        help="charuco:COLUMNSxROWS:SQUARE_MM:MARKER_MM:DICTIONARY (default charuco:8x6:30:22:DICT_5X5_100), "
        "chessboard:COLUMNSxROWS:SQUARE_MM (inner corners), marker:ID:SIDE_MM:DICTIONARY",
    )


def _run(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands import calibrate_rig

    return int(getattr(calibrate_rig, options.function)(options, console))
