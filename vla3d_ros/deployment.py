"""A deployment file becomes processes, nodes and parameters: the one source for `ros2 launch` and `vla3d up`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.errors import ConfigError, join_problems

_KEYS = {"description", "namespace", "robot", "rig", "use_sim_time", "processes", "nodes"}
_OPTIONAL_KEYS = {"hardware"}
_NAMESPACE = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
_FILE_KEYS = {"backend_config": "policies", "scene_file": "scenes", "teleop_file": "teleop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One operating-system process and the nodes that share its memory."""

    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Deployment:
    """What runs, where, with which parameters. `parameters` maps node name to parameter tree."""

    name: str
    description: str
    namespace: str
    use_sim_time: bool
    embodiment: Embodiment
    robot_file: Path
    rig_file: Path
    processes: tuple[ProcessSpec, ...]
    parameters: Mapping[str, Mapping[str, Any]]

    @property
    def node_names(self) -> tuple[str, ...]:
        """Fully qualified names, in the order in which they are brought up."""
        return tuple(f"/{self.namespace}/{node}" for process in self.processes for node in process.nodes)

    def parameter_file_text(self) -> str:
        """Return the ROS parameter file that every process of the deployment is started with."""
        tree = {
            f"/{self.namespace}/{node}": {"ros__parameters": {"use_sim_time": self.use_sim_time, **dict(parameters)}}
            for node, parameters in self.parameters.items()
        }
        return f"# deployment {self.name}\n{yaml.safe_dump(tree, sort_keys=False)}"

    def process_arguments(self, process: ProcessSpec, parameter_file: Path) -> list[str]:
        """Return the arguments of `vla3d_ros.ros.process` for one process."""
        remap = ["-r", f"__ns:=/{self.namespace}"]
        return [*process.nodes, "--ros-args", *remap, "--params-file", str(parameter_file)]

    def process_command(self, process: ProcessSpec, parameter_file: Path) -> list[str]:
        """Return the whole command line of one process."""
        return [sys.executable, "-m", "vla3d_ros.ros.process", *self.process_arguments(process, parameter_file)]


def list_deployments(config_dir: Path) -> list[str]:
    """Return the names of the deployments in `config/deployments`."""
    return sorted(file.stem for file in (config_dir / "deployments").glob("*.yaml"))


