#!/usr/bin/env bash
# Generate the interface packages under interfaces/ into a virtual environment that holds ROS 2 wheels.
# Usage: scripts/build_interfaces.sh VENV
set -euo pipefail

venv=$(cd "$1" && pwd)
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../interfaces" && pwd)
python="$venv/bin/python"
build_dir="$venv/build/interfaces"

# The wheels' cmake files name the Python of the machine that built them; point them at this one.
relocate() {
    local include numpy_include
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    numpy_include=$("$python" -c 'import numpy; print(numpy.get_include())')
    { grep -rlE --include='*.cmake' '/opt/python/' "$venv/share" || true; } | xargs -r sed -i -E \
        -e "s#/opt/python/[^;\"]*/site-packages/numpy/_?core/include#$numpy_include#g" \
        -e "s#/opt/python/[^;\"]*/include/python3\.[0-9]+#$include#g"
}

build() {
    local package=$1
    cmake -S "$source_dir/$package" -B "$build_dir/$package" -G Ninja --log-level=WARNING \
        -DCMAKE_INSTALL_PREFIX="$venv" -DCMAKE_PREFIX_PATH="$venv" -DCMAKE_INSTALL_MESSAGE=NEVER \
        -DCMAKE_BUILD_TYPE=None -DBUILD_TESTING=OFF \
        -DPython3_EXECUTABLE="$python" -DPYTHON_EXECUTABLE="$python" &&
    cmake --build "$build_dir/$package" --target install -- --quiet
}

export PATH="$venv/bin:$PATH" AMENT_PREFIX_PATH="$venv" LD_LIBRARY_PATH="$venv/lib" VIRTUAL_ENV="$venv"
relocate
for package in tf2_msgs control_msgs; do
    log="$build_dir/$package.log"
    mkdir -p "$build_dir"
    build "$package" >"$log" 2>&1 || {
        echo "error: could not generate $package; the end of $log:" >&2
        tail -n 30 "$log" >&2
        exit 1
    }
done
