"""The 3D view: robot, cameras with their images, plan, path, what the policy believes, and the bounds of the place."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.robot_shape import RobotShape
from vla3d_ros.console.solids import box_edges, link_meshes
from vla3d_ros.datatypes import CameraModel, Rgb, SpatialReport
from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]
_Handle = Any

_SHELL, _JOINT = (214, 220, 226), (128, 141, 154)
_PLANNED, _EXECUTED = (15, 118, 110), (123, 135, 148)
_WORKSPACE, _KEEP_OUT = (153, 205, 199), (180, 35, 24)
_CAMERA = (82, 96, 109)
_COMPLETION = (120, 170, 235)
_FRUSTUM_M = 0.075
_FOV_RAD = 0.75
_THUMBNAIL_PX = 160
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Place:
    """The bounds of a place in the robot's base frame, m: workspace corners (3,), keep-out boxes (B, 2, 3), table."""

    workspace_lower_m: Float
    workspace_upper_m: Float
    keep_out_m: Float
    table_z_m: float


class SceneView:
    """Serves the view on a port of this machine; whoever serves the page lets browsers through to it."""

    def __init__(self, base_frame: str, shapes: Sequence[RobotShape], place: Place) -> None:
        """Start serving on a free port.

        Args:
            base_frame: Link in which plans, paths, reports and the place are expressed.
            shapes: Of the robot, in its links.
            place: What the arm may do here.

        Raises:
            DependencyError: If viser is not installed.
        """
        try:
            import viser
        except ImportError as error:
            raise DependencyError("the console's 3D view needs viser: pip install 'viser>=1.0'") from error
        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # a tab that closes is no error
        self._server: Any = viser.ViserServer(host=_LOOPBACK, port=0, verbose=False)
        self._base_frame = base_frame
        self._scene = self._server.scene
        self._handles: dict[str, _Handle] = {}
        self._counts: dict[str, tuple[int, ...]] = {}
        self._set_stage(place)
        self._links = [mesh.link for mesh in link_meshes(shapes)]
        for number, mesh in enumerate(link_meshes(shapes)):
            colour = _SHELL if number % 2 == 0 else _JOINT
            self._handles[f"link/{mesh.link}"] = self._scene.add_mesh_simple(
                f"/robot/{mesh.link}", mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32), color=colour
            )

    @property
    def port(self) -> int:
        """Where it is served, on the loopback."""
        return int(self._server.get_port())

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()

    def _set_stage(self, place: Place) -> None:
        scene, gui = self._scene, self._server.gui
        gui.configure_theme(control_width="small", show_logo=False, show_share_button=False)
        scene.set_up_direction("+z")
        scene.world_axes.visible = False
        self._handles["base"] = scene.add_frame("/base", show_axes=False)
        middle = (place.workspace_lower_m + place.workspace_upper_m) / 2
        scene.add_grid(
            "/base/table", width=2.0, height=2.0, cell_size=0.1, section_size=0.5, cell_color=(238, 240, 243),
            section_color=(216, 222, 228), position=(float(middle[0]), 0.0, place.table_z_m), infinite_grid=False,
        )  # fmt: skip
        edges = box_edges(place.workspace_lower_m, place.workspace_upper_m)
        scene.add_line_segments(
            "/base/workspace", edges.astype(np.float32), colors=_WORKSPACE, thickness=1.2, thickness_units="screen"
        )
        for number, (lower, upper) in enumerate(place.keep_out_m):
            scene.add_box(
                f"/base/keep_out/{number}", color=_KEEP_OUT, dimensions=tuple(upper - lower), opacity=0.25,
                position=tuple((upper + lower) / 2),
            )  # fmt: skip
        size_m = float(np.linalg.norm(place.workspace_upper_m - place.workspace_lower_m))
        camera = self._server.initial_camera
        camera.fov = _FOV_RAD
        camera.look_at = tuple(middle - size_m * np.array([0.06, 0.0, 0.09]))
        camera.position = tuple(middle + size_m * np.array([0.86, -0.86, 0.5]))

    # ------------------------------------------------------------------------------------ what changes

    def show_robot(self, Ts_root_link: Mapping[str, Transform]) -> None:
        """Move the robot's links, poses in the root link."""
        with self._server.atomic():
            if self._base_frame in Ts_root_link:
                _move(self._handles["base"], Ts_root_link[self._base_frame])
            for link in self._links:
                if link in Ts_root_link:
                    _move(self._handles[f"link/{link}"], Ts_root_link[link])

    def show_camera(self, name: str, model: CameraModel, T_root_camera: Transform, rgb: Rgb | None) -> None:
        """Show where a camera is and, if there is one, its image (H, W, 3)."""
        key = f"camera/{name}"
        if key not in self._handles:
            fov = 2.0 * np.arctan2(model.height_px / 2.0, model.K[1, 1])
            self._handles[key] = self._scene.add_camera_frustum(
                f"/cameras/{name}", fov=float(fov), aspect=model.width_px / model.height_px, scale=_FRUSTUM_M,
                color=_CAMERA, thickness=1.5, thickness_units="screen", format="jpeg", jpeg_quality=70,
                cast_shadow=False,
            )  # fmt: skip
            self._scene.add_label(f"/cameras/{name}/name", name)
        _move(self._handles[key], T_root_camera)
        if rgb is not None:
            step = max(1, rgb.shape[1] // _THUMBNAIL_PX)
            self._handles[key].image = np.ascontiguousarray(rgb[::step, ::step])

    def show_plan(self, arm: str, points_base: Float) -> None:
        """Show the chunk in execution: (T, 3) m."""
        self._show_line(f"plan/{arm}", points_base, _PLANNED, 4.0)

    def show_path(self, arm: str, points_base: Float) -> None:
        """Show where the end effector has been: (T, 3) m."""
        self._show_line(f"path/{arm}", points_base, _EXECUTED, 2.0)

    def show_spatial(self, report: SpatialReport | None) -> None:
        """Show where the policy believes things are; None if it does not say."""
        empty = np.zeros((0, 3))
        points = report.instance_points_base if report else empty
        scores = report.instance_scores if report else np.zeros(0)
        colours = np.stack([255 * (1 - scores), 255 * scores, np.full_like(scores, 26)], axis=1).astype(np.uint8)
        self._show_points("instances", points, colours, 0.022)
        completion = report.completion_points_base if report else empty
        blue = np.tile(np.array(_COMPLETION, dtype=np.uint8), (len(completion), 1))
        self._show_points("completion", completion, blue, 0.008)

    def _show_line(self, name: str, points: Float, colour: tuple[int, int, int], width_px: float) -> None:
        if points.ndim != 2 or points.shape[1] != 3:
            raise ConfigError(f"line '{name}' has shape {points.shape}; expected (T, 3)")
        if len(points) < 2:
            self._remove(name)
            return
        segments = np.stack([points[:-1], points[1:]], axis=1).astype(np.float32)
        self._handles[name] = self._scene.add_line_segments(
            f"/base/{name}", segments, colors=colour, thickness=width_px, thickness_units="screen"
        )

    def _show_points(self, name: str, points: Float, colours: NDArray[np.uint8], size_m: float) -> None:
        if not len(points):
            self._remove(name)
            return
        self._handles[name] = self._scene.add_point_cloud(
            f"/base/{name}", points.astype(np.float32), colors=colours, point_size=size_m, point_shape="circle"
        )

    def _remove(self, name: str) -> None:
        if (handle := self._handles.pop(name, None)) is not None:
            handle.remove()


def _move(handle: _Handle, T_parent_thing: Transform) -> None:
    x, y, z, w = T_parent_thing.xyzw
    handle.wxyz = (w, x, y, z)
    handle.position = tuple(T_parent_thing.translation)
