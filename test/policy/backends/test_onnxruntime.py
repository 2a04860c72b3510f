"""Graphs run where they were told to run, on buffers that are never mixed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")
pytest.importorskip("onnxruntime", reason="this is about ONNX Runtime")

import onnxruntime as ort
from standin_package import STEPS, write_standin

from vla3d_ros.errors import EngineError
from vla3d_ros.policy.backends.onnxruntime_session import open_session
from vla3d_ros.policy.engine import EngineSettings, Guidance, open_engine
from vla3d_ros.policy.golden_scenes import drawn_observation
from vla3d_ros.policy.preprocess import Preprocessor


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_standin(tmp_path_factory.mktemp("models") / "standin")


def inputs(package, seed=0):
    manifest = package.manifest
    seen = drawn_observation(manifest, manifest.embodiments[0], np.random.default_rng(seed))
    return Preprocessor(manifest, {"head": "head", "wrist": "wrist"}, {"left": "left"}, "one_arm")(seen)


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal((STEPS, 20), dtype=np.float32)


class FakeSession:
    def __init__(self, running):
        self.running = running

    def get_providers(self):
        return self.running


class FakeLibrary:
    """An ONNX Runtime that has some providers and falls back in silence, as the real one does."""

    def __init__(self, available, running):
        self.available, self.running = available, running
        self.asked = []

    class SessionOptions:
        def __init__(self):
            self.entries = {}

        def add_session_config_entry(self, key, value):
            self.entries[key] = value

    def get_available_providers(self):
        return self.available

    def InferenceSession(self, path, options, providers):  # noqa: N802
        self.asked, self.options = providers, options
        return FakeSession(self.running)


CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def opened(library, **settings):
    return open_session(Path("context.onnx"), EngineSettings(**settings), "0" * 64, library)


def test_a_silent_fall_back_to_the_cpu_is_an_error():
    library = FakeLibrary([TENSORRT, CUDA, CPU], running=[CPU])
    with pytest.raises(EngineError, match=r"was to run on CUDAExecutionProvider, but .* fell back"):
        opened(library, providers=("cuda",))
    with pytest.raises(EngineError, match="fell back"):
        opened(library, providers=("cuda", "cpu"))


def test_a_fall_back_that_was_asked_for_is_none():
    library = FakeLibrary([TENSORRT, CUDA, CPU], running=[CPU])
    assert opened(library, providers=("cuda", "cpu"), allow_fallback=True).get_providers() == [CPU]
    assert opened(FakeLibrary([CPU], [CPU]), providers=("cuda", "cpu"), allow_fallback=True).get_providers() == [CPU]


def test_a_provider_that_is_not_installed_is_named_with_the_remedy():
    with pytest.raises(EngineError, match=r"has no \['CUDAExecutionProvider'\].*onnxruntime-gpu"):
        opened(FakeLibrary([CPU], [CPU]), providers=("cuda", "cpu"))
    with pytest.raises(EngineError, match=r"unknown ONNX Runtime providers \['warp'\]"):
        opened(FakeLibrary([CPU], [CPU]), providers=("warp",))


def test_threads_do_not_spin_unless_asked_to_and_engines_are_kept_per_package(tmp_path):
    library = FakeLibrary([TENSORRT, CPU], running=[TENSORRT, CPU])
    opened(library, providers=("tensorrt",), threads=3, cache_dir=tmp_path)
    assert library.options.intra_op_num_threads == 3
    assert set(library.options.entries.values()) == {"0"}
    ((name, options),) = library.asked
    assert name == TENSORRT and options["trt_engine_cache_enable"] == "True"
    assert Path(options["trt_engine_cache_path"]).is_dir() and "0" * 16 in options["trt_engine_cache_path"]
    opened(library, providers=("tensorrt",), spinning=True, cache_dir=tmp_path)
    assert set(library.options.entries.values()) == {"1"}


def test_only_the_graphs_own_precision_is_promised(package):
    with pytest.raises(EngineError, match="not in 'fp16'"):
        open_engine(package.graphs, EngineSettings(precision="fp16"))


def test_the_flow_is_integrated_with_as_many_euler_steps_as_asked(package):
    engine = open_engine(package.graphs, EngineSettings())
    for flow_steps in (1, 4, 9):
        got = engine.infer(inputs(package), noise(), flow_steps, None).actions
        session = ort.InferenceSession(str(package.graphs.context), providers=[CPU])
        condition = session.run(["condition"], {e.name: inputs(package)[e.name] for e in session.get_inputs()})[0]
        x = noise().astype(np.float64)
        for _ in range(flow_steps):
            x = x + (condition - x) / flow_steps
        assert got == pytest.approx(x, abs=1e-5)


def test_nothing_of_one_inference_is_left_in_the_next(package):
    engine = open_engine(package.graphs, EngineSettings())
    first = engine.infer(inputs(package), noise(), 5, None).actions
    kept = first.copy()
    pull = Guidance(
        previous=noise(3), weights=np.ones(STEPS, np.float32), beta=5.0, prefix_mask=np.ones(STEPS, np.bool_)
    )
    other = engine.infer(inputs(package, 1), noise(1), 5, pull).actions
    assert np.array_equal(first, kept), "the caller's array was written again"
    assert not np.array_equal(other, first)
    assert np.array_equal(engine.infer(inputs(package), noise(), 5, None).actions, first)


def test_no_weight_is_exactly_no_guidance(package):
    engine = open_engine(package.graphs, EngineSettings())
    pull = Guidance(
        previous=noise(3), weights=np.zeros(STEPS, np.float32), beta=5.0, prefix_mask=np.zeros(STEPS, np.bool_)
    )
    free = engine.infer(inputs(package), noise(), 5, None).actions
    assert np.array_equal(engine.infer(inputs(package), noise(), 5, pull).actions, free)


def test_an_input_that_does_not_fit_names_graph_input_and_shape(package):
    engine = open_engine(package.graphs, EngineSettings())
    wrong = dict(inputs(package))
    wrong["images"] = wrong["images"][:, :1]
    with pytest.raises(
        EngineError, match=r"context.onnx takes 'images' as uint8 \[1, 2, 16, 24, 3\]; got uint8 \[1, 1"
    ):
        engine.infer(wrong, noise(), 5, None)
    del wrong["images"]
    with pytest.raises(EngineError, match="got nothing"):
        engine.infer(wrong, noise(), 5, None)


def test_no_flow_steps_are_refused(package):
    with pytest.raises(ValueError, match="0 flow steps"):
        open_engine(package.graphs, EngineSettings()).infer(inputs(package), noise(), 0, None)
