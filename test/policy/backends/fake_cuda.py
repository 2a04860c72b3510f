"""A CUDA runtime that runs on the CPU, strict where the real one is: kinds of memory, order, capture.

Device memory is host memory that only these functions may touch. A stream runs what is put into it when it is
synchronized; during a capture it records instead.
"""
# ruff: noqa: N802, N815 -- the names are CUDA's

import ctypes
from types import SimpleNamespace

import numpy as np

OK = 0


class FakeCuda:
    """Stands for the module `cuda.bindings.runtime`."""

    cudaError_t = SimpleNamespace(cudaSuccess=OK)
    cudaMemcpyKind = SimpleNamespace(
        cudaMemcpyHostToDevice="h2d", cudaMemcpyDeviceToHost="d2h", cudaMemcpyDeviceToDevice="d2d"
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread")
    cudaStreamNonBlocking = 1

    def __init__(self, devices=1, refuse_capture=False):
        self.devices = devices
        self.refuse_capture = refuse_capture
        self.memory = {}
        self.queue = []
        self.recording = None
        self.graphs = {}
        self.launches = 0

    def cudaGetErrorString(self, error):
        return OK, b"what CUDA says"

    def cudaGetDeviceCount(self):
        return (OK, self.devices) if self.devices else (35, None)

    def cudaSetDevice(self, index):
        return (OK,)

    def cudaGetDeviceProperties(self, index):
        return OK, SimpleNamespace(name=b"Fake GPU\0\0", major=8, minor=9)

    def _allocate(self, kind, size):
        block = np.full(size, 0xA5, np.uint8)
        self.memory[block.ctypes.data] = (kind, block)
        return OK, block.ctypes.data

    def cudaMalloc(self, size):
        return self._allocate("device", size)

    def cudaMallocHost(self, size):
        return self._allocate("host", size)

    def cudaFree(self, address):
        assert self.memory.pop(address)[0] == "device"
        return (OK,)

    def cudaFreeHost(self, address):
        assert self.memory.pop(address)[0] == "host"
        return (OK,)

    def kind_of(self, address, size):
        for start, (kind, block) in self.memory.items():
            if start <= address and address + size <= start + block.nbytes:
                return kind
        raise AssertionError("touches memory that is not allocated")

    def put(self, work):
        (self.queue if self.recording is None else self.recording).append(work)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        kinds = {"h2d": ("host", "device"), "d2h": ("device", "host"), "d2d": ("device", "device")}
        assert (self.kind_of(source, size), self.kind_of(target, size)) == kinds[kind]
        self.put(lambda: ctypes.memmove(target, source, size))
        return (OK,)

    def cudaStreamCreateWithFlags(self, flags):
        return OK, 77

    def cudaStreamDestroy(self, stream):
        return (OK,)

    def cudaStreamSynchronize(self, stream):
        assert self.recording is None, "synchronizing breaks a capture"
        work, self.queue = self.queue, []
        for step in work:
            step()
        return (OK,)

    def cudaStreamBeginCapture(self, stream, mode):
        assert not self.queue
        if self.refuse_capture:
            return (900,)
        self.recording = []
        return (OK,)

    def cudaStreamEndCapture(self, stream):
        recorded, self.recording = self.recording, None
        return OK, recorded

    def cudaGraphInstantiate(self, graph, flags):
        self.graphs[id(graph)] = graph
        return OK, id(graph)

    def cudaGraphDestroy(self, graph):
        return (OK,)

    def cudaGraphLaunch(self, graph, stream):
        self.launches += 1
        self.queue += self.graphs[graph]
        return (OK,)

    def cudaGraphExecDestroy(self, graph):
        del self.graphs[graph]
        return (OK,)
