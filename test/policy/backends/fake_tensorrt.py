"""A TensorRT that runs on the CPU, on a `FakeCuda`. A plan is the ONNX model itself; ONNX Runtime computes it."""

import ctypes
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime

_KINDS = {
    onnx.TensorProto.FLOAT: ("FLOAT", np.float32),
    onnx.TensorProto.BOOL: ("BOOL", np.bool_),
    onnx.TensorProto.UINT8: ("UINT8", np.uint8),
}


class FakeLogger:
    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

    def __init__(self):
        pass


class FakeTensorRt:
    """Stands for the module `tensorrt`; keeps what it was given: flags, timings, feeds of every run."""

    __version__ = "10.9.8"
    ILogger = FakeLogger
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=5)
    BuilderFlag = SimpleNamespace(TF32="tf32")
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")

    def __init__(self, cuda, *, is_capturable=True, refused_plans=()):
        self.cuda, self.is_capturable, self.refused_plans = cuda, is_capturable, refused_plans
        self.builds = 0
        self.cleared = []
        self.timings = []
        self.feeds = []
        self.Builder = partial(FakeBuilder, self)
        self.Runtime = partial(FakeRuntime, self)
        self.OnnxParser = FakeParser


class FakeParser:
    num_errors = 0

    def __init__(self, network, logger):
        self._network = network

    def parse(self, data):
        self._network.data = data
        return True


class FakeBuilder:
    def __init__(self, module, logger):
        self._module = module

    def create_network(self, flags):
        assert flags == 1 << 5, "networks are strongly typed"
        return SimpleNamespace(num_layers=3, data=b"")

    def create_builder_config(self):
        return SimpleNamespace(
            clear_flag=self._module.cleared.append,
            create_timing_cache=lambda data: data,
            set_timing_cache=lambda cache, ignore_mismatch: self._module.timings.append(cache),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"timings"),
        )

    def build_serialized_network(self, network, config):
        self._module.builds += 1
        return network.data


class FakeRuntime:
    def __init__(self, module, logger):
        self._module = module

    def deserialize_cuda_engine(self, plan):
        return None if plan in self._module.refused_plans else FakeEngine(self._module, plan)


class FakeEngine:
    def __init__(self, module, plan):
        self._module, self._plan = module, plan
        graph = onnx.load_model_from_string(plan).graph
        self._inputs = [info.name for info in graph.input]
        self._types = {info.name: info.type.tensor_type for info in [*graph.input, *graph.output]}
        self.num_io_tensors = len(self._types)

    def get_tensor_name(self, index):
        return list(self._types)[index]

    def get_tensor_shape(self, name):
        return [size.dim_value for size in self._types[name].shape.dim]

    def get_tensor_dtype(self, name):
        return f"DataType.{_KINDS[self._types[name].elem_type][0]}"

    def get_tensor_mode(self, name):
        return "in" if name in self._inputs else "out"

    def create_execution_context(self):
        shapes = {name: (self.get_tensor_shape(name), _KINDS[kind.elem_type][1]) for name, kind in self._types.items()}
        return FakeExecution(self._module, onnxruntime.InferenceSession(self._plan), shapes)


class FakeExecution:
    def __init__(self, module, session, shapes):
        self._module, self._session, self._shapes = module, session, shapes
        self._addresses = {}

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        cuda = self._module.cuda
        if cuda.recording is not None and not self._module.is_capturable:
            return False
        cuda.put(self._run)
        return True

    def _run(self):
        arrays = {name: self._on_device(name) for name in self._shapes}
        feeds = {info.name: arrays[info.name].copy() for info in self._session.get_inputs()}
        self._module.feeds.append(feeds)
        for info, value in zip(self._session.get_outputs(), self._session.run(None, feeds), strict=True):
            arrays[info.name][...] = value

    def _on_device(self, name):
        shape, dtype = self._shapes[name]
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        assert self._module.cuda.kind_of(self._addresses[name], size) == "device"
        raw = (ctypes.c_uint8 * size).from_address(self._addresses[name])
        return np.ctypeslib.as_array(raw).view(dtype).reshape(shape)
