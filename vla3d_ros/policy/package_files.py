"""What lies in a policy package's folder, and whether it is exactly what the manifest lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vla3d_ros.policy.manifest import FileEntry

MANIFEST = "manifest.yaml"
CONTEXT, STEP, CARD, WEIGHTS = "context.onnx", "step.onnx", "README.md", "weights.safetensors"
GOLDEN = "golden"
_REQUIRED = (CONTEXT, STEP, CARD)
_SUFFIXES = {".onnx", ".npz", ".safetensors", ".md", ".json", ".txt"}
_READ_BYTES = 1 << 20


def file_problems(folder: Path, entries: Sequence[FileEntry]) -> list[str]:
    """Return everything that is wrong with a package's files; reads all of them once.

    Args:
        folder: The package.
        entries: What its manifest lists.
    """
    problems = []
    listed = {entry.path for entry in entries}
    problems += [f"'{name}' is not listed under 'files'; a package has one" for name in _REQUIRED if name not in listed]
    if not any(PurePosixPath(path).parts[:1] == (GOLDEN,) for path in listed):
        problems.append(f"no golden observation: expected {GOLDEN}/*.npz, written by 'vla3d policy export'")
    for entry in entries:
        if problem := _entry_problem(folder, entry):
            problems.append(f"file '{entry.path}' {problem}")
    return problems + _unlisted(folder, listed)


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """Return an entry for every file of a folder but the manifest, sorted by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return tuple(
        FileEntry(path=path.relative_to(folder).as_posix(), sha256=sha256_of(path), size=path.stat().st_size)
        for path in paths
    )


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _entry_problem(folder: Path, entry: FileEntry) -> str:
    if problem := _path_problem(folder, entry.path):
        return problem
    path = folder / entry.path
    if not path.is_file():
        return "is missing; copy the whole package again"
    size = path.stat().st_size
    if size != entry.size:
        return f"has {size} bytes; the manifest says {entry.size}: copy it again, or export the package again"
    digest = sha256_of(path)
    if digest != entry.sha256:
        return f"has checksum {digest[:12]}...; the manifest says {entry.sha256[:12]}...: it is not the exported file"
    return ""


def _path_problem(folder: Path, text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or ":" in text or path.as_posix() != text:
        return "does not name a file inside the package; expected a relative path without '..'"
    if path.suffix not in _SUFFIXES:
        return f"has suffix '{path.suffix}'; a package holds {sorted(_SUFFIXES)} and nothing that is unpickled"
    parts = [folder.joinpath(*path.parts[: count + 1]) for count in range(len(path.parts))]
    if any(part.is_symlink() for part in parts):
        return "is, or lies behind, a symbolic link; a package holds its own files"
    return ""


def _unlisted(folder: Path, listed: set[str]) -> list[str]:
    found = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return [
        f"file '{path}' is in the folder, but not in the manifest; remove it, or export the package again"
        for path in found
        if path != MANIFEST and path not in listed
    ]
