"""`manifest.yaml` <-> `Manifest`: strict, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import yaml

from vla3d_ros.policy import manifest as m
from vla3d_ros.policy.engine import PRECISIONS
from vla3d_ros.policy.manifest_reader import MappingReader


def read_manifest(content: Any, problems: list[str]) -> m.Manifest:
    """Read a manifest's content; what is wrong is added to `problems`, and harmless values stand in for it."""
    top = MappingReader(content, "", problems)
    schema = top.text("schema")
    if schema and schema != m.SCHEMA:
        top.complain(f"unknown schema '{schema}'; this program reads '{m.SCHEMA}': export the package again")
        return _nothing()
    slots = top.texts("arm_slots")
    width = m.ACTION_WIDTH + (max_joints := top.whole("max_joints", 1))
    actions = _actions(top.section("actions"), len(slots))
    manifest = m.Manifest(
        name=top.text("name"),
        title=top.text("title"),
        is_trained=top.flag("is_trained"),
        route=top.text("route", (*m.ROUTES, m.CUSTOM_ROUTE)),
        config=top.mapping("config", {}),
        views=tuple(_view(reader) for reader in top.sections("views")),
        arm_slots=slots,
        max_joints=max_joints,
        embodiments=tuple(_embodiment(reader, len(slots), width) for reader in top.sections("embodiments")),
        actions=actions,
        text=_text(top.section("text")),
        uses_prompt=top.flag("uses_prompt", False),
        flow_steps=top.whole("flow_steps", 1),
        seed=_seed(top.section("seed")),
        rtc=_rtc(top.section("rtc"), actions.steps),
        tolerances={name: _tolerance(reader) for name, reader in top.named_sections("tolerances").items()},
        licence=top.text("licence"),
        provenance={str(key): str(value) for key, value in top.mapping("provenance", {}).items()},
        files=tuple(_file(path, reader) for path, reader in top.named_sections("files").items()),
        requires_prompt=top.flag("requires_prompt", False),
    )
    top.finish()
    problems += _contradictions(manifest)
    return manifest


