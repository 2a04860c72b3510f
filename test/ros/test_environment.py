"""What the user reads when ROS can not be imported."""

import sys
from pathlib import Path

import pytest

from vla3d_ros.errors import DependencyError
from vla3d_ros.ros import environment


def install_rclpy(folder: Path, tag: str) -> None:
    """Put an rclpy with compiled modules of another Python where imports look first."""
    package = folder / "rclpy"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('undefined symbol')\n")
    (package / f"_rclpy_pybind11.cpython-{tag}-x86_64-linux-gnu.so").write_bytes(b"")


@pytest.fixture
def without_rclpy(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rclpy"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_ros_sourced_for_another_python_is_named_with_both_versions(tmp_path, monkeypatch, without_rclpy):
    install_rclpy(tmp_path, "36m")
    monkeypatch.syspath_prepend(tmp_path)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(DependencyError) as refused:
        environment.require_rclpy()
    text = str(refused.value)
    assert "ROS sourced for another Python" in text
    assert "3.6" in text and running in text
    assert "make setup PYTHON=python3.6" in text


def test_no_ros_at_all_says_how_to_get_one(monkeypatch, without_rclpy):
    monkeypatch.setattr(environment.importlib, "import_module", _refuse)
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    with pytest.raises(DependencyError, match="run 'make setup', or source a ROS 2 installation"):
        environment.require_rclpy()


def test_what_the_user_set_stays(tmp_path):
    given = {"FASTDDS_DEFAULT_PROFILES_FILE": str(tmp_path / "mine.xml")}
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in environment.ros_environment(given)
    assert environment.ros_environment({})["FASTDDS_DEFAULT_PROFILES_FILE"].endswith("config/fastdds.xml")


def _refuse(name: str):
    raise ImportError(name)
