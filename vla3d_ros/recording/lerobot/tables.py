"""Parquet files that Hugging Face `datasets` and pandas read as lerobot wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import DependencyError
from vla3d_ros.recording.lerobot.features import IMAGE, VIDEO, Feature

_MB = 1_000_000


def import_parquet() -> tuple[Any, Any]:
    """Return the modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        DependencyError: Says what to install.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise DependencyError("datasets need pyarrow: pip install 'vla3d_ros[lerobot]'") from error
    return pyarrow, pyarrow.parquet


def frame_table(columns: Mapping[str, Any], features: Mapping[str, Feature]) -> Any:
    """Return the arrow table of an episode's frames.

    Args:
        columns: (N, D) or (N,) numbers by feature, or N encoded images as bytes; features in a video are not here.
        features: All features.

    Returns:
        A `pyarrow.Table`: vectors as fixed-size lists, images as {bytes, path}, described for `datasets`.
    """
    pa, _ = import_parquet()
    stored = {name: feature for name, feature in features.items() if feature.dtype != VIDEO}
    arrays = [_array(pa, columns[name], feature) for name, feature in stored.items()]
    described = {"info": {"features": {name: _described(feature) for name, feature in stored.items()}}}
    fields = [pa.field(name, array.type) for name, array in zip(stored, arrays, strict=True)]
    schema = pa.schema(fields, metadata={"huggingface": json.dumps(described)})
    return pa.Table.from_arrays(arrays, schema=schema)


def task_table(tasks: Sequence[str]) -> Any:
    """Return the arrow table of the tasks, with the sentence as pandas' index."""
    pa, _ = import_parquet()
    index = {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {"name": "task_index", "pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [number | {"field_name": "task_index"}, index],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    schema = pa.schema([("task_index", pa.int64()), ("task", pa.string())], metadata={"pandas": json.dumps(pandas)})
    return pa.Table.from_pydict({"task_index": list(range(len(tasks))), "task": list(tasks)}, schema=schema)


def write_table(table: Any, path: Path) -> None:
    """Write one file; its folder is made."""
    _, pq = import_parquet()
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="snappy")


class RollingTable:
    """Many episodes in one file, until it is large enough for the next one."""

    def __init__(self, root: Path, pattern: str, limit_mb: float, files_per_chunk: int) -> None:
        """Prepare.

        Args:
            root: Folder of the dataset.
            pattern: Path below it, with `chunk_index` and `file_index`.
            limit_mb: A file that has more gets no further episode.
            files_per_chunk: Files in one folder.
        """
        self._root, self._pattern, self._limit_mb = root, pattern, limit_mb
        self._place = Place(files_per_chunk)
        self._writer: Any = None
        self._size_mb = 0.0

    def place_of(self, table: Any) -> tuple[int, int]:
        """Return the indices of chunk and file where a table belongs: a file that would get too large is finished."""
        if self._writer is not None and self._size_mb + table.nbytes / _MB > self._limit_mb:
            self.close()
            self._place.advance()
        return self._place.chunk, self._place.file

    def write(self, table: Any) -> tuple[int, int]:
        """Append a table as one row group; return the indices of chunk and file where it is."""
        _, pq = import_parquet()
        chunk, file = self.place_of(table)
        if self._writer is None:
            path = self._root / self._pattern.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer, self._size_mb = pq.ParquetWriter(path, table.schema, compression="snappy"), 0.0
        self._writer.write_table(table)
        self._size_mb += table.nbytes / _MB
        return chunk, file

    def close(self) -> None:
        """Finish the file; without it there is no footer."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Place:
    """Counts files, and folders of files."""

    def __init__(self, files_per_chunk: int) -> None:
        """Start with the first file of the first folder."""
        self._files_per_chunk = files_per_chunk
        self.chunk = self.file = 0

    def advance(self) -> None:
        """Go to the next file."""
        self.file += 1
        if self.file == self._files_per_chunk:
            self.chunk, self.file = self.chunk + 1, 0


def _array(pa: Any, values: Any, feature: Feature) -> Any:
    if feature.dtype == IMAGE:
        pictures = [{"bytes": data, "path": None} for data in values]
        return pa.array(pictures, type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    kind = pa.from_numpy_dtype(np.dtype(feature.dtype))
    flat: NDArray[Any] = np.ascontiguousarray(values, dtype=feature.dtype).reshape(-1)
    array = pa.array(flat, type=kind)
    return array if feature.shape == (1,) else pa.FixedSizeListArray.from_arrays(array, feature.shape[0])


def _described(feature: Feature) -> dict[str, Any]:
    if feature.dtype == IMAGE:
        return {"_type": "Image"}
    value = {"dtype": feature.dtype, "_type": "Value"}
    return value if feature.shape == (1,) else {"feature": value, "length": feature.shape[0], "_type": "Sequence"}