def manifest_text(manifest: m.Manifest) -> str:
    """Return the manifest as YAML, the way `read_manifest` reads it."""
    content = {"schema": m.SCHEMA} | {name: getattr(manifest, name) for name in m.Manifest.__slots__}
    content |= {
        "config": dict(manifest.config),
        "views": [asdict(view) for view in manifest.views],
        "arm_slots": list(manifest.arm_slots),
        "embodiments": [_plain(asdict(spec)) for spec in manifest.embodiments],
        "actions": _plain(asdict(manifest.actions)),
        "text": asdict(manifest.text),
        "seed": asdict(manifest.seed),
        "rtc": asdict(manifest.rtc),
        "tolerances": {precision: asdict(tolerance) for precision, tolerance in manifest.tolerances.items()},
        "provenance": dict(manifest.provenance),
        "files": {entry.path: {"sha256": entry.sha256, "size": entry.size} for entry in manifest.files},
    }
    text: str = yaml.safe_dump(content, sort_keys=False, width=120, default_flow_style=None)
    return text


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return arrays and tuples as lists, numbers rounded as float32 has them."""
    plain = {}
    for key, value in values.items():
        if hasattr(value, "tolist"):
            plain[key] = [[float(f"{number:.7g}") for number in row] for row in value.tolist()]
        else:
            plain[key] = list(value) if isinstance(value, tuple) else value
    return plain


def _view(reader: MappingReader) -> m.ViewSpec:
    view = m.ViewSpec(
        name=reader.text("name"),
        width_px=reader.whole("width_px", 1),
        height_px=reader.whole("height_px", 1),
        fit=reader.text("fit", m.FITS),
        distortion=reader.text("distortion", m.DISTORTIONS),
        depth=reader.text("depth", m.DEPTHS),
        uses_intrinsics=reader.flag("uses_intrinsics"),
        uses_extrinsics=reader.flag("uses_extrinsics"),
        is_required=reader.flag("is_required"),
    )
    reader.finish()
    return view


def _embodiment(reader: MappingReader, slots: int, width: int) -> m.EmbodimentSpec:
    spec = m.EmbodimentSpec(
        name=reader.text("name"),
        index=reader.whole("index", 0),
        joints=tuple(int(count) for count in reader.array("joints", (slots,)).tolist()),
        state_mean=reader.array("state_mean", (slots, width)),
        state_std=reader.array("state_std", (slots, width), above=0.0),
    )
    reader.finish()
    return spec


def _actions(reader: MappingReader, slots: int) -> m.ActionSpec:
    actions = m.ActionSpec(
        steps=reader.whole("steps", 1),
        dt_ns=reader.whole("dt_ns", 1),
        mean=reader.array("mean", (slots, m.ACTION_WIDTH)),
        std=reader.array("std", (slots, m.ACTION_WIDTH), above=0.0),
        representation=reader.text("representation", (m.REPRESENTATION,)),
    )
    reader.finish()
    return actions


def _text(reader: MappingReader) -> m.TextSpec:
    spec = m.TextSpec(
        kind=reader.text("kind", m.TEXT_KINDS), buckets=reader.whole("buckets", 1), length=reader.whole("length", 1)
    )
    reader.finish()
    return spec


def _seed(reader: MappingReader) -> m.SeedSpec:
    spec = m.SeedSpec(policy=reader.text("policy", m.SEED_POLICIES), value=reader.whole("value", 0))
    reader.finish()
    return spec


def _rtc(reader: MappingReader, steps: int) -> m.RtcSpec:
    kind = reader.text("kind", m.RTC_KINDS)
    prefix = reader.whole("max_prefix_steps", 0, 0)
    spec = m.RtcSpec(kind=kind, beta=reader.number("beta", 0.0, 5.0), max_prefix_steps=prefix)
    reader.finish()
    if kind == "prefix" and not 1 <= prefix < steps:
        reader.complain(f"'max_prefix_steps' is {prefix}; expected 1 to {steps - 1} for a policy trained with prefixes")
    return spec


def _tolerance(reader: MappingReader) -> m.Tolerance:
    tolerance = m.Tolerance(**{name: reader.number(name, 0.0) for name in m.Tolerance.__slots__})
    reader.finish()
    return tolerance


def _file(path: str, reader: MappingReader) -> m.FileEntry:
    entry = m.FileEntry(path=path, sha256=reader.text("sha256"), size=reader.whole("size", 0))
    reader.finish()
    return entry


def _contradictions(manifest: m.Manifest) -> list[str]:
    """Return what is well-formed, and yet can not be."""
    problems = []
    for what, names in (
        ("views", [view.name for view in manifest.views]),
        ("arm_slots", list(manifest.arm_slots)),
        ("embodiments", [spec.name for spec in manifest.embodiments]),
        ("embodiments' indices", [str(spec.index) for spec in manifest.embodiments]),
    ):
        problems += [f"{what}: '{name}' is there twice" for name in _doubles(names)]
    sizes = sorted({(view.width_px, view.height_px) for view in manifest.views})
    if len(sizes) > 1:
        problems.append(f"views have sizes {sizes}; the graph takes one size for all")
    for spec in manifest.embodiments:
        if not any(spec.joints) or not all(0 <= count <= manifest.max_joints for count in spec.joints):
            most = manifest.max_joints
            problems.append(f"embodiment '{spec.name}' has joints {list(spec.joints)}; expected 0 to {most}, not all 0")
    unknown = sorted(set(manifest.tolerances) - set(PRECISIONS))
    if unknown or "fp32" not in manifest.tolerances:
        have = sorted(manifest.tolerances)
        problems.append(f"tolerances are for {have}; expected fp32, and of {list(PRECISIONS)} what else is supported")
    if manifest.requires_prompt and not manifest.uses_prompt:
        problems.append("'requires_prompt' is true and 'uses_prompt' is not; a policy that needs a prompt looks at it")
    if not manifest.is_trained and "untrained" not in manifest.title.lower():
        problems.append(f"title '{manifest.title}' of an untrained policy does not say 'untrained'")
    return problems


def _doubles(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _nothing() -> m.Manifest:
    """Return what stands in for a manifest of another schema, about which nothing more can be said."""
    empty: list[str] = []
    return read_manifest({"schema": m.SCHEMA}, empty)
