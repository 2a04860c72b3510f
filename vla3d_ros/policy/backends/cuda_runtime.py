"""The little of the CUDA runtime that an engine needs, through NVIDIA's own Python binding `cuda-python`."""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import DependencyError, EngineError

_REMEDY = "'pip install \"cuda-python>=13\"' for CUDA 13, '\"cuda-python<13\"' for CUDA 12 (JetPack 6)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Which GPU: its index, name and compute capability, e.g. `8.9`."""

    index: int
    name: str
    compute_capability: str


class CudaRuntime:
    """Calls of the CUDA runtime on one device, each checked. Handles and addresses are integers or opaque."""

    def __init__(self, runtime: Any, index: int) -> None:
        """Take the module `cuda.bindings.runtime` and use a device.

        Raises:
            EngineError: If there is no such device; says what CUDA says.
        """
        self._runtime = runtime
        self._kinds = runtime.cudaMemcpyKind
        error, count = runtime.cudaGetDeviceCount()
        if error != runtime.cudaError_t.cudaSuccess:
            raise EngineError(
                f"no GPU to run on: cudaGetDeviceCount: {self._say(error)}; install NVIDIA's driver (nvidia-smi must "
                "list a GPU), or use the engine 'onnxruntime'"
            )
        if not 0 <= index < count:
            raise EngineError(f"no GPU {index}: expected one of {list(range(count))}")
        self.gpu = self._describe(index)
        self.use()

    def _describe(self, index: int) -> Gpu:
        properties = self._call("cudaGetDeviceProperties", index)
        name = properties.name
        return Gpu(
            index=index,
            name=name.decode().rstrip("\0") if isinstance(name, bytes) else str(name),
            compute_capability=f"{properties.major}.{properties.minor}",
        )

    def use(self) -> None:
        """Make the device this thread's: CUDA keeps that for each thread."""
        self._call("cudaSetDevice", self.gpu.index)

    # ---------------------------------------------------------------------------------------- memory

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory on the device."""
        return int(self._call("cudaMalloc", max(size_bytes, 1)))

    def free(self, address: int) -> None:
        """Release memory on the device."""
        self._call("cudaFree", address)

    def allocate_host(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array in page-locked memory, which the device reads and writes without a detour."""
        size_bytes = max(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, 1)
        address = int(self._call("cudaMallocHost", size_bytes))
        raw = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))
        used = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return raw[:used].view(dtype).reshape(shape)

    def free_host(self, array: NDArray[Any]) -> None:
        """Release an array of `allocate_host`; it must not be touched afterwards."""
        self._call("cudaFreeHost", array.ctypes.data)

    def upload(self, target: int, source: NDArray[Any], stream: Any) -> None:
        """Copy an array of `allocate_host` to the device, in the stream's order."""
        kind = self._kinds.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", target, source.ctypes.data, source.nbytes, kind, stream)

    def download(self, target: NDArray[Any], source: int, stream: Any) -> None:
        """Copy from the device to an array of `allocate_host`, in the stream's order."""
        kind = self._kinds.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.ctypes.data, source, target.nbytes, kind, stream)

    def copy(self, target: int, source: int, size_bytes: int, stream: Any) -> None:
        """Copy within the device, in the stream's order."""
        self._call("cudaMemcpyAsync", target, source, size_bytes, self._kinds.cudaMemcpyDeviceToDevice, stream)

    # --------------------------------------------------------------------------------------- streams

    def create_stream(self) -> Any:
        """Return a new stream that does not wait for the default one."""
        return self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)

    def destroy_stream(self, stream: Any) -> None:
        """Release a stream."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: Any) -> None:
        """Wait until everything put into the stream is done."""
        self._call("cudaStreamSynchronize", stream)

    # ---------------------------------------------------------------------------------------- graphs

    def begin_capture(self, stream: Any) -> None:
        """From now on calls into the stream are recorded, not run."""
        self._call(
            "cudaStreamBeginCapture", stream, self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        )

    def abandon_capture(self, stream: Any) -> None:
        """End a capture that failed; what CUDA says to it does not matter."""
        self._runtime.cudaStreamEndCapture(stream)

    def end_capture(self, stream: Any) -> Any:
        """Return what was recorded, ready to launch."""
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            return self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any, stream: Any) -> None:
        """Run what was recorded."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        """Release what `end_capture` returned."""
        self._call("cudaGraphExecDestroy", graph)

    # --------------------------------------------------------------------------------------- calling

    def _call(self, function: str, *arguments: Any) -> Any:
        error, *results = getattr(self._runtime, function)(*arguments)
        if error != self._runtime.cudaError_t.cudaSuccess:
            raise EngineError(f"{function}: {self._say(error)}")
        return results[0] if results else None

    def _say(self, error: Any) -> str:
        _, text = self._runtime.cudaGetErrorString(error)
        return f"{text.decode() if isinstance(text, bytes) else text} ({int(error)})"


def open_cuda(index: int) -> CudaRuntime:
    """Load the CUDA runtime and use one device.

    Raises:
        DependencyError: If `cuda-python` is not installed; says which one to install.
        EngineError: If there is no such GPU.
    """
    try:
        runtime = importlib.import_module("cuda.bindings.runtime")
    except (ImportError, OSError) as error:
        raise DependencyError(f"running on a GPU needs the package cuda-python ({error}): {_REMEDY}") from error
    return CudaRuntime(runtime, index)
