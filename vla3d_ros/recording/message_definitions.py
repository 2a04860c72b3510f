"""Where the text of a message type comes from: a bag without it can not be read elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vla3d_ros.errors import RecordingError

_DEFAULT_STORE = Stores.ROS2_KILTED
_TYPE_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageType:
    """A message type as a bag stores it: name, concatenated ros2msg text and RIHS01 type hash."""

    name: str
    text: str
    rihs01: str


class MessageDefinitions:
    """Looks message types up, first among the standard ones of a ROS distribution, then in installed packages."""

    def __init__(self, *, distro: str = "", prefixes: Sequence[Path] = ()) -> None:
        """Choose the sources.

        Args:
            distro: ROS distribution, e.g. "jazzy"; an unknown one or "" means the newest this package knows.
            prefixes: Ament prefixes; `<prefix>/share/<package>/msg/*.msg` is read for types that are not standard.
        """
        stores = {store.name: store for store in Stores}
        self._store: Typestore = get_typestore(stores.get(f"ROS2_{distro.upper()}", _DEFAULT_STORE))
        self._prefixes = tuple(prefixes)
        self._found: dict[str, MessageType] = {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> MessageDefinitions:
        """Use the distribution and prefixes of a sourced ROS (`ROS_DISTRO`, `AMENT_PREFIX_PATH`)."""
        prefixes = [Path(entry) for entry in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
        return cls(distro=environment.get("ROS_DISTRO", ""), prefixes=prefixes)

    @property
    def typestore(self) -> Typestore:
        """The rosbags store behind this one, for building and reading messages without ROS."""
        return self._store

    def lookup(self, msgtype: str, topic: str) -> MessageType:
        """Return the definition of a message type.

        Args:
            msgtype: Full name, e.g. `sensor_msgs/msg/Image`.
            topic: Whose type it is, for the error.

        Raises:
            RecordingError: If the type is neither standard nor installed; names topic, type and places searched.
        """
        if msgtype not in self._found:
            self._found[msgtype] = self._read(msgtype, topic)
        return self._found[msgtype]

    def _read(self, msgtype: str, topic: str) -> MessageType:
        try:
            self._register(msgtype, topic)
            text, _ = self._store.generate_msgdef(msgtype, ros_version=2)
            return MessageType(name=msgtype, text=text, rihs01=self._store.hash_rihs01(msgtype))
        except (TypesysError, KeyError) as error:
            raise RecordingError(f"topic '{topic}': message type '{msgtype}' can not be described: {error}") from error

    def _register(self, msgtype: str, topic: str) -> None:
        """Make a type and everything it contains known to the store."""
        pending, types = [msgtype], {}
        while pending:
            name = pending.pop()
            if name in self._store.fielddefs or name in types:
                continue
            parsed: Typesdict = get_types_from_msg(self._installed_text(name, topic), name)
            types.update(parsed)
            pending += [used for _, fields in parsed.values() for used in _names_in(fields)]
        self._store.register(types)

    def _installed_text(self, msgtype: str, topic: str) -> str:
        parts = msgtype.split("/")
        if len(parts) == _TYPE_PARTS and parts[1] == "msg":
            for prefix in self._prefixes:
                path = prefix / "share" / parts[0] / "msg" / f"{parts[2]}.msg"
                if path.is_file():
                    return path.read_text(encoding="utf-8")
        searched = ", ".join(str(prefix / "share") for prefix in self._prefixes) or "no ament prefix is set"
        raise RecordingError(
            f"topic '{topic}': no definition of message type '{msgtype}'; expected a standard type or "
            f"share/{parts[0]}/msg/{parts[-1]}.msg in an ament prefix (searched: {searched}); "
            f"install and source the package '{parts[0]}', or exclude the topic from recording"
        )


def _names_in(fields: object) -> list[str]:
    """Message type names mentioned in parsed field definitions: any string with two slashes, however nested."""
    if isinstance(fields, str):
        return [fields] if fields.count("/") == _TYPE_PARTS - 1 else []
    if isinstance(fields, (tuple, list)):
        return [name for item in fields for name in _names_in(item)]
    return []