def load_deployment(
    name: str, config_dir: Path, overrides: Mapping[str, Mapping[str, Any]] | None = None, *, is_live: bool = False
) -> Deployment:
    """Read a deployment and everything it names, and complain about all of it at once.

    Args:
        name: Name in `config/deployments`, or the path of a YAML file.
        config_dir: The directory `config`.
        overrides: Node name to parameters that replace the file's.
        is_live: Let a deployment with `hardware: true` move its robot; otherwise it only shows what it would do.

    Raises:
        ConfigError: If the deployment is unknown, or it or a file it names is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir / "deployments" / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"unknown deployment '{name}': expected one of {list_deployments(config_dir)} or the path of a YAML file"
        )
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    problems = _check(content)
    if problems:
        raise ConfigError(join_problems(f"deployment {path}", problems))
    robot_file = config_dir / "robots" / f"{content['robot']}.yaml"
    rig_file = config_dir / "cameras" / f"{content['rig']}.yaml"
    embodiment = load_embodiment(robot_file)
    load_rig(rig_file)
    parameters = {node: dict(given or {}) for node, given in content["nodes"].items()}
    if content.get("hardware", False) and "adapter" in parameters:
        parameters["adapter"]["dry_run"] = not is_live
    for node, replaced in (overrides or {}).items():
        parameters.setdefault(node, {}).update(replaced)
    _complete(parameters, content, embodiment, robot_file, rig_file, config_dir)
    return Deployment(
        name=path.stem,
        description=content["description"],
        namespace=content["namespace"],
        use_sim_time=content["use_sim_time"],
        embodiment=embodiment,
        robot_file=robot_file,
        rig_file=rig_file,
        processes=tuple(ProcessSpec(name=p["name"], nodes=tuple(p["nodes"])) for p in content["processes"]),
        parameters=parameters,
    )


def _check(content: Any) -> list[str]:
    if not isinstance(content, dict):
        return [f"is {type(content).__name__}; expected a mapping with {sorted(_KEYS)}"]
    known = _KEYS | _OPTIONAL_KEYS
    problems = [f"unknown key '{key}': expected one of {sorted(known)}" for key in content if key not in known]
    problems += [f"missing key '{key}'" for key in sorted(_KEYS) if key not in content]
    if problems := problems or _shape_problems(content):
        return problems
    listed = [node for process in content["processes"] for node in process["nodes"]]
    problems += [f"node '{node}' is in two processes" for node in sorted({n for n in listed if listed.count(n) > 1})]
    problems += [f"node '{node}' has no section under 'nodes'" for node in listed if node not in content["nodes"]]
    problems += [f"node '{node}' is in no process" for node in content["nodes"] if node not in listed]
    if content.get("hardware", False) and "dry_run" in (content["nodes"].get("adapter") or {}):
        text = "leave it out: a deployment with hardware is a dry run until it is started with --live"
        problems.append(f"'dry_run' is set for node 'adapter'; {text}")
    return problems


def _shape_problems(content: Mapping[str, Any]) -> list[str]:
    """Say what is not even of the kind that the other checks read."""
    problems = []
    if not (isinstance(content["namespace"], str) and _NAMESPACE.fullmatch(content["namespace"])):
        text = "expected a ROS name without leading slash, such as 'station_1': two robots on one network need two"
        problems.append(f"'namespace' is {content['namespace']!r}; {text}")
    if not isinstance(content["nodes"], dict):
        problems.append("'nodes' must map every node to its parameters")
    processes = content["processes"] if isinstance(content["processes"], list) else [None]
    if not all(isinstance(entry, dict) and isinstance(entry.get("nodes"), list) for entry in processes):
        problems.append("'processes' must be a list of entries with 'name' and the list 'nodes'")
    return problems


def _complete(
    parameters: dict[str, dict[str, Any]],
    content: Mapping[str, Any],
    embodiment: Embodiment,
    robot_file: Path,
    rig_file: Path,
    config_dir: Path,
) -> None:
    """Fill in what follows from the robot and the rig, and turn names of files into paths."""
    for given in parameters.values():
        for key, folder in _FILE_KEYS.items():
            if key in given:
                given[key] = str((config_dir / folder / f"{given[key]}.yaml").resolve())
    robot, rig = str(robot_file.resolve()), str(rig_file.resolve())
    derived: dict[str, dict[str, Any]] = {
        "twin": {"robot_file": robot, "rig_file": rig},
        "camera": {"rig_file": rig},
        "adapter": {"robot_file": robot},
        "recorder": {"robot_file": robot, "rig_file": rig},
        "policy": policy_parameters(embodiment),
        "teleop": teleop_parameters(embodiment, robot, parameters.get("adapter", {})),
    }
    for node, values in derived.items():
        if node in parameters:
            parameters[node] = {**values, **parameters[node]}
    if "recorder" in parameters:
        session = {"deployment": {key: content[key] for key in ("description", "robot", "rig")}, "nodes": parameters}
        parameters["recorder"] = {**parameters["recorder"], "session_yaml": yaml.safe_dump(session, sort_keys=False)}


def policy_parameters(embodiment: Embodiment) -> dict[str, Any]:
    """Return all that a policy may know of a robot: names, frames, strokes."""
    arms = embodiment.arms
    return {
        "base_frame": arms[0].base_frame,
        "arm_names": [arm.name for arm in arms],
        "ee_frames": [arm.ee_frame for arm in arms],
        "gripper_strokes_m": [arm.gripper.stroke_m if arm.gripper else 1.0 for arm in arms],
        "joint_counts": [len(arm.joint_names) for arm in arms],
        "joint_names": [joint for arm in arms for joint in arm.joint_names],
    }


def teleop_parameters(embodiment: Embodiment, robot_file: str, adapter: Mapping[str, Any]) -> dict[str, Any]:
    """Return what teleoperation knows of a robot and its place: names, strokes, and the gate's workspace."""
    gate = (adapter.get("execution") or {}).get("gate") or {}
    bounds = {key: list(gate[key]) for key in ("workspace_lower_m", "workspace_upper_m") if key in gate}
    named = policy_parameters(embodiment)
    return {
        **{key: named[key] for key in ("base_frame", "arm_names", "gripper_strokes_m")},
        **bounds,
        "robot_file": robot_file,
    }
