"""Makes a bag of what a killed recorder, a power cut or a lost metadata.yaml left behind, and says what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosbags.interfaces import Qos
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.bag_reader import BagReader
from vla3d_ros.recording.bag_writer import PROGRESS_FILE
from vla3d_ros.recording.image_packing import COMPRESSED_SUFFIX
from vla3d_ros.recording.mcap_scan import McapScan, ScannedMessage, ScannedTopic
from vla3d_ros.recording.mcap_sink import McapSink
from vla3d_ros.recording.message_definitions import MessageDefinitions, MessageType
from vla3d_ros.recording.qos import offered_qos
from vla3d_ros.recording.session_file import Session, read_session

_PARTIAL = ".partial"
_STORAGES = (".mcap", ".db3")
_IDL_MARK = "=" * 80
_UNKNOWN_HASH = "RIHS01_" + "0" * 64
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredTopic:
    """One topic: messages saved, where they end, and how many more the recorder had taken; None if it kept no count."""

    name: str
    messages: int
    end_ns: int
    lost: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What `recover` did.

    Attributes:
        path: The new bag.
        source: What it was made of; still there.
        topics: Every topic.
        start_ns: First stamp, ROS clock.
        end_ns: Last stamp.
        last_note_ns: Stamp of the newest message the recorder had taken when it last noted its progress; None if it
            did not.
        unreadable_bytes: Bytes that gave no message.
        damage: One sentence per damage.
    """

    path: Path
    source: Path
    topics: tuple[RecoveredTopic, ...]
    start_ns: int
    end_ns: int
    last_note_ns: int | None
    unreadable_bytes: int
    damage: tuple[str, ...]

    @property
    def messages(self) -> int:
        """Messages saved in all."""
        return sum(topic.messages for topic in self.topics)

    @property
    def missing_s(self) -> float | None:
        """Seconds at the end that the recorder had taken and that are gone; None if it kept no count."""
        if self.last_note_ns is None:
            return None
        return max(0.0, (self.last_note_ns - self.end_ns) / _NS_PER_S)


def recover(source: Path, out: Path | None = None) -> Recovery:
    """Write every message that can still be read into a new bag, with index, metadata and session.

    Args:
        source: A `.partial` folder, a bag folder with or without metadata, or a storage file. It is not changed.
        out: The new bag; by default the name without `.partial`, or with `_recovered`.

    Raises:
        RecordingError: If the source is whole or holds no message, or the new bag exists or can not be written.
    """
    files = _storage_files(source)
    _refuse_whole(source)
    out = out or _default_out(source)
    building = out.with_name(f"{out.name}.recovering")
    if taken := [str(path) for path in (out, building) if path.exists()]:
        raise RecordingError(f"{', '.join(taken)} exists already; move it away, or choose another name with --out")
    tally = _Tally()
    try:
        _copy(files, building / out.name, tally)
        if tally.counts:
            (building / out.name).rename(out)
    except OSError as error:
        raise RecordingError(f"{out} can not be written: {error}; choose another place with --out") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    if not tally.counts:
        raise RecordingError(f"{source}: not one message survived in {[file.name for file in files]}")
    recovery = _recovery(out, source, tally, _progress(source))
    _finish_session(files[0].parent, recovery)
    return recovery


def _copy(files: Sequence[Path], folder: Path, tally: _Tally) -> None:
    sink = McapSink(folder, is_compressed=True, custom_data={"recovered_from": ", ".join(file.name for file in files)})
    for file in files:
        for message in _messages(file, tally):
            tally.take(message, sink)
    sink.close()


@dataclass(slots=True)
class _Tally:
    """Counts messages on their way into the new bag."""

    counts: dict[str, int] = field(default_factory=dict)
    ends_ns: dict[str, int] = field(default_factory=dict)
    start_ns: int = 0
    unreadable_bytes: int = 0
    damage: list[str] = field(default_factory=list)
    _definitions: MessageDefinitions = field(default_factory=MessageDefinitions.from_environment)

    def take(self, message: ScannedMessage, sink: McapSink) -> None:
        name = message.topic.name
        if name not in self.counts:
            qos = message.topic.qos[0] if message.topic.qos else offered_qos()
            sink.add_topic(name, self._described(message.topic), qos)
        sink.write(name, message.stamp_ns, message.cdr)
        self.counts[name] = self.counts.get(name, 0) + 1
        self.ends_ns[name] = max(self.ends_ns.get(name, 0), message.stamp_ns)
        self.start_ns = min(self.start_ns or message.stamp_ns, message.stamp_ns)

    def _described(self, topic: ScannedTopic) -> MessageType:
        if not topic.definition:
            try:
                return self._definitions.lookup(topic.msgtype, topic.name)
            except RecordingError:
                self.damage.append(f"type '{topic.msgtype}' of {topic.name} is not described anywhere")
                return MessageType(name=topic.msgtype, text="", rihs01=_UNKNOWN_HASH)
        return MessageType(name=topic.msgtype, text=topic.definition, rihs01=_type_hash(topic))


