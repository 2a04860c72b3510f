"""Runs a package's graphs with ONNX Runtime, on the provider it was told to and on no other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import EngineError
from vla3d_ros.policy.backends.onnxruntime_session import (
    Session,
    device_of,
    import_onnxruntime,
    open_session,
    provider_title,
)
from vla3d_ros.policy.engine import (
    DISPLAY_OUTPUTS,
    EngineOutput,
    EngineSettings,
    Float32,
    GraphFiles,
    Guidance,
    flow_times,
)

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(int64)": np.int64,
}
_WARM_UPS = 2


class OnnxRuntimeEngine:
    """Both graphs with preallocated buffers that are bound once; the context's outputs never leave the device."""

    def __init__(self, context: BoundGraph, step: BoundGraph, settings: EngineSettings) -> None:
        """Take two loaded graphs; see `open` for files.

        Raises:
            EngineError: If the step graph takes something the context graph does not give.
        """
        self._context, self._step = context, step
        self._settings = settings
        self._is_closed = False
        handed = [name for name in context.outputs if name in step.inputs]
        self._copied = [name for name in step.inputs if name in context.inputs and name not in handed]
        self._shown = [name for name in context.outputs if name in DISPLAY_OUTPUTS]
        step.share({name: context.output_value(name) for name in handed})
        self._warm_up()

    @classmethod
    def open(cls, files: GraphFiles, settings: EngineSettings) -> OnnxRuntimeEngine:
        """Load both graphs and run them twice.

        Raises:
            DependencyError: If ONNX Runtime is not installed.
            EngineError: If a provider is unknown or not available, or a graph can not be loaded.
        """
        if settings.precision != "fp32":
            raise EngineError(
                f"ONNX Runtime runs the graphs as they were exported, not in '{settings.precision}'; expected 'fp32', "
                "or engine 'tensorrt'"
            )
        library = import_onnxruntime()
        graphs = []
        for path in (files.context, files.step):
            session = open_session(path, settings, files.sha256, library)
            graphs.append(BoundGraph(path.name, session, library, device_of(session), settings.device))
        return cls(graphs[0], graphs[1], settings)

    @property
    def name(self) -> str:
        """Provider and threads."""
        provider = provider_title(self._context.provider)
        return f"onnxruntime {provider}, {self._settings.threads} threads"

    @property
    def precision(self) -> str:
        """The graphs' own."""
        return "fp32"

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], noise: Float32, flow_steps: int, guidance: Guidance | None
    ) -> EngineOutput:
        """Run the context graph once and the step graph N times; see `Engine.infer`."""
        if self._is_closed:
            raise EngineError("this engine is closed")
        started_ns = time.perf_counter_ns()
        for name in self._context.inputs:
            self._context.write(name, inputs.get(name))
        self._context.run()
        context_ns = time.perf_counter_ns()
        step = self._step
        for name in self._copied:
            step.write(name, inputs.get(name))
        chosen = Guidance.none(*noise.shape) if guidance is None else guidance
        for name, array in chosen.graph_inputs().items():
            if name in step.inputs:
                step.write(name, array)
            elif guidance is not None:
                raise EngineError(f"the step graph has no input '{name}'; this package was exported without guidance")
        actions = self._integrate(noise, flow_steps)
        flow_ns = time.perf_counter_ns()
        return EngineOutput(
            actions=actions,
            display={name: self._context.read(name)[0] for name in self._shown},
            stage_ns={"context": context_ns - started_ns, "flow": flow_ns - context_ns},
        )

    def close(self) -> None:
        """Let go of the sessions."""
        self._is_closed = True

    def _integrate(self, noise: Float32, flow_steps: int) -> Float32:
        taus, dt = flow_times(flow_steps)
        step, x = self._step, noise[None]
        step.write("dt", dt)
        for tau in taus:
            step.write("x", x)
            step.write("tau", tau[None])
            step.run()
            x = step.read("x_next")
        return np.array(x[0])

    def _warm_up(self) -> None:
        """Run on what the buffers hold: engines are built and memory is planned now, not on the first observation."""
        for graph in (self._context, self._step):
            for _ in range(_WARM_UPS):
                graph.run()


