"""One deserialized plan: its tensors, their addresses, and putting it into a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla3d_ros.errors import EngineError
from vla3d_ros.policy.backends.tensorrt_binding import TensorRtBinding

_DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Shape and type of an input or output; shapes are static."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_input: bool

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


class PlanSession:
    """A plan on the device. `bind` every tensor once, then `enqueue` as often as wanted."""

    def __init__(self, binding: TensorRtBinding, name: str, plan: bytes) -> None:
        """Deserialize.

        Args:
            binding: The TensorRT that built the plan.
            name: What to call it in messages, `context` or `step`.
            plan: The serialized engine.

        Raises:
            EngineError: If this TensorRT on this GPU does not take the plan, or a tensor has no static shape.
        """
        self.name = name
        self._binding = binding
        self._runtime = binding.module.Runtime(binding.logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(
                f"{binding.title} does not take the plan of '{name}': {binding.last_messages()}; a plan runs only with "
                "the TensorRT and the kind of GPU it was built for"
            )
        self.tensors: Mapping[str, TensorSpec] = self._read_tensors()
        self._execution = self._engine.create_execution_context()
        if self._execution is None:
            raise EngineError(f"{binding.title} can not run '{name}': {binding.last_messages()}; is the memory full?")

    def _read_tensors(self) -> dict[str, TensorSpec]:
        engine, tensors, problems = self._engine, {}, []
        for index in range(engine.num_io_tensors):
            tensor = engine.get_tensor_name(index)
            shape = tuple(int(size) for size in engine.get_tensor_shape(tensor))
            kind = str(engine.get_tensor_dtype(tensor)).rsplit(".", maxsplit=1)[-1]
            mode = engine.get_tensor_mode(tensor)
            if min(shape, default=0) < 0:
                problems.append(f"'{tensor}' has no static shape: {shape}")
            elif kind not in _DTYPES:
                problems.append(f"'{tensor}' is {kind}; expected one of {sorted(_DTYPES)}")
            else:
                is_input = mode == self._binding.module.TensorIOMode.INPUT
                tensors[tensor] = TensorSpec(shape=shape, dtype=_DTYPES[kind], is_input=is_input)
        if problems:
            raise EngineError(f"plan of '{self.name}': {'; '.join(problems)}")
        return tensors

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """Inputs by name."""
        return {name: spec for name, spec in self.tensors.items() if spec.is_input}

    @property
    def outputs(self) -> dict[str, TensorSpec]:
        """Outputs by name."""
        return {name: spec for name, spec in self.tensors.items() if not spec.is_input}

    def bind(self, tensor: str, address: int) -> None:
        """Say where a tensor lies on the device."""
        if not self._execution.set_tensor_address(tensor, address):
            raise EngineError(f"'{self.name}' does not take '{tensor}': {self._binding.last_messages()}")

    def enqueue(self, stream: Any) -> None:
        """Put one run into the stream.

        Raises:
            EngineError: If TensorRT refuses.
        """
        if not self._execution.execute_async_v3(int(stream)):
            raise EngineError(f"'{self.name}' does not run: {self._binding.last_messages()}")

    def close(self) -> None:
        """Release the plan, execution first."""
        self._execution = self._engine = self._runtime = None
