"""Which code has a say in a trial: the modules that are imported, followed from the batch trial on.

Comments, docstrings and layout have no say; pages, figures and nodes are not among the modules.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = "vla3d_ros"
LIBRARIES = ("mujoco", "numpy", "onnxruntime", "opencv-python-headless", "pin", "ruckig", "scipy")

_NAMED = re.compile(rf"^({PACKAGE}(?:\.\w+)+)(?::\w+)?$")
_DIGITS = 16


def code_digests(package_dir: Path, roots: Sequence[str]) -> dict[str, str]:
    """Return a digest of every module that is reached from some modules.

    Followed are imports anywhere in a module, and texts that name one: `vla3d_ros.policy.learned:LearnedPolicy`.

    Args:
        package_dir: Folder of the package.
        roots: Names of modules, e.g. `vla3d_ros.evaluation.batch`.

    Returns:
        16 hexadecimal digits by path below the package's folder, sorted.
    """
    waiting, found = list(roots), dict[str, str]()
    seen = set(waiting)
    while waiting:
        path = _path(package_dir, waiting.pop())
        if path is None or path.name == "node.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[path.relative_to(package_dir).as_posix()] = _digest(tree)
        for name in _names(tree):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return dict(sorted(found.items()))


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that have a say, "" for those not installed."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _path(package_dir: Path, name: str) -> Path | None:
    below = package_dir.joinpath(*name.split(".")[1:])
    return next((path for path in (below.with_suffix(".py"), below / "__init__.py") if path.is_file()), None)


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield what may be modules: a name imported from a package may be one, or something in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{PACKAGE}."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = _NAMED.match(node.value)
            if named:
                yield named[1]


def _digest(tree: ast.Module) -> str:
    """Digest a module's syntax without its docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and body:
            node.body = [entry for entry in node.body if not _is_text(entry)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:_DIGITS]


def _is_text(entry: ast.AST) -> bool:
    is_constant = isinstance(entry, ast.Expr) and isinstance(entry.value, ast.Constant)
    return is_constant and isinstance(entry.value.value, str)  # type: ignore[attr-defined]
