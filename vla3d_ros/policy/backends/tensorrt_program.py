"""Context and flow on the device: buffers that stay, tensors handed from graph to graph, one CUDA graph over it all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import EngineError, join_problems
from vla3d_ros.policy.backends.cuda_runtime import CudaRuntime
from vla3d_ros.policy.backends.tensorrt_session import PlanSession, TensorSpec
from vla3d_ros.policy.engine import DISPLAY_OUTPUTS, FLOW_INPUTS, GUIDANCE_INPUTS, flow_times

_LOG = logging.getLogger(__name__)
_RESULT = "x_next"


class FlowProgram:
    """Runs `context` once and `step` N times. Tensors of one name are one buffer: what context makes, step reads.

    Between steps `x_next` is copied to `x` and the step's tau to `tau`, on the device: addresses never change, so
    upload, context, N steps and download can be captured as one CUDA graph, one for each N.
    """

    def __init__(
        self,
        cuda: CudaRuntime,
        context: PlanSession,
        step: PlanSession,
        *,
        cuda_graph: bool,
        clock_ns: Callable[[], int],
    ) -> None:
        """Allocate and bind.

        Args:
            cuda: The device on which the plans lie.
            context: Plan of the context graph.
            step: Plan of the step graph.
            cuda_graph: Capture everything as one CUDA graph.
            clock_ns: A monotonic clock that measures stages for reports.

        Raises:
            EngineError: If the two graphs do not fit together; names every tensor.
        """
        self._cuda, self._context, self._step = cuda, context, step
        self._clock_ns = clock_ns
        self._specs = _joined(context, step)
        self.graph_trouble = "" if cuda_graph else "switched off in the settings"
        self._graphs: dict[int, Any] = {}
        self._tau_tables: dict[int, int] = {}
        self._stream = cuda.create_stream()
        self._device = {name: cuda.allocate(spec.size_bytes) for name, spec in self._specs.items()}
        self._fed = [*context.inputs, *(name for name in step.inputs if self._is_fed(name))]
        self._display = tuple(name for name in context.outputs if name in DISPLAY_OUTPUTS)
        self._host = {name: self._host_array(name) for name in {*self._fed, *self._display, _RESULT}}
        for plan in (context, step):
            for name in plan.tensors:
                plan.bind(name, self._device[name])

    def _is_fed(self, name: str) -> bool:
        return name not in self._context.tensors and name != "tau"

    def _host_array(self, name: str) -> NDArray[Any]:
        array = self._cuda.allocate_host(self._specs[name].shape, self._specs[name].dtype)
        array[...] = 0
        return array

    @property
    def feeds(self) -> dict[str, TensorSpec]:
        """What `run` must be given, by name, batch axis included."""
        return {name: self._specs[name] for name in self._fed if name != "dt"}

    def warm_up(self) -> None:
        """Run once, so that kernels are loaded before anybody waits for them.

        On ones in masks, identities in transforms and intrinsics, and zeros: points stay finite and indices valid.
        """
        self._cuda.use()
        for name, spec in self.feeds.items():
            is_matrix = spec.shape[-2:] in ((3, 3), (4, 4)) and spec.dtype == np.float32
            self._host[name][...] = np.eye(spec.shape[-1]) if is_matrix else spec.dtype == np.bool_
        self._run_stages(self._prepare(1))

    def run(self, feeds: Mapping[str, NDArray[Any]], flow_steps: int) -> dict[str, int]:
        """Run once; results are in `actions` and `display`.

        Args:
            feeds: Arrays for every name in `feeds`, of its shape and type.
            flow_steps: N.

        Returns:
            Wall time of the stages: `whole` as a CUDA graph, else `context` and `flow`, ns.
        """
        self._cuda.use()
        steps = self._prepare(flow_steps)
        for name in self.feeds:
            self._host[name][...] = feeds[name]
        if not self.graph_trouble and flow_steps not in self._graphs:
            self._capture(steps)
        if self.graph_trouble:
            return self._run_stages(steps)
        began_ns = self._clock_ns()
        self._cuda.launch(self._graphs[flow_steps], self._stream)
        self._cuda.synchronize(self._stream)
        return {"whole": self._clock_ns() - began_ns}

    @property
    def actions(self) -> NDArray[Any]:
        """(B, K, A*10) of the last run; overwritten by the next."""
        return self._host[_RESULT]

    @property
    def display(self) -> dict[str, NDArray[Any]]:
        """What the context graph shows to people; overwritten by the next run."""
        return {name: self._host[name] for name in self._display}

    def close(self) -> None:
        """Release everything on the device; safe to call twice."""
        if self._stream is None:
            return
        self._cuda.use()
        self._cuda.synchronize(self._stream)
        for graph in self._graphs.values():
            self._cuda.destroy_graph(graph)
        self._context.close()
        self._step.close()
        for address in (*self._device.values(), *self._tau_tables.values()):
            self._cuda.free(address)
        for array in self._host.values():
            self._cuda.free_host(array)
        self._cuda.destroy_stream(self._stream)
        self._stream = None

    # ---------------------------------------------------------------------------------------- stages

    def _prepare(self, flow_steps: int) -> int:
        """Put dt where it is uploaded from, and the taus of this many steps on the device."""
        taus, dt = flow_times(flow_steps)
        self._host["dt"][...] = dt
        if flow_steps not in self._tau_tables:
            batch = self._specs["tau"].shape
            table = self._cuda.allocate_host((flow_steps, *batch), self._specs["tau"].dtype)
            table[...] = taus.reshape(flow_steps, *(1 for _ in batch))
            address = self._cuda.allocate(table.nbytes)
            self._cuda.upload(address, table, self._stream)
            self._cuda.synchronize(self._stream)
            self._cuda.free_host(table)
            self._tau_tables[flow_steps] = address
        return flow_steps

    def _run_stages(self, flow_steps: int) -> dict[str, int]:
        began_ns = self._clock_ns()
        self._enqueue_context()
        self._cuda.synchronize(self._stream)
        seen_ns = self._clock_ns()
        self._enqueue_flow(flow_steps)
        self._cuda.synchronize(self._stream)
        return {"context": seen_ns - began_ns, "flow": self._clock_ns() - seen_ns}

    def _enqueue_context(self) -> None:
        for name in self._fed:
            self._cuda.upload(self._device[name], self._host[name], self._stream)
        self._context.enqueue(self._stream)

    def _enqueue_flow(self, flow_steps: int) -> None:
        stream, tau_bytes = self._stream, self._specs["tau"].size_bytes
        for index in range(flow_steps):
            tau = self._tau_tables[flow_steps] + index * tau_bytes
            self._cuda.copy(self._device["tau"], tau, tau_bytes, stream)
            self._step.enqueue(stream)
            if index + 1 < flow_steps:
                self._cuda.copy(self._device["x"], self._device[_RESULT], self._specs["x"].size_bytes, stream)
        for name in (_RESULT, *self._display):
            self._cuda.download(self._host[name], self._device[name], stream)

    def _capture(self, flow_steps: int) -> None:
        """Record one run; where that does not work, say so once and go on without."""
        self._run_stages(flow_steps)
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._enqueue_context()
                self._enqueue_flow(flow_steps)
            except EngineError:
                self._cuda.abandon_capture(self._stream)
                raise
            self._graphs[flow_steps] = self._cuda.end_capture(self._stream)
        except EngineError as error:
            self.graph_trouble = str(error)
            _LOG.warning("no CUDA graph over context and %d flow steps, running without: %s", flow_steps, error)


def _joined(context: PlanSession, step: PlanSession) -> dict[str, TensorSpec]:
    """Return all tensors by name after checking that the graphs fit together."""
    problems = [
        f"'{name}' is {context.tensors[name]} in context and {spec} in step"
        for name, spec in step.tensors.items()
        if name in context.tensors and (spec.shape, spec.dtype) != _kind(context.tensors[name])
    ]
    allowed = {*context.tensors, *FLOW_INPUTS, *GUIDANCE_INPUTS}
    problems += [f"nothing makes '{name}', which step reads" for name in step.inputs if name not in allowed]
    problems += [f"step does not read '{name}'" for name in FLOW_INPUTS if name not in step.inputs]
    if list(step.outputs) != [_RESULT]:
        problems.append(f"step makes {list(step.outputs)}; expected ['{_RESULT}']")
    elif "x" in step.inputs and _kind(step.inputs["x"]) != _kind(step.outputs[_RESULT]):
        problems.append(f"'x' is {step.inputs['x']} and '{_RESULT}' is {step.outputs[_RESULT]}")
    if problems:
        raise EngineError(join_problems("context and step do not fit together", problems))
    return {**step.tensors, **context.tensors}


def _kind(spec: TensorSpec) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return spec.shape, spec.dtype