def _messages(file: Path, tally: _Tally) -> Iterator[ScannedMessage]:
    if file.suffix == ".mcap":
        scan = McapScan(file)
        yield from scan.messages()
        tally.unreadable_bytes += scan.unreadable_bytes
        tally.damage += [f"{file.name}: {sentence}" for sentence in scan.damage]
        return
    with BagReader(file) as bag:
        topics = {c.topic: _topic_of(c.topic, c.msgtype, c.msgdef.data, c.ext) for c in bag.connections}
        for message in bag.messages():
            yield ScannedMessage(topics[message.topic], message.stamp_ns, message.cdr)


def _topic_of(topic: str, msgtype: str, definition: str, ext: Any) -> ScannedTopic:
    profiles: Sequence[Qos] = getattr(ext, "offered_qos_profiles", ())
    return ScannedTopic(name=topic, msgtype=msgtype, definition=definition, qos=tuple(profiles))


def _type_hash(topic: ScannedTopic) -> str:
    """The file does not carry it; it follows from the definition, where that can be understood."""
    store = get_typestore(Stores.EMPTY)
    try:
        if topic.definition.startswith(_IDL_MARK):
            for part in filter(str.strip, topic.definition.split(f"{_IDL_MARK}\n")):
                store.register(get_types_from_idl(part.split("\n", 1)[1] if part.startswith("IDL: ") else part))
        else:
            store.register(get_types_from_msg(topic.definition, topic.msgtype))
        return store.hash_rihs01(topic.msgtype)
    except Exception:  # definitions come from elsewhere, service events among them; the hash is only a convenience
        return _UNKNOWN_HASH


# ----------------------------------------------------------------------------------------------------- places


def _storage_files(source: Path) -> list[Path]:
    """List what to read, in the order of recording."""
    if source.is_file() and source.suffix in _STORAGES:
        return [source]
    if not source.is_dir():
        raise RecordingError(f"nothing to recover at {source}; expected a bag folder, a .mcap or a .db3 file")
    found = [path for path in source.rglob("*") if path.suffix in _STORAGES]
    if not found:
        raise RecordingError(f"{source} holds no .mcap and no .db3 file; nothing can be recovered")
    groups = {(path.parent, path.stem.rstrip("0123456789")) for path in found}
    if len(groups) > 1:
        names = sorted(str(path.relative_to(source)) for path in found)
        raise RecordingError(f"{source} holds several bags: {names}; name one of them")
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


def _refuse_whole(source: Path) -> None:
    if source.name.endswith(_PARTIAL):
        return
    try:
        with BagReader(source) as bag:
            for _ in bag.messages():
                pass
    except RecordingError:
        return
    raise RecordingError(f"bag {source} is whole: nothing to recover")


def _default_out(source: Path) -> Path:
    if source.name.endswith(_PARTIAL):
        return source.with_name(source.name.removesuffix(_PARTIAL))
    return source.with_name(f"{source.stem if source.is_file() else source.name}_recovered")


def _progress(source: Path) -> Mapping[str, Any]:
    try:
        content = json.loads((source / PROGRESS_FILE).read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


# ---------------------------------------------------------------------------------------------------- account


def _recovery(path: Path, source: Path, tally: _Tally, progress: Mapping[str, Any]) -> Recovery:
    received = progress.get("received", {})
    known = {name: received.get(name, received.get(name.removesuffix(COMPRESSED_SUFFIX))) for name in tally.counts}
    names = {*tally.counts, *(n for n in received if n not in known and n + COMPRESSED_SUFFIX not in known)}
    topics = [
        RecoveredTopic(
            name=name,
            messages=tally.counts.get(name, 0),
            end_ns=tally.ends_ns.get(name, 0),
            lost=_lost(known.get(name, received.get(name)), tally.counts.get(name, 0)),
        )
        for name in sorted(names)
    ]
    return Recovery(
        path=path,
        source=source,
        topics=tuple(topics),
        start_ns=tally.start_ns,
        end_ns=max(tally.ends_ns.values()),
        last_note_ns=progress.get("newest_ns"),
        unreadable_bytes=tally.unreadable_bytes,
        damage=tuple(tally.damage),
    )


def _lost(received: int | None, saved: int) -> int | None:
    return None if received is None else max(0, received - saved)


def _finish_session(folder: Path, recovery: Recovery) -> None:
    session = read_session(folder) or Session(episode=recovery.path.name)
    if session.outcome == "recording":
        session.outcome = "interrupted"
    session.result = {
        "ended_because": "the recorder ended early; recovered",
        "duration_s": round((recovery.end_ns - recovery.start_ns) / _NS_PER_S, 3),
        "messages": {topic.name: topic.messages for topic in recovery.topics},
        "lost_at_least": {topic.name: topic.lost for topic in recovery.topics if topic.lost},
    }
    session.write(recovery.path)
