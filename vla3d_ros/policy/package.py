"""A policy package: a folder any trainer can write and this program can judge before it runs anything of it.

`models/<name>/` holds `manifest.yaml`, `context.onnx`, `step.onnx`, `golden/*.npz`, `README.md` and optionally
`weights.safetensors`. Nothing of it is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from vla3d_ros.errors import PackageError, join_problems
from vla3d_ros.policy.engine import GraphFiles
from vla3d_ros.policy.golden import GoldenCase, golden_problems, read_golden, write_golden
from vla3d_ros.policy.manifest import Manifest
from vla3d_ros.policy.manifest_file import manifest_text, read_manifest
from vla3d_ros.policy.package_files import (
    CARD,
    CONTEXT,
    GOLDEN,
    MANIFEST,
    STEP,
    WEIGHTS,
    file_problems,
    list_files,
    sha256_of,
)
from vla3d_ros.policy.package_graphs import graph_problems

_LARGEST_MANIFEST = 4 << 20


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PolicyPackage:
    """A package that was found to be what it claims. `sha256` is the manifest's, which has those of all files."""

    folder: Path
    manifest: Manifest
    sha256: str

    @property
    def graphs(self) -> GraphFiles:
        """What an engine runs."""
        return GraphFiles(context=self.folder / CONTEXT, step=self.folder / STEP, sha256=self.sha256)

    @property
    def weights(self) -> Path | None:
        """The network's weights, where the package has them."""
        path = self.folder / WEIGHTS
        return path if path.is_file() else None

    def golden(self) -> tuple[GoldenCase, ...]:
        """Read the recorded observations and the chunks they must give."""
        return tuple(read_golden(path) for path in _golden_files(self.folder))


def find_package(name: str, models_dir: Path) -> Path:
    """Return the folder of a package.

    Args:
        name: Name of a folder in `models_dir`, or the path of any folder.
        models_dir: Where the shipped packages are.

    Raises:
        PackageError: If there is none.
    """
    named = models_dir / name
    for folder in (named, Path(name)):
        if (folder / MANIFEST).is_file():
            return folder
    raise PackageError(
        f"no policy package '{name}': expected one of {list_packages(models_dir)}, or the path of a folder "
        f"with a {MANIFEST}"
    )


def list_packages(models_dir: Path) -> list[str]:
    """Return the names of the packages in a folder."""
    return sorted(path.parent.name for path in models_dir.glob(f"*/{MANIFEST}"))


def load_package(folder: Path) -> PolicyPackage:
    """Read and judge a package: manifest, files and their checksums, graphs, golden observations.

    Raises:
        PackageError: Lists everything that is wrong.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise PackageError(f"{folder} is no policy package: it has no {MANIFEST}")
    if path.is_symlink() or path.stat().st_size > _LARGEST_MANIFEST:
        raise PackageError(f"{path} is a symbolic link or larger than {_LARGEST_MANIFEST} bytes; expected a small file")
    problems: list[str] = []
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackageError(f"{path} is not YAML: {error}") from error
    manifest = read_manifest(content, problems)
    is_readable = not problems
    if is_readable and manifest.name != folder.resolve().name:
        problems.append(f"name is '{manifest.name}'; the folder is '{folder.resolve().name}': rename one of them")
    if is_readable or manifest.files:
        problems += file_problems(folder, manifest.files)
    if is_readable:
        problems += graph_problems(folder, manifest)
        for file in _golden_files(folder):
            problems += golden_problems(file, manifest)
    if problems:
        raise PackageError(join_problems(f"policy package {folder}", problems))
    return PolicyPackage(folder=folder, manifest=manifest, sha256=sha256_of(path))


def write_package(folder: Path, manifest: Manifest, golden: Sequence[GoldenCase], card: str) -> PolicyPackage:
    """Complete a folder that has its graphs to a package, and load it back.

    Args:
        folder: Has `context.onnx`, `step.onnx`, and `weights.safetensors` if they shall travel along.
        manifest: Without files: they are listed here.
        golden: Observations and what they must give.
        card: Text of the model card, Markdown.

    Raises:
        PackageError: If the result is not a package that passes every check.
    """
    (folder / GOLDEN).mkdir(parents=True, exist_ok=True)
    for index, case in enumerate(golden):
        write_golden(folder / GOLDEN / f"{index:03d}.npz", case)
    (folder / CARD).write_text(card, encoding="utf-8")
    complete = replace(manifest, files=list_files(folder))
    (folder / MANIFEST).write_text(manifest_text(complete), encoding="utf-8")
    return load_package(folder)


def _golden_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / GOLDEN).glob("*.npz") if not path.is_symlink())
