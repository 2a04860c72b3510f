"""The page's words and numbers, from the facts: which state is shown how, what is stale, in which unit."""

from __future__ import annotations

import math
from typing import Any

from vla3d_ros.console.facts import ArmFacts, CameraFacts, Facts, NodeWord, Said

SILENT_S = 0.6
"""A stream that says nothing for longer is shown as silent: within a second, whatever else happens."""

_NODE_SILENT_S = 2.5  # nodes speak once a second
_POLICY_SILENT_S = 1.5
_UNCONFIRMED_S = 0.5
_STOP_SHOWN_S = 4.0
_SLOW_SHARE = 0.8
_NEAR_SHARE = 0.05
_REASON_S = 5.0

_ARMED_WORDS = {  # is armed, is a dry run -> mode, headline, sentence
    (False, False): ("disarmed", "DISARMED", "the arm holds its place"),
    (False, True): ("disarmed", "DISARMED · DRY RUN", "plans and verdicts only, armed or not: nothing will move"),
    (True, False): ("armed", "ARMED", "the arm may move"),
    (True, True): ("dry", "ARMED · DRY RUN", "plans and verdicts only: nothing moves"),
}


def page_state(facts: Facts) -> dict[str, Any]:
    """Return what the page shows, ready for JSON."""
    mode, headline, detail = robot_mode(facts)
    return {
        "deployment": facts.deployment,
        "mode": mode,
        "headline": headline,
        "detail": detail,
        "is_dry": facts.adapter.values.get("dry_run") == "true",
        "stop": stop_word(facts),
        "clock": _clock(facts),
        "cameras": [_camera(camera) for camera in facts.cameras],
        "arms": [_arm(arm) for arm in facts.arms],
        "policy": _policy(facts.policy),
        "verdicts": _verdicts(facts),
        "recorder": _recorder(facts.recorder),
        "nodes": [_node(node) for node in facts.nodes],
        "answers": [
            {"at": a.at, "request": a.request, "ok": a.is_granted, "text": a.text} for a in reversed(facts.answers)
        ],
        "instruction": facts.instruction,
        "has_twin": facts.has_twin,
        "scene": dict(facts.scene),
        "desk": facts.desk,
        "tabs": facts.tabs,
    }


def robot_mode(facts: Facts) -> tuple[str, str, str]:
    """Return (mode, headline, sentence).

    The mode is one of absent, silent, stopped, dry, armed, disarmed. Silence outranks everything that was latched
    before it: what is not heard is not known.
    """
    adapter = facts.adapter
    if not adapter.is_known:
        return "absent", "NO ADAPTER", "no adapter has been heard; nothing on this page reaches the arm"
    if facts.ee_silent_s > SILENT_S:
        last = adapter.values.get("stopped") or adapter.values.get("armed", "unknown")
        who = "the robot's joint states and the adapter are" if facts.joints_silent_s > SILENT_S else "the adapter is"
        return "silent", "SILENT", f"{who} silent for {_span(facts.ee_silent_s)}; before that: {last}"
    if reason := adapter.values.get("stopped"):
        return "stopped", "STOPPED", reason
    is_dry = adapter.values.get("dry_run") == "true"
    return _ARMED_WORDS[adapter.values.get("armed") == "armed", is_dry]


def stop_word(facts: Facts) -> dict[str, str]:
    """Return what to say below STOP: nothing, sent, confirmed, or that nobody confirmed it."""
    pressed_s = facts.stop_pressed_s
    if pressed_s is None:
        return {"kind": "", "text": ""}
    if facts.adapter.values.get("stopped") and facts.ee_silent_s <= SILENT_S:
        return {"kind": "ok", "text": "confirmed by the adapter"} if pressed_s < _STOP_SHOWN_S else _no_stop_word()
    if pressed_s < _UNCONFIRMED_S:
        return {"kind": "wait", "text": "sent"}
    if pressed_s < _STOP_SHOWN_S:
        return {"kind": "bad", "text": "NOT CONFIRMED: press the hardware button"}
    return _no_stop_word()


def _no_stop_word() -> dict[str, str]:
    return {"kind": "", "text": ""}


def _clock(facts: Facts) -> dict[str, Any]:
    kind = "simulated time" if facts.is_simulated else "ROS time"
    if math.isinf(facts.clock_silent_s):
        return {"text": f"no {kind} yet", "stale": True}
    if facts.clock_silent_s > SILENT_S:
        return {"text": f"{kind} stands still for {_span(facts.clock_silent_s)}", "stale": True}
    shown = f"{facts.ros_s:.1f} s" if facts.is_simulated else ""
    return {"text": f"{kind} {shown}".strip(), "stale": False}


def _camera(camera: CameraFacts) -> dict[str, Any]:
    shown = {"name": camera.name, "stale": camera.silent_s > SILENT_S, "size_px": list(camera.size_px)}
    if math.isinf(camera.silent_s):
        return {**shown, "badges": [["no image yet", "bad"]]}
    if camera.silent_s > SILENT_S:
        return {**shown, "badges": [[f"silent for {_span(camera.silent_s)}", "bad"]]}
    badges = []
    if camera.rate_hz is not None:
        is_slow = camera.rate_hz < _SLOW_SHARE * camera.expected_hz
        badges.append([f"{camera.rate_hz:.0f} Hz", "warn" if is_slow else ""])
    if camera.age_ms is not None:
        badges.append([f"age {camera.age_ms:.0f} ms", ""])
    if camera.skew_ms is not None:
        badges.append([f"skew {camera.skew_ms:.1f} ms", "warn" if camera.skew_ms > camera.max_skew_ms else ""])
    return {**shown, "badges": badges}


