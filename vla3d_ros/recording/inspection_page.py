"""An inspection as one self-contained page: findings, thumbnails, and when what came."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.inspection import Inspection
from vla3d_ros.recording.joint_survey import JointSurvey
from vla3d_ros.recording.svg import density_strip, joint_bars, line_chart
from vla3d_ros.recording.topic_survey import TopicSurvey
from vla3d_ros.recording.view_survey import ViewSurvey

_TEMPLATES = Path(__file__).parent / "templates"
_NS_PER_S = 1e9
_NS_PER_MS = 1e6
_MOST_POINTS = 500
_JPEG_QUALITY = 82


def write_page(seen: Inspection, path: Path) -> None:
    """Write the page.

    Args:
        seen: The inspection.
        path: The HTML file.

    Raises:
        RecordingError: If it can not be written.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    duration_s = seen.duration_ns / _NS_PER_S
    page = environment.get_template("inspection.html.j2").render(
        bag=seen.path.name,
        duration_s=duration_s,
        messages=sum(topic.count for topic in seen.topics),
        seen=seen,
        skew=f"{np.median(seen.skews_ms):.1f} ms" if len(seen.skews_ms) else "–",
        topics=[_topic(topic, seen) for topic in seen.topics],
        views=[_view(view) for view in seen.views],
        joints=[_joints(survey) for survey in seen.joints if survey.joints],
        charts=_charts(seen),
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"{path} can not be written: {error}; choose another place with --html") from error


def _topic(topic: TopicSurvey, seen: Inspection) -> dict[str, Any]:
    times_s = (topic.stamps_ns - seen.start_ns) / _NS_PER_S
    return {
        "name": topic.topic,
        "type": topic.msgtype.replace("/msg/", "/"),
        "count": topic.count,
        "rate": "–" if topic.rate_hz is None else f"{topic.rate_hz:.1f} Hz",
        "jitter": "–" if topic.jitter_ms is None else f"{topic.jitter_ms:.1f} ms",
        "gap": f"{topic.longest_gap_s:.2f} s" if topic.gaps else "–",
        "strip": Markup(density_strip(times_s, seen.duration_ns / _NS_PER_S)),
    }


def _view(view: ViewSurvey) -> dict[str, Any]:
    looks = view.looks
    return {
        "camera": view.camera,
        "size": f"{view.width_px} × {view.height_px} {view.encoding}",
        "images": [_data_uri(thumbnail) for thumbnail in view.thumbnails],
        "brightness": f"{np.mean([look.brightness for look in looks]):.0f}" if looks else "–",
        "sharpness": f"{np.median([look.sharpness for look in looks]):.0f}" if looks else "–",
        "still": f"{view.frozen_s:.1f} s" if view.frozen_s else "never",
    }


def _joints(survey: JointSurvey) -> dict[str, Any]:
    return {
        "topic": survey.topic,
        "idle": "–" if survey.idle_share is None else f"{survey.idle_share:.0%}",
        "bars": Markup(joint_bars(survey.joints)),
    }


def _charts(seen: Inspection) -> list[tuple[str, Markup]]:
    charts = []
    if len(seen.skews_ms):
        times_s = np.linspace(0.0, seen.duration_ns / _NS_PER_S, len(seen.skews_ms))
        charts.append(("Skew between cameras", line_chart([("skew", *_thin(times_s, seen.skews_ms))], "ms")))
    if seen.views:
        series = [
            (
                view.camera,
                (view.stamps_ns - seen.start_ns) / _NS_PER_S,
                np.array([look.sharpness for look in view.looks]),
            )
            for view in seen.views
        ]
        charts.append(("Sharpness (variance of the Laplacian)", line_chart(series, "")))
    steady = [topic for topic in seen.topics if topic.is_periodic and "Image" in topic.msgtype]
    if steady:
        series = [_intervals(topic, seen.start_ns) for topic in steady]
        charts.append(("Time between images", line_chart(series, "ms")))
    return [(title, Markup(drawing)) for title, drawing in charts]


def _intervals(topic: TopicSurvey, start_ns: int) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    times_s = (topic.stamps_ns[1:] - start_ns) / _NS_PER_S
    return (topic.topic, *_thin(times_s, np.diff(topic.stamps_ns) / _NS_PER_MS))


def _thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep at most 500 points, the largest value of each stretch."""
    if len(x) <= _MOST_POINTS:
        return x, y
    parts = [part for part in np.array_split(np.arange(len(x)), _MOST_POINTS) if len(part)]
    kept = np.array([part[int(np.argmax(y[part]))] for part in parts])
    return x[kept], y[kept]


def _data_uri(rgb: NDArray[np.uint8]) -> str:
    encoded = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
