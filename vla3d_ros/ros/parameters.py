"""Node parameters as one frozen dataclass per node.

A field's metadata may carry `description` and `unit`; a field without a default is required. Nested dataclasses
become dotted names, as in a ROS parameter file.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, TypeVar, Union

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla3d_ros.errors import ConfigError, join_problems

Parameters = TypeVar("Parameters")

_ROS_TYPES: dict[Any, Parameter.Type] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    tuple[str, ...]: Parameter.Type.STRING_ARRAY,
    tuple[float, ...]: Parameter.Type.DOUBLE_ARRAY,
    tuple[int, ...]: Parameter.Type.INTEGER_ARRAY,
}


def parameter(description: str, *, unit: str = "", live: bool = False, default: Any = dataclasses.MISSING) -> Any:
    """Declare a dataclass field that is a ROS parameter.

    Args:
        description: One sentence for `ros2 param describe`.
        unit: Physical unit, empty for none.
        live: Whether it may change while the node runs.
        default: Only where one value is right for every robot.
    """
    metadata = {"description": description, "unit": unit, "live": live}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def declare(node: Node, kind: type[Parameters]) -> Parameters:
    """Declare all parameters of a dataclass on a node and return the filled instance.

    Raises:
        ConfigError: If required parameters are missing or have the wrong type; all are listed.
    """
    problems: list[str] = []
    values = dict(_declare_fields(node, kind, "", problems))
    if problems:
        raise ConfigError(join_problems(f"parameters of node '{node.get_fully_qualified_name()}'", problems))
    return typing.cast(Parameters, _build(kind, "", values))


def live_value(node: Node, name: str) -> Any:
    """Read a live parameter's present value."""
    return node.get_parameter(name).value


def _declare_fields(node: Node, kind: Any, prefix: str, problems: list[str]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = f"{prefix}{field.name}"
        annotation = _without_none(hints[field.name])
        if dataclasses.is_dataclass(annotation):
            yield from _declare_fields(node, annotation, f"{name}.", problems)
            continue
        try:
            yield name, _declare_one(node, name, annotation, field)
        except Exception as error:  # rclpy raises a family without a common base
            problems.append(f"'{name}': {error}")


def _declare_one(node: Node, name: str, annotation: Any, field: dataclasses.Field[Any]) -> Any:
    ros_type = _ROS_TYPES[annotation]
    unit = field.metadata.get("unit", "")
    descriptor = ParameterDescriptor(
        description=field.metadata.get("description", "") + (f" [{unit}]" if unit else ""),
        read_only=not field.metadata.get("live", False),
    )
    has_default = field.default not in (dataclasses.MISSING, None, ())  # of an empty list, no type can be told
    if has_default:
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        return node.declare_parameter(name, Parameter(name, ros_type, default).value, descriptor).value
    declared = node.declare_parameter(name, ros_type, descriptor)
    if declared.type_ is Parameter.Type.NOT_SET:
        if field.default in (None, ()):
            return field.default
        raise ConfigError(f"is missing; expected {ros_type.name.lower()}, set it in the deployment file")
    return declared.value


def _build(kind: Any, prefix: str, values: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        annotation = _without_none(hints[field.name])
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(annotation):
            arguments[field.name] = _build(annotation, f"{name}.", values)
        else:
            value = values[name]
            is_array = typing.get_origin(annotation) is tuple
            arguments[field.name] = tuple(value) if is_array and value is not None else value
    return kind(**arguments)


def _without_none(annotation: Any) -> Any:
    """Return T for `T | None`, else the annotation itself."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else annotation
    return annotation
