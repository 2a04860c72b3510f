"""Which policy is meant by a word on the command line of `vla3d replay`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.backend import PolicyBackend
from vla3d_ros.policy.loading import load_backend, read_settings
from vla3d_ros.replay.fingerprint import policy_fingerprint
from vla3d_ros.resources import config_dir, share_dir

_PACKAGE = "package"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChosenPolicy:
    """A settings file, and the package folder that takes the place of the one it names, if any."""

    settings_file: Path
    package: Path | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return self.settings_file.stem if self.package is None else str(self.package)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in force."""
        settings = dict(_mapping(self.settings_file))
        return settings if self.package is None else {**settings, _PACKAGE: str(self.package)}

    def open(self) -> PolicyBackend:
        """Load it.

        Raises:
            ConfigError: If the settings are wrong or do not say of what kind the policy is.
            PackageError: If the package is not what it claims.
        """
        kind = self.settings.get("backend")
        if not isinstance(kind, str):
            raise ConfigError(f"policy settings {self.settings_file} have no key 'backend': the kind of policy")
        if self.package is None:
            return load_backend(kind, str(self.settings_file))
        from vla3d_ros.policy.learned import LearnedPolicy  # brings an inference engine along

        return LearnedPolicy.from_config(self.settings)

    def fingerprint(self) -> dict[str, str]:
        """Return a hash for every section of its settings and every file of its package."""
        settings = self.settings
        folder = None
        if settings.get("backend") == _PACKAGE:
            named = share_dir() / "models" / str(settings.get(_PACKAGE))
            folder = named if named.is_dir() else Path(str(settings.get(_PACKAGE)))
            settings.pop(_PACKAGE)
        return policy_fingerprint(settings, folder)


def choose_policy(text: str) -> ChosenPolicy:
    """Return the policy that is meant.

    Args:
        text: A settings file or its name in `config/policies`; or a package's folder or its name in `models`, for
            which the settings are those in `config/policies` that name it by its folder or by the name in its
            manifest, or the only ones for packages.

    Raises:
        ConfigError: If there is none; lists names.
    """
    path = Path(text).expanduser()
    for file in (path, config_dir() / "policies" / f"{text}.yaml"):
        if file.is_file():
            return ChosenPolicy(settings_file=file)
    for folder in (path, share_dir() / "models" / text):
        if folder.is_dir() and any(folder.iterdir()):
            return ChosenPolicy(settings_file=_settings_for(folder), package=folder)
    names = sorted(file.stem for file in (config_dir() / "policies").glob("*.yaml"))
    models = share_dir() / "models"
    packages = sorted(folder.name for folder in models.iterdir() if folder.is_dir()) if models.is_dir() else []
    raise ConfigError(
        f"no policy '{text}': expected the path of a package or of a settings file, one of the packages {packages}, "
        f"or one of the settings {names}"
    )


def _settings_for(folder: Path) -> Path:
    """The settings file that names a package, or else the only one for packages at all."""
    files = sorted((config_dir() / "policies").glob("*.yaml"))
    known = {file: _mapping(file) for file in files}
    for_packages = [file for file, settings in known.items() if settings.get("backend") == _PACKAGE]
    names = {folder.name, str(_manifest(folder).get("name"))}
    naming = [file for file in for_packages if Path(str(known[file].get(_PACKAGE))).name in names]
    if len(naming or for_packages) == 1 or naming:
        return (naming or for_packages)[0]
    raise ConfigError(
        f"package {folder} needs settings (which camera is which view, which arm): copy one of "
        f"{[file.stem for file in for_packages]} in config/policies, set 'package' in it, and give that file"
    )


def _mapping(file: Path) -> Mapping[str, Any]:
    settings = read_settings(file)
    if not isinstance(settings, Mapping):
        raise ConfigError(f"policy settings {file} are {settings!r}; expected a mapping")
    return settings


def _manifest(folder: Path) -> Mapping[str, Any]:
    file = folder / "manifest.yaml"
    return _mapping(file) if file.is_file() else {}