def _arm(arm: ArmFacts) -> dict[str, Any]:
    joints = []
    for index, name in enumerate(arm.joint_names):
        lower, upper = float(arm.q_lower[index]), float(arm.q_upper[index])
        known = None if arm.q is None else float(arm.q[index])
        share = None if known is None or math.isnan(known) else (known - lower) / (upper - lower)
        is_near = share is not None and not _NEAR_SHARE < share < 1.0 - _NEAR_SHARE
        text = "–" if share is None or known is None else f"{round(math.degrees(known), 1) + 0.0:.1f}°"
        joints.append({"name": name, "text": text, "share": share, "near": is_near})
    ee = arm.p_base_ee
    place = (
        "–"
        if ee is None
        else " ".join(f"{axis} {round(1e3 * float(v))}" for axis, v in zip("xyz", ee, strict=True)) + " mm"
    )
    opening = "–" if arm.opening_m is None else f"{1e3 * arm.opening_m:.0f} mm"
    return {"name": arm.name, "joints": joints, "ee": place, "gripper": opening}


def _policy(policy: Said) -> dict[str, Any]:
    if not policy.is_known:
        return {"text": "no chunk yet", "stale": True, "facts": []}
    is_stale = policy.silent_s > _POLICY_SILENT_S
    values = policy.values
    shown = [
        ["phase", values.get("phase", "")],
        ["latency", _with_unit(values.get("latency_ms"), "ms", 0)],
        ["compute", _with_unit(values.get("compute_ms"), "ms", 1)],
        ["view skew", _with_unit(values.get("skew_ms"), "ms", 1)],
        ["lost sets", values.get("lost_sets", "")],
    ]
    text = f"no chunk for {_span(policy.silent_s)}" if is_stale else "making chunks"
    return {"text": text, "stale": is_stale, "facts": [pair for pair in shown if pair[1]]}


def _verdicts(facts: Facts) -> dict[str, Any]:
    counts = " · ".join(
        f"{facts.verdicts[kind]} {kind}" for kind in ("allow", "clamp", "stop") if kind in facts.verdicts
    )
    plain = {"dropped_steps", "stamp_ns"}
    reasons = [
        f"{check}: {text}"
        for check, text in facts.verdict.values.items()
        if check not in plain and "_executed_" not in check and facts.verdict.silent_s < _REASON_S
    ]
    return {"counts": counts or "none yet", "last": facts.verdict.message, "reasons": reasons}


def _recorder(recorder: Said) -> dict[str, Any]:
    if not recorder.is_known:
        return {"state": "absent", "text": "no recorder heard", "facts": [], "problems": []}
    if recorder.silent_s > _NODE_SILENT_S:
        return {"state": "silent", "text": f"silent for {_span(recorder.silent_s)}", "facts": [], "problems": []}
    values = recorder.values
    problems = [line for line in values.get("problems", "").splitlines() if line]
    if values.get("failure"):
        problems.insert(0, values["failure"])
    free = [["disk free", _gigabytes(values.get("free_mb"))]]
    if not values.get("path"):
        return {"state": "ready", "text": recorder.message or "ready", "facts": free, "problems": problems}
    shown = [
        ["messages", values.get("messages", "")],
        ["dropped", values.get("dropped", "")],
        ["queue", f"{100 * _number(values.get('queue')):.0f} %"],
        ["not yet on disk", _with_unit(values.get("at_risk_s"), "s", 1)],
        *free,
    ]
    name = values["path"].rstrip("/").rpartition("/")[2]
    text = f"{_number(values.get('seconds')):.0f} s · {name}"
    return {"state": "recording", "text": text, "facts": [pair for pair in shown if pair[1]], "problems": problems}


def _node(node: NodeWord) -> dict[str, Any]:
    if node.silent_s > _NODE_SILENT_S:
        return {"name": node.name, "level": "silent", "message": f"silent for {_span(node.silent_s)}", "values": []}
    values = [[_words(key), value] for key, value in node.values.items() if value != ""]
    return {"name": node.name, "level": node.level, "message": node.message, "values": values}


def _words(key: str) -> str:
    """Return a key as words with its unit: `tick_p99_ms` becomes "tick p99 / ms"."""
    for unit in ("ms", "s", "hz", "mb"):
        if key.endswith(f"_{unit}"):
            shown = {"hz": "Hz", "mb": "MB"}.get(unit, unit)
            return f"{key.removesuffix(f'_{unit}').replace('_', ' ')} / {shown}"
    return key.replace("_", " ")


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def _number(text: str | None) -> float:
    try:
        return float(text or 0.0)
    except ValueError:
        return 0.0


def _with_unit(text: str | None, unit: str, digits: int) -> str:
    return f"{_number(text):.{digits}f} {unit}" if text else ""


def _gigabytes(megabytes: str | None) -> str:
    return f"{_number(megabytes) / 1e3:.1f} GB" if megabytes else ""
