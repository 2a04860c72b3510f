"""One h264 video with frames at exact multiples of 1/fps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import DependencyError, RecordingError

# Every second frame can be decoded by itself: trainers jump about in the file.
_OPTIONS = {"crf": "20", "preset": "veryfast", "g": "2", "bf": "0", "sc_threshold": "0"}


def import_av() -> Any:
    """Return the module `av`.

    Raises:
        DependencyError: Says what to install.
    """
    try:
        import av
    except ImportError as error:
        raise DependencyError("videos need PyAV: pip install 'vla3d_ros[lerobot]'") from error
    return av


class VideoFile:
    """Encodes RGB pictures. Use `close`, or the file is useless."""

    def __init__(self, path: Path, fps: int, height_px: int, width_px: int) -> None:
        """Open a new file; its folder is made.

        Raises:
            RecordingError: If it can not be written.
        """
        self.path, self.frames, self._fps = path, 0, fps
        self._av = import_av()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = self._av.open(str(path), "w", format="mp4")
            self._stream = self._container.add_stream("libx264", rate=fps, options=dict(_OPTIONS))
        except (OSError, ValueError) as error:
            raise RecordingError(f"video {path} can not be written: {error}") from error
        self._stream.height, self._stream.width = height_px, width_px
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, fps)

    def write(self, rgb: NDArray[np.uint8], count: int) -> None:
        """Append a picture (H, W, 3) as `count` frames.

        Raises:
            RecordingError: If it can not be written.
        """
        for _ in range(count):
            frame = self._av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = self.frames, Fraction(1, self._fps)
            self._mux(frame)
            self.frames += 1

    def close(self) -> None:
        """Finish the file.

        Raises:
            RecordingError: If it can not be written.
        """
        self._mux(None)
        self._container.close()

    @property
    def size_bytes(self) -> int:
        """Bytes on disk so far."""
        return self.path.stat().st_size

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            raise RecordingError(f"video {self.path} can not be written: {error}") from error
