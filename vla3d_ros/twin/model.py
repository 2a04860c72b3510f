"""Build the physics model: the robot from its URDF, the scene around it, the cameras of the rig.

The URDF's convention holds here as well: a collision cylinder is the core of a capsule. The robot collides with the
world but not with itself; the safety gate answers for self-collisions, before a command gets here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment
from vla3d_ros.camera.rig import CameraRig, CameraSpec
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.twin.engine import import_mujoco
from vla3d_ros.twin.scene import SceneConfig
from vla3d_ros.twin.surroundings import Surroundings, add_surroundings

Float = NDArray[np.float64]

VISIBLE_GROUP = 1
COLLISION_GROUP = 3
CUBE_PREFIX = "cube_"
PAD_PREFIX = "pad_"

# Who touches whom: the robot touches the world, the world touches itself, the robot does not touch itself.
_ROBOT_TYPE, _ROBOT_AFFINITY = 2, 0
_WORLD_TYPE, _WORLD_AFFINITY = 1, 3

_KEEP_VISUALS = '<mujoco><compiler discardvisual="false" fusestatic="false"/></mujoco>'
_FINGER_STIFFNESS_N_M = 3000.0
_FINGER_DAMPING_NS_M = 60.0
_FINGER_ARMATURE_KG = 0.2  # the drive's reflected inertia: fingers of a few grams on a stiff servo are not real
_CONTACT_SOLREF = (0.005, 1.0)
_CONTACT_SOLIMP = (0.95, 0.99, 0.001, 0.5, 2.0)
_TWIST_FRICTION = 0.01
_ROLL_FRICTION = 0.0001
_PIXEL_TOLERANCE = 1e-6


def build_model(
    embodiment: Embodiment,
    rig: CameraRig,
    scene: SceneConfig,
    *,
    physics_hz: float,
    surroundings: Surroundings | None = None,
) -> Any:
    """Compile robot, scene and cameras.

    Args:
        embodiment: The robot; the root link of its URDF is the origin of the world.
        rig: Cameras; a mount's parent frame is a link of the URDF.
        scene: Table, cubes, pads.
        physics_hz: Physics steps per second.
        surroundings: Clutter, plates and light; None = nothing, in the usual light.

    Returns:
        A `mujoco.MjModel`; cubes are free bodies `cube_<colour>`, pads are mocap bodies `pad_<colour>`.

    Raises:
        ConfigError: If the URDF lacks a link or joint, or a camera's intrinsics can not be rendered.
        DependencyError: If MuJoCo is not installed.
    """
    spec = _robot_spec(embodiment)
    _set_options(spec, physics_hz)
    _prepare_links(spec)
    for arm in embodiment.arms:
        _prepare_gripper(spec, arm, scene.gripper.pad_friction)
    _add_light(spec)
    _add_table(spec, scene)
    _add_cubes(spec, scene)
    _add_pads(spec, scene)
    world = {"contype": _WORLD_TYPE, "conaffinity": _WORLD_AFFINITY, "group": VISIBLE_GROUP}
    add_surroundings(spec, surroundings or Surroundings(), scene, **world)
    _add_cameras(spec, rig)
    return spec.compile()


def _robot_spec(embodiment: Embodiment) -> Any:
    mujoco = import_mujoco()
    urdf = embodiment.urdf_path.read_text(encoding="utf-8")
    head, tag, tail = urdf.rpartition("</robot>")
    if not tag:
        raise ConfigError(f"{embodiment.urdf_path} has no closing </robot>; expected a URDF")
    spec = mujoco.MjSpec.from_string(f"{head}{_KEEP_VISUALS}{tag}{tail}")
    joints = {joint.name for joint in spec.joints}
    links = {body.name for body in spec.bodies}
    problems = []
    for arm in embodiment.arms:
        fingers = arm.gripper.finger_joints if arm.gripper else ()
        problems += [f"no joint '{name}'" for name in (*arm.joint_names, *fingers) if name not in joints]
        problems += [f"no link '{name}'" for name in (arm.base_frame, arm.ee_frame) if name not in links]
    if problems:
        available = f"available joints {sorted(joints)}, links {sorted(links)}"
        raise ConfigError(join_problems(f"{embodiment.urdf_path} ({available})", problems))
    return spec


def _set_options(spec: Any, physics_hz: float) -> None:
    mujoco = import_mujoco()
    spec.option.timestep = 1.0 / physics_hz
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # a diverged world must not restart in silence
    visual = spec.visual
    visual.quality.shadowsize = 0
    visual.quality.offsamples = 0
    visual.quality.numslices = 20
    visual.quality.numstacks = 10
    visual.headlight.active = 1
    visual.headlight.specular = [0.0, 0.0, 0.0]
    visual.map.znear = 0.01
    visual.map.zfar = 20.0
    spec.stat.extent = 1.0


def _prepare_links(spec: Any) -> None:
    mujoco = import_mujoco()
    for geom in spec.geoms:
        if not geom.contype:
            geom.group = VISIBLE_GROUP
            continue
        if geom.type == mujoco.mjtGeom.mjGEOM_CYLINDER:
            geom.type = mujoco.mjtGeom.mjGEOM_CAPSULE
        geom.group = COLLISION_GROUP
        geom.contype, geom.conaffinity = _ROBOT_TYPE, _ROBOT_AFFINITY


def _prepare_gripper(spec: Any, arm: ArmSpec, friction: float) -> None:
    """Give each finger a position servo, and its pads a grip."""
    mujoco = import_mujoco()
    if arm.gripper is None:
        return
    for name in arm.gripper.finger_joints:
        joint = spec.joint(name)
        joint.armature = _FINGER_ARMATURE_KG
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.gainprm[0] = _FINGER_STIFFNESS_N_M
        servo.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        servo.biasprm[1], servo.biasprm[2] = -_FINGER_STIFFNESS_N_M, -_FINGER_DAMPING_NS_M
        servo.forcelimited = True
        servo.forcerange = [-arm.gripper.max_effort_n, arm.gripper.max_effort_n]
        for geom in joint.parent.geoms:
            if geom.contype:
                _set_contact(geom, friction)


def _set_contact(geom: Any, friction: float) -> None:
    geom.condim = 4
    geom.friction = [friction, _TWIST_FRICTION, _ROLL_FRICTION]
    geom.solref = _CONTACT_SOLREF
    geom.solimp = _CONTACT_SOLIMP


def _add_light(spec: Any) -> None:
    mujoco = import_mujoco()
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.5, -1.0, 3.0],
        specular=[0.0, 0.0, 0.0],
        ambient=[0.0, 0.0, 0.0],
        castshadow=False,
    )


def _add_box(body: Any, name: str, size_m: Float, position_m: Any, colour: Float, **more: Any) -> Any:
    mujoco = import_mujoco()
    return body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=np.asarray(size_m) / 2,
        pos=position_m,
        rgba=[*colour, 1.0],
        contype=_WORLD_TYPE,
        conaffinity=_WORLD_AFFINITY,
        group=VISIBLE_GROUP,
        **more,
    )


def _add_table(spec: Any, scene: SceneConfig) -> None:
    mujoco = import_mujoco()
    table = scene.table
    top_center = [*table.center_m, table.top_z_m - table.size_m[2] / 2]
    _add_box(spec.worldbody, "table", table.size_m, top_center, table.colour)
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[10.0, 10.0, 0.1],
        pos=[0.0, 0.0, table.top_z_m - table.height_above_floor_m],
        rgba=[*table.floor_colour, 1.0],
        contype=_WORLD_TYPE,
        conaffinity=_WORLD_AFFINITY,
        group=VISIBLE_GROUP,
    )


def _add_cubes(spec: Any, scene: SceneConfig) -> None:
    cubes = scene.cubes
    for index, (colour, rgb) in enumerate(cubes.colours.items()):
        body = spec.worldbody.add_body(name=f"{CUBE_PREFIX}{colour}", pos=parking_m(scene, index))
        body.add_freejoint(name=f"{CUBE_PREFIX}{colour}")
        size_m = np.full(3, cubes.size_m)
        geom = _add_box(body, f"{CUBE_PREFIX}{colour}", size_m, [0.0, 0.0, 0.0], rgb, mass=cubes.mass_kg)
        _set_contact(geom, cubes.friction)


def _add_pads(spec: Any, scene: SceneConfig) -> None:
    for index, (colour, rgb) in enumerate(scene.pads.colours.items()):
        position_m = parking_m(scene, index) - np.array([0.0, 0.0, 1.0])
        body = spec.worldbody.add_body(name=f"{PAD_PREFIX}{colour}", pos=position_m, mocap=True)
        _add_box(body, f"{PAD_PREFIX}{colour}", scene.pads.size_m, [0.0, 0.0, 0.0], rgb)


def parking_m(scene: SceneConfig, index: int) -> Float:
    """Return where the index-th unused cube rests: on the floor, hidden by the table; (3,) metres."""
    table = scene.table
    x = table.center_m[0] + 0.1 * (index - 1)
    floor_z_m = table.top_z_m - table.height_above_floor_m
    return np.array([x, table.center_m[1], floor_z_m + scene.cubes.size_m / 2])


def _add_cameras(spec: Any, rig: CameraRig) -> None:
    problems = []
    for camera in rig.cameras:
        problem = _render_problem(camera.model)
        if problem:
            problems.append(f"camera '{camera.name}': {problem}")
        body = spec.body(camera.mount.parent_frame)
        if body is None:
            links = [link.name for link in spec.bodies if not link.name.startswith((CUBE_PREFIX, PAD_PREFIX))]
            problems.append(f"camera '{camera.name}': no frame '{camera.mount.parent_frame}'; available: {links}")
        elif not problem:
            _add_camera(body, camera)
    if problems:
        raise ConfigError(join_problems("camera rig", problems))
    visual = spec.visual.global_
    visual.offwidth = max(camera.model.width_px for camera in rig.cameras)
    visual.offheight = max(camera.model.height_px for camera in rig.cameras)


def _add_camera(body: Any, camera: CameraSpec) -> None:
    """Turn the optical frame (x right, y down, z forward) into MuJoCo's (x right, y up, looking along -z)."""
    mujoco = import_mujoco()
    T_parent_camera = camera.mount.T_parent_camera
    wxyz = np.zeros(4)
    mujoco.mju_mat2Quat(wxyz, (T_parent_camera.rotation @ np.diag([1.0, -1.0, -1.0])).ravel())
    fovy_rad = 2.0 * np.arctan2(camera.model.height_px, 2.0 * camera.model.K[1, 1])
    body.add_camera(name=camera.name, pos=T_parent_camera.translation, quat=wxyz, fovy=np.degrees(fovy_rad))


def _render_problem(model: CameraModel) -> str | None:
    K = model.K
    centre = np.array([(model.width_px - 1) / 2, (model.height_px - 1) / 2])
    if model.distortion.any():
        return f"'distortion' is {model.distortion.tolist()}; the renderer has an ideal lens, expected []"
    if abs(K[0, 0] - K[1, 1]) > _PIXEL_TOLERANCE or np.abs(K[:2, 2] - centre).max() > _PIXEL_TOLERANCE:
        expected = [K[0, 0], 0.0, centre[0], 0.0, K[0, 0], centre[1], 0.0, 0.0, 1.0]
        return f"'K' is {K.ravel().tolist()}; the renderer has square pixels and a centred axis, expected {expected}"
    return None
