"""The physics engine, imported on first use: the package must install and run without it."""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import sys
from functools import cache
from types import ModuleType

from vla3d_ros.errors import DependencyError

logger = logging.getLogger(__name__)

GL_PACKAGES = "libegl1 libgl1 libgl1-mesa-dri libosmesa6"
_GL_VARIABLE = "MUJOCO_GL"
_NO_GL = "disable"


@cache
def import_mujoco() -> ModuleType:
    """Import MuJoCo with the offscreen OpenGL this machine has: EGL, else OSMesa, else none (physics only).

    MuJoCo reads `MUJOCO_GL` once, while it is imported; a value set by the user is respected.

    Raises:
        DependencyError: If MuJoCo is not installed.
    """
    if not os.environ.get(_GL_VARIABLE) and "mujoco" not in sys.modules:
        os.environ[_GL_VARIABLE] = _available_gl() or _NO_GL
        logger.info("offscreen rendering through %s", os.environ[_GL_VARIABLE])
    try:
        mujoco: ModuleType = importlib.import_module("mujoco")
    except ModuleNotFoundError as error:
        raise DependencyError(
            "the twin needs MuJoCo, which is not installed; install it with: pip install 'vla3d_ros[twin]'"
        ) from error
    except Exception as error:
        raise DependencyError(
            f"MuJoCo can not be imported with {_GL_VARIABLE}={os.environ.get(_GL_VARIABLE)}: {error}; "
            f"unset {_GL_VARIABLE}, or install OpenGL with: apt-get install {GL_PACKAGES}"
        ) from error
    return mujoco


def require_gl() -> None:
    """Check that images can be rendered without a display.

    Raises:
        DependencyError: If there is no offscreen OpenGL; says what to install.
    """
    import_mujoco()
    chosen = os.environ.get(_GL_VARIABLE, "")
    if not chosen:
        raise DependencyError(
            f"MuJoCo was imported before the twin could choose how to render; set {_GL_VARIABLE}=egl or osmesa, "
            "or import MuJoCo only through vla3d_ros.twin.engine"
        )
    if chosen in ("egl", "osmesa", "glfw", "glx"):
        return
    raise DependencyError(
        f"no OpenGL library for offscreen rendering ({_GL_VARIABLE}={chosen}): neither EGL (libEGL.so.1 "
        f"with libGL.so.1) nor OSMesa (libOSMesa.so.8 or .6) can be loaded; "
        f"install one with: apt-get install {GL_PACKAGES}"
    )


def _available_gl() -> str | None:
    has_gl = _loads("libOpenGL.so.0") or _loads("libGL.so.1")
    if has_gl and _egl_devices() > 0:
        return "egl"
    if any(_loads(name) for name in ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")):
        return "osmesa"
    return None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _egl_devices() -> int:
    """Count what EGL can render on; a software rasteriser counts."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return 0
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return 0
    count = ctypes.c_int32(0)
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int32))(address)
    return count.value if query(0, None, ctypes.byref(count)) else 0
