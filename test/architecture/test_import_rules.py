"""The walls of the house. docs/architecture.md says why each of them stands where it stands."""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "vla3d_ros"
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))

ROOMS = {"camera", "policy", "adapter", "safety", "twin"}
APART = {"camera", "policy", "adapter", "safety"}
COMPOSED = {
    "execution",
    "execution_config",
    "execution_result",
    "execution_watch",
}  # adapter and safety in the only order in which they may be used
TAPS = {"recording", "replay", "evaluation", "console", "teleop", "training"}
ROS_WRAPPED = {"ros"}
TOP = {"deployment", "supervisor", "commands", "cli"}

LEVELS = [
    {"errors"},
    {"resources", "page_access", "geometry"},
    {"datatypes"},
    {"state_history"},
    ROOMS,
    COMPOSED,
    TAPS,
    ROS_WRAPPED,
    {"node"},
    TOP,
]
ROS_NAMES = {"rclpy", "tf2_ros", "launch", "launch_ros", "std_srvs", "builtin_interfaces", "rcl_interfaces"}

# Where an outside package may be imported: path prefixes below the package.
HOMES = {
    "onnxruntime": ["policy/backends/"],
    "tensorrt": ["policy/backends/"],
    "torch": ["policy/nets/", "policy/export.py", "training/"],
    "mujoco": ["twin/"],
    "pyrealsense2": ["camera/realsense.py"],
}


def relative(path: Path) -> str:
    return PurePosixPath(path.relative_to(ROOT / PACKAGE)).as_posix()


def room_of(path: Path) -> str:
    """Return the first part of a module's path; "node" for every node.py."""
    if path.name == "node.py":
        return "node"
    return Path(relative(path)).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every absolute module name a file imports, wherever in the file, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: relative import; name the room instead"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def room_imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield the room, the full name and the line of every import from this package."""
    for name, line in imports(path):
        parts = name.split(".")
        if parts[0] == PACKAGE and len(parts) > 1:
            yield ("node" if "node" in parts[2:3] else parts[1]), name, line


def level_of(room: str) -> int:
    found = [level for level, rooms in enumerate(LEVELS) if room in rooms]
    assert found, f"{PACKAGE}/{room} is not on the map: give it a level in test/architecture and docs/architecture.md"
    return found[0]


def modules_of(rooms: set[str]) -> list[Path]:
    return [path for path in MODULES if room_of(path) in rooms]


def test_every_module_is_on_the_map():
    assert MODULES
    for path in MODULES:
        if relative(path) != "__init__.py":
            level_of(room_of(path))


def test_imports_never_point_upward():
    offenders = [
        f"{relative(path)}:{line} imports {name}"
        for path in MODULES
        if relative(path) != "__init__.py"
        for room, name, line in room_imports(path)
        if room != "__version__" and level_of(room) > level_of(room_of(path))
    ]
    assert not offenders, "\n".join(offenders)


def test_rooms_exchange_datatypes_and_never_import_one_another():
    offenders = [
        f"{relative(path)}:{line} imports {name}"
        for path in modules_of(APART)
        for room, name, line in room_imports(path)
        if room in APART - {room_of(path)}
    ]
    assert not offenders, "\n".join(offenders)


def test_ros_is_known_only_in_the_ros_room_and_in_nodes():
    offenders = [
        f"{relative(path)}:{line} imports {name}"
        for path in MODULES
        if room_of(path) not in {"ros", "node"}
        for name, line in imports(path)
        if name.split(".")[0] in ROS_NAMES or name.split(".")[0].endswith("_msgs")
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("package", HOMES)
def test_outside_package_is_imported_only_in_its_home(package):
    offenders = [
        f"{relative(path)}:{line} imports {name}"
        for path in MODULES
        if not any(relative(path).startswith(home) for home in HOMES[package])
        for name, line in imports(path)
        if name.split(".")[0] == package
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("package", HOMES)
def test_outside_package_is_imported_lazily(package):
    offenders = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] == package
    ]
    assert not offenders, f"import {package} where it is used, with an error that says what to install: {offenders}"


def test_cores_read_no_clock():
    clocks = {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "datetime.datetime.now"}
    offenders = [
        f"{relative(path)}:{node.lineno}"
        for path in modules_of({"errors", "geometry", "datatypes", "policy", "adapter", "safety"} | COMPOSED)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks
    ]
    assert not offenders, f"take `now_ns` as an argument: {offenders}"