class BoundGraph:
    """One session with fixed buffers for every input and output."""

    def __init__(self, name: str, session: Session, library: Any, device: str, device_index: int) -> None:
        """Allocate and bind.

        Raises:
            EngineError: If a shape is left open or a type is not known.
        """
        self._name, self._session = name, session
        self._binding = session.io_binding()
        self.provider = session.get_providers()[0]
        self.inputs: dict[str, tuple[tuple[int, ...], Any]] = {}
        self.outputs: dict[str, tuple[tuple[int, ...], Any]] = {}
        self._values: dict[str, Any] = {}
        self._views: dict[str, NDArray[Any]] = {}
        described = [(entry, self.inputs) for entry in session.get_inputs()]
        described += [(entry, self.outputs) for entry in session.get_outputs()]
        for entry, table in described:
            shape, dtype = _described(name, entry)
            table[entry.name] = (shape, dtype)
            array = _harmless(shape, dtype)
            value = library.OrtValue.ortvalue_from_numpy(array, device, device_index)
            self._values[entry.name] = value
            if device == "cpu":
                self._views[entry.name] = array  # on a CPU, the value lives in this array
            (self._bind_input if table is self.inputs else self._bind_output)(entry.name, value)

    def share(self, values: Mapping[str, Any]) -> None:
        """Read these inputs from another graph's outputs, in place.

        Raises:
            EngineError: If a shape or type differs.
        """
        for name, (value, described) in values.items():
            if described != self.inputs[name]:
                raise EngineError(
                    f"{self._name} takes '{name}' as {self.inputs[name]}; the other graph gives {described}"
                )
            self._bind_input(name, value)

    def output_value(self, name: str) -> tuple[Any, tuple[tuple[int, ...], Any]]:
        """Return an output's buffer with its shape and type."""
        return self._values[name], self.outputs[name]

    def write(self, name: str, array: NDArray[Any] | None) -> None:
        """Fill an input's buffer.

        Raises:
            EngineError: If there is nothing to write, or it does not fit.
        """
        shape, dtype = self.inputs[name]
        if array is None or array.shape != shape or array.dtype != dtype:
            got = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
            raise EngineError(f"{self._name} takes '{name}' as {np.dtype(dtype)} {list(shape)}; got {got}")
        if name in self._views:
            self._views[name][...] = array
        else:
            self._values[name].update_inplace(np.ascontiguousarray(array))

    def read(self, name: str) -> NDArray[Any]:
        """Return a copy of an output."""
        return np.array(self._values[name].numpy())

    def run(self) -> None:
        """Run once on what the buffers hold.

        Raises:
            EngineError: If ONNX Runtime fails.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime raises many kinds, none of them public
            raise EngineError(f"{self._name} failed in ONNX Runtime: {error}") from error

    def _bind_input(self, name: str, value: Any) -> None:
        self._binding.bind_ortvalue_input(name, value)

    def _bind_output(self, name: str, value: Any) -> None:
        self._binding.bind_ortvalue_output(name, value)


def _described(graph: str, entry: Any) -> tuple[tuple[int, ...], Any]:
    shape = tuple(entry.shape)
    if not all(isinstance(size, int) for size in shape) or entry.type not in _DTYPES:
        raise EngineError(
            f"{graph}: '{entry.name}' is {entry.type} {list(shape)}; expected {sorted(_DTYPES)}, whole sizes"
        )
    return shape, _DTYPES[entry.type]


def _harmless(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return numbers no graph stumbles over: unit matrices, open masks, zeros."""
    if dtype is np.bool_:
        return np.ones(shape, dtype)
    array = np.zeros(shape, dtype)
    if len(shape) >= 3 and shape[-1] == shape[-2] <= 4:
        array[...] = np.eye(shape[-1])
    return array
