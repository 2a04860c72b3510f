"""The four ways of `vla3d calibrate`, each from a folder or a bag to the rig file."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vla3d_ros.adapter.robot_poses import RobotPoses
from vla3d_ros.camera.board import DEFAULT_BOARD, Board, CharucoBoard, parse_board
from vla3d_ros.camera.board_print import page_size_mm, write_board
from vla3d_ros.camera.calibration_bundle import Mounting
from vla3d_ros.camera.calibration_data import PosedImage, group_by_pose, hand_eye_sample, list_images, read_folder
from vla3d_ros.camera.calibration_report import (
    CalibrationLimits,
    ExtrinsicFigures,
    extrinsic_problems,
    extrinsic_record,
    intrinsic_problems,
    intrinsic_record,
    require_good,
)
from vla3d_ros.camera.extrinsics import calibrate_extrinsics
from vla3d_ros.camera.guided_capture import GuidedCapture
from vla3d_ros.camera.hand_eye import calibrate_hand_eye
from vla3d_ros.camera.hand_eye_ransac import HandEyeSample
from vla3d_ros.camera.intrinsics import Coverage, calibrate_intrinsics
from vla3d_ros.camera.rig import CameraRig, CameraSpec, load_rig
from vla3d_ros.camera.rig_file import write_extrinsics, write_intrinsics
from vla3d_ros.commands.calibration_bag import read_bag
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import CalibrationError, ConfigError
from vla3d_ros.evaluation.protocol import load_protocol
from vla3d_ros.geometry import Transform
from vla3d_ros.resources import config_dir

_BAG_SUFFIXES = {".mcap", ".db3"}
_SHADES = " ░▒▓█"
_MANY = 12
_CAPTURE_EVERY_S = 0.4


def board(options: argparse.Namespace, console: Console) -> int:
    """Write a board to print."""
    target = _board(options)
    if not isinstance(target, CharucoBoard):
        raise ConfigError(f"board '{target.text}' can not be printed here; expected a charuco board")
    write_board(target, options.out)
    width_mm, height_mm = page_size_mm(target)
    console.print(f"{target.text}: {options.out}, page {width_mm:g} x {height_mm:g} mm; print at 100 % on stiff board")
    return 0


def capture(options: argparse.Namespace, console: Console) -> int:
    """Take images with the running graph until nothing is missing, or Ctrl-C.

    Returns:
        0 if nothing is missing, else 1.
    """
    from vla3d_ros.ros.environment import prepare_environment

    deployment, rig = _load(options)
    rig.camera(options.camera)
    prepare_environment()
    from vla3d_ros.ros.calibration_stream import camera_stream  # needs rclpy, found by what was prepared

    arm, robot = deployment.embodiment.arms[0], RobotPoses(deployment.embodiment)
    needs_poses = options.kind == "poses"
    taken = GuidedCapture(options.out, options.camera, _board(options), needs_poses=needs_poses, wanted=options.images)
    stream = camera_stream(deployment.namespace, options.camera, every_s=_CAPTURE_EVERY_S, silence_s=options.silence)
    last = ""
    for image, positions in stream:
        T_base_ee = None
        if set(robot.joint_names) <= set(positions):
            links = robot.place(tuple(positions), np.array(list(positions.values())))
            T_base_ee = links[arm.base_frame].inverse() @ links[arm.ee_frame]
        advice = taken.offer(image.rgb, T_base_ee)
        if advice.message != last:
            console.print(f"[{'green' if advice.is_kept else 'dim'}]{advice.message}[/]")
            last = advice.message
        for sentence in advice.missing:
            console.print(f"  still missing: {sentence}")
        if taken.is_complete:
            console.print(f"complete: {options.out}")
            return 0
    console.print(f"no image of camera '{options.camera}' for {options.silence:g} s; is the deployment up?")
    return 1


def intrinsics(options: argparse.Namespace, console: Console) -> int:
    """Calibrate the intrinsics of one camera and write them to the rig file."""
    deployment, rig = _load(options)
    spec, target = rig.camera(options.camera), _board(options)
    is_bag = _is_bag(options.data)
    images = read_bag(options.data, deployment.embodiment, [spec]) if is_bag else list_images(options.data, spec.name)
    sizes, views = set(), []
    for image in images:
        rgb = image.load()
        sizes.add((rgb.shape[1], rgb.shape[0]))
        view = target.detect(rgb)
        console.print(f"  {image.name}: {len(view.pixels) if view else 'no'} corners")
        views += [view] if view else []
    if len(sizes) != 1:
        raise CalibrationError(f"the images have sizes {sorted(sizes)}; expected one size, that of the rig's camera")
    result = calibrate_intrinsics(views, *sizes.pop(), np.random.default_rng(options.seed))
    _print_coverage(result.coverage, console)
    K = result.model.K
    console.print(
        f"fx {K[0, 0]:.2f} ± {result.sigma_focal_px:.2f}  fy {K[1, 1]:.2f}  cx {K[0, 2]:.2f}  cy {K[1, 2]:.2f}  "
        f"distortion {result.model.distortion.round(4).tolist()}"
    )
    console.print(
        f"held-out error {result.held_out_px:.3f} px; worst of {result.used.sum()} views "
        f"{result.view_errors_px.max():.3f} px"
    )
    limits = _limits(options)
    problems = intrinsic_problems(result, limits)
    require_good(f"intrinsics of camera '{spec.name}'", problems, force=options.force or options.dry_run)
    record = intrinsic_record(result, board=target.text, today=_today(), forced=bool(problems))
    _write_json(options, {spec.name: record.to_yaml() | {"K": K.ravel().tolist()}})
    if not options.dry_run:
        write_intrinsics(deployment.rig_file, spec.name, result.model, record, _out(options, deployment))
        console.print(f"written: {_out(options, deployment)}")
    return 0


def hand_eye(options: argparse.Namespace, console: Console) -> int:
    """Calibrate one camera against the arm and write its mount to the rig file."""
    deployment, rig = _load(options)
    spec, target = rig.camera(options.camera), _board(options)
    mounting = _mounting(deployment, spec)
    images = _posed_images(options, deployment, [spec])
    samples = [sample for sample in _detect(images, {spec.name: spec}, target, console) if sample is not None]
    with console.status(f"{mounting.value}: {len(samples)} views"):
        result = calibrate_hand_eye(samples, spec.model, mounting, np.random.default_rng(options.seed))
    figures = ExtrinsicFigures(
        held_out=result.held_out,
        sigma_m=result.sigma_m,
        sigma_rad=result.sigma_rad,
        views=len(samples),
        views_used=int(result.inliers.sum()),
    )
    spread = ", ".join(
        f"{name} {1e3 * metres:.2f} mm {np.degrees(radians):.2f} deg"
        for name, (metres, radians) in result.solver_spread.items()
    )
    console.print(f"closed forms differ from the result by: {spread}")
    found = {spec.name: (result.T_mount_camera, figures)}
    return _finish(options, deployment, rig, found, f"hand-eye {mounting.value}", console)


def extrinsics(options: argparse.Namespace, console: Console) -> int:
    """Calibrate all fixed cameras together and write their mounts to the rig file."""
    deployment, rig = _load(options)
    fixed = [c for c in rig.cameras if c.mount.parent_frame == deployment.embodiment.arms[0].base_frame]
    specs = [rig.camera(name) for name in options.camera] if options.camera else fixed
    if wrong := [spec.name for spec in specs if spec.name not in {camera.name for camera in fixed}]:
        raise ConfigError(f"cameras {wrong} are not fixed to the base; calibrate them with `vla3d calibrate hand-eye`")
    target = _board(options)
    images = _posed_images(options, deployment, specs)
    samples = _detect(images, {spec.name: spec for spec in specs}, target, console)
    grouped = group_by_pose(images, samples, [spec.name for spec in specs])
    with console.status("adjusting all cameras together"):
        models = {spec.name: spec.model for spec in specs}
        result = calibrate_extrinsics(grouped, models, np.random.default_rng(options.seed))
    found = {}
    for name, camera in result.cameras.items():
        figures = ExtrinsicFigures(
            held_out=camera.held_out,
            sigma_m=camera.sigma_m,
            sigma_rad=camera.sigma_rad,
            views=camera.views,
            views_used=camera.views_used,
        )
        found[name] = (camera.T_base_camera, figures)
    console.print(f"board on the end effector: {result.T_ee_board}")
    return _finish(options, deployment, rig, found, "extrinsics, board on the end effector", console)


def _finish(
    options: argparse.Namespace,
    deployment: Deployment,
    rig: CameraRig,
    found: dict[str, tuple[Transform, ExtrinsicFigures]],
    method: str,
    console: Console,
) -> int:
    """Print, judge and write extrinsic results."""
    _print_extrinsics(rig, found, console)
    limits = _limits(options)
    judged = {name: extrinsic_problems(figures, limits) for name, (_, figures) in found.items()}
    named = [f"camera '{name}': {problem}" for name, problems in judged.items() for problem in problems]
    require_good("extrinsics", named, force=options.force or options.dry_run)
    mounts, figures_json = {}, {}
    for name, (T_parent_camera, figures) in found.items():
        record = extrinsic_record(
            figures,
            method=method,
            board=_board(options).text,
            robot=deployment.embodiment.name,
            today=_today(),
            forced=bool(judged[name]),
        )
        figures_json[name] = record.to_yaml() | {
            "position_m": T_parent_camera.translation.tolist(),
            "xyzw": T_parent_camera.xyzw.tolist(),
        }
        mounts[name] = (T_parent_camera, record)
    _write_json(options, figures_json)
    if not options.dry_run:
        write_extrinsics(deployment.rig_file, mounts, _out(options, deployment))
        console.print(f"written: {_out(options, deployment)}; now run `vla3d check rig`")
    return 0


def _load(options: argparse.Namespace) -> tuple[Deployment, CameraRig]:
    name = options.deployment or load_protocol("demo", config_dir()).deployment
    deployment = load_deployment(name, config_dir())
    return deployment, load_rig(deployment.rig_file)


def _board(options: argparse.Namespace) -> Board:
    return parse_board(options.board or DEFAULT_BOARD)


def _limits(options: argparse.Namespace) -> CalibrationLimits:
    given = {"intrinsics_px": getattr(options, "max_px", None), "extrinsics_mm": getattr(options, "max_mm", None)}
    return replace(CalibrationLimits(), **{key: value for key, value in given.items() if value is not None})


def _out(options: argparse.Namespace, deployment: Deployment) -> Path:
    chosen: Path | None = options.out
    return chosen or deployment.rig_file


def _today() -> Any:
    return datetime.now().astimezone().date()


def _is_bag(path: Path) -> bool:
    return path.suffix in _BAG_SUFFIXES or (path / "metadata.yaml").is_file()


def _mounting(deployment: Deployment, spec: CameraSpec) -> Mounting:
    parents = {arm.ee_frame: Mounting.EYE_IN_HAND for arm in deployment.embodiment.arms}
    parents |= {arm.base_frame: Mounting.EYE_TO_HAND for arm in deployment.embodiment.arms}
    parent = spec.mount.parent_frame
    if parent not in parents:
        raise ConfigError(f"camera '{spec.name}' is mounted on '{parent}'; expected one of {sorted(parents)}")
    return parents[parent]


def _posed_images(options: argparse.Namespace, deployment: Deployment, specs: list[CameraSpec]) -> list[PosedImage]:
    if _is_bag(options.data):
        return read_bag(options.data, deployment.embodiment, specs)
    return read_folder(options.data, specs[0].name if len(specs) == 1 else None)


def _detect(
    images: list[PosedImage], specs: dict[str, CameraSpec], target: Board, console: Console
) -> list[HandEyeSample | None]:
    """Find the board in every image of these cameras; None for the others and where it is not seen."""
    samples: list[HandEyeSample | None] = []
    for image in images:
        spec = specs.get(image.camera)
        samples.append(hand_eye_sample(image, target, spec.model) if spec else None)
    missed = [f"{i.camera}/{i.name}" for i, s in zip(images, samples, strict=True) if s is None]
    console.print(f"board found in {len(images) - len(missed)} of {len(images)} images")
    if missed:
        more = f" and {len(missed) - _MANY} more" if len(missed) > _MANY else ""
        console.print(f"  not in {', '.join(missed[:_MANY])}{more}")
    return samples


def _print_coverage(coverage: Coverage, console: Console) -> None:
    most = max(1, int(coverage.counts.max()))
    console.print(f"corners over the image ({100 * coverage.share:.0f} % of cells):")
    for row in coverage.counts:
        cells = (_SHADES[int(np.ceil((len(_SHADES) - 1) * count / most))] for count in row)
        console.print("  " + "".join(2 * cell for cell in cells))


def _print_extrinsics(rig: CameraRig, found: dict[str, tuple[Transform, ExtrinsicFigures]], console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("camera", "position in m", "xyzw", "views", "held-out", "one sigma", "from the rig file"):
        table.add_column(heading)
    for name, (T, figures) in found.items():
        moved_m, moved_rad = rig.camera(name).mount.T_parent_camera.distance_to(T)
        held_out = figures.held_out
        table.add_row(
            name,
            " ".join(f"{value:.4f}" for value in T.translation),
            " ".join(f"{value:.4f}" for value in T.xyzw),
            f"{figures.views_used} of {figures.views}",
            f"{held_out.rms:.2f} {held_out.unit}, {held_out.rms_mm:.2f} mm",
            f"{1e3 * figures.sigma_m:.2f} mm {np.degrees(figures.sigma_rad):.3f} deg",
            f"{1e3 * moved_m:.1f} mm {np.degrees(moved_rad):.2f} deg",
        )
    console.print(table)


def _write_json(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2, default=str) + "\n", encoding="utf-8")
