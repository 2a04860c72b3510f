"""The TensorRT engine on a device that runs on the CPU: memory, order, capture, cache. No GPU is involved."""

import numpy as np
import pytest
import small_graphs
from fake_cuda import FakeCuda
from fake_tensorrt import FakeTensorRt

from vla3d_ros.errors import ConfigError, DependencyError, EngineError
from vla3d_ros.policy.backends import tensorrt_binding
from vla3d_ros.policy.backends.cuda_runtime import CudaRuntime
from vla3d_ros.policy.backends.tensorrt import TensorRtEngine
from vla3d_ros.policy.backends.tensorrt_plans import prepare_plans
from vla3d_ros.policy.engine import EngineSettings, GraphFiles, Guidance

NOISE = np.random.default_rng(1).normal(size=(small_graphs.K, small_graphs.WIDTH)).astype(np.float32)
SHA = "ab" * 32


class Rig:
    """One fake GPU with one fake TensorRT, and graphs on disk."""

    def __init__(self, folder, monkeypatch, **options):
        self.cuda = FakeCuda(refuse_capture=options.pop("refuse_capture", False))
        self.trt = FakeTensorRt(self.cuda, **options)
        monkeypatch.setattr(tensorrt_binding.importlib, "import_module", lambda name: self.trt)
        self.binding = tensorrt_binding.load_binding("tensorrt")
        monkeypatch.undo()
        context, step = small_graphs.save_graphs(folder)
        self.files = GraphFiles(context=context, step=step, sha256=SHA)
        self.cache_dir = folder / "cache"

    def open(self, files=None, **settings):
        wanted = EngineSettings(kind="tensorrt", cache_dir=self.cache_dir, **settings)
        return TensorRtEngine.on(CudaRuntime(self.cuda, 0), self.binding, files or self.files, wanted)


@pytest.fixture
def rig(tmp_path, monkeypatch):
    return Rig(tmp_path, monkeypatch)


@pytest.mark.parametrize("cuda_graph", [True, False])
@pytest.mark.parametrize("flow_steps", [1, 2, 5])
def test_actions_are_those_of_the_reference(rig, cuda_graph, flow_steps):
    engine = rig.open(cuda_graph=cuda_graph)
    for seed in range(3):
        given = small_graphs.inputs(seed)
        output = engine.infer(given, NOISE, flow_steps, None)
        np.testing.assert_allclose(output.actions, small_graphs.expected_actions(given, NOISE, flow_steps), atol=2e-5)
        np.testing.assert_allclose(
            output.display["instance_points"], small_graphs.expected_context(given)[1][0], atol=1e-5
        )


def test_the_number_of_flow_steps_may_change_between_calls(rig):
    engine, given = rig.open(), small_graphs.inputs()
    for flow_steps in (5, 2, 5, 1, 2):
        actions = engine.infer(given, NOISE, flow_steps, None).actions
        np.testing.assert_allclose(actions, small_graphs.expected_actions(given, NOISE, flow_steps), atol=2e-5)
    assert len(rig.cuda.graphs) == 3


def test_guidance_reaches_every_step(rig):
    engine, given = rig.open(), small_graphs.inputs()
    previous = np.full_like(NOISE, 0.7)
    weights = np.linspace(1.0, 0.0, small_graphs.K).astype(np.float32)
    mask = np.zeros(small_graphs.K, np.bool_)
    guidance = Guidance(previous=previous, weights=weights, beta=0.0, prefix_mask=mask)
    expected = small_graphs.expected_actions(given, NOISE, 4, previous, weights)
    np.testing.assert_allclose(engine.infer(given, NOISE, 4, guidance).actions, expected, atol=2e-5)
    np.testing.assert_allclose(
        engine.infer(given, NOISE, 4, None).actions, small_graphs.expected_actions(given, NOISE, 4), atol=2e-5
    )


def test_guidance_the_graph_has_no_input_for_is_refused(rig):
    mask = np.ones(small_graphs.K, np.bool_)
    guidance = Guidance(
        previous=np.zeros_like(NOISE), weights=np.zeros(small_graphs.K, np.float32), beta=0.0, prefix_mask=mask
    )
    with pytest.raises(EngineError, match=r"no inputs \['prefix_mask'\]"):
        rig.open().infer(small_graphs.inputs(), NOISE, 2, guidance)


def test_one_launch_runs_everything(rig):
    engine = rig.open()
    engine.infer(small_graphs.inputs(), NOISE, 3, None)
    before = rig.cuda.launches
    stages = engine.infer(small_graphs.inputs(1), NOISE, 3, None).stage_ns
    assert rig.cuda.launches == before + 1
    assert list(stages) == ["whole"]
    assert engine.name == "tensorrt 10.9.8 fp32 on Fake GPU, CUDA graph"


def test_results_stay_when_the_next_run_overwrites_the_buffers(rig):
    engine = rig.open()
    first = engine.infer(small_graphs.inputs(0), NOISE, 2, None)
    kept = first.actions.copy()
    engine.infer(small_graphs.inputs(1), NOISE * 2, 2, None)
    np.testing.assert_array_equal(first.actions, kept)


@pytest.mark.parametrize("options", [{"is_capturable": False}, {"refuse_capture": True}])
def test_what_can_not_be_captured_runs_without_and_says_so(tmp_path, monkeypatch, caplog, options):
    rig = Rig(tmp_path, monkeypatch, **options)
    engine, given = rig.open(), small_graphs.inputs()
    output = engine.infer(given, NOISE, 3, None)
    np.testing.assert_allclose(output.actions, small_graphs.expected_actions(given, NOISE, 3), atol=2e-5)
    assert set(output.stage_ns) == {"context", "flow"}
    assert "no CUDA graph: " in engine.name
    assert "running without" in caplog.text


def test_a_cuda_graph_can_be_switched_off(rig):
    engine = rig.open(cuda_graph=False)
    engine.infer(small_graphs.inputs(), NOISE, 3, None)
    assert not rig.cuda.graphs
    assert engine.name.endswith("no CUDA graph: switched off in the settings")


def test_every_input_that_does_not_fit_is_named(rig):
    given = small_graphs.inputs()
    given["T_base_camera"] = given["T_base_camera"].astype(np.float64)
    del given["images"]
    with pytest.raises(EngineError, match=r"(?s)'images' is missing.*'T_base_camera' is .*float64"):
        rig.open().infer(given, NOISE, 2, None)


def test_warming_up_gives_no_camera_a_singular_pose(rig):
    rig.open()
    first = rig.trt.feeds[0]
    assert (first["T_base_camera"][0, 0] == np.eye(4)).all()
    assert first["arm_mask"].all()


def test_more_inputs_than_the_graph_uses_are_fine(rig):
    given = {**small_graphs.inputs(), "depth_m": np.zeros(3)}
    rig.open().infer(given, NOISE, 2, None)


def test_closing_frees_everything_and_may_be_repeated(rig):
    engine = rig.open()
    engine.infer(small_graphs.inputs(), NOISE, 3, None)
    assert rig.cuda.memory
    engine.close()
    engine.close()
    assert not rig.cuda.memory
    assert not rig.cuda.graphs


def test_a_second_start_builds_nothing(rig):
    rig.open().close()
    assert rig.trt.builds == 2
    rig.open().close()
    assert rig.trt.builds == 2


@pytest.mark.parametrize("change", ["precision", "package", "version", "keep"])
def test_another_key_is_built_anew(rig, change):
    rig.open().close()
    files, settings = rig.files, {}
    if change == "precision":
        settings = {"precision": "bf16"}
    elif change == "keep":
        settings = {"keep_float32": ("*deep*",)}
    elif change == "package":
        files = GraphFiles(context=files.context, step=files.step, sha256="cd" * 32)
    else:
        rig.trt.__version__ = "10.9.9"
    engine_settings = EngineSettings(kind="tensorrt", cache_dir=rig.cache_dir, **settings)
    prepared = prepare_plans(rig.binding, files, engine_settings, CudaRuntime(rig.cuda, 0).gpu)
    assert set(prepared.built) == {"context", "step"}
    assert rig.trt.timings[-1] == b"timings"


def test_a_damaged_plan_is_built_anew_and_that_is_said(rig, caplog):
    rig.open().close()
    (plan,) = rig.cache_dir.glob("*/step.plan")
    plan.write_bytes(plan.read_bytes()[:-1])
    rig.open().close()
    assert rig.trt.builds == 4
    assert "building anew" in caplog.text


def test_a_plan_the_gpu_does_not_take_is_built_once_more_and_then_refused(rig, tmp_path, monkeypatch):
    rig.open().close()
    plans = tuple(path.read_bytes() for path in rig.cache_dir.glob("*/context.plan"))
    picky = Rig(tmp_path, monkeypatch, refused_plans=plans)
    with pytest.raises(EngineError, match="does not take the plan of 'context'"):
        picky.open()
    assert picky.trt.builds == 2


def test_graphs_that_do_not_fit_together_are_refused(rig):
    files = GraphFiles(context=rig.files.step, step=rig.files.context, sha256="ef" * 32)
    with pytest.raises(EngineError, match=r"(?s)do not fit together.*step makes"):
        rig.open(files)


def test_tf32_is_off_because_it_would_round_geometry(rig):
    rig.open()
    assert rig.trt.cleared == ["tf32", "tf32"]


def test_no_gpu_is_said_with_what_to_do():
    with pytest.raises(EngineError, match=r"no GPU to run on: .*what CUDA says \(35\).*onnxruntime"):
        CudaRuntime(FakeCuda(devices=0), 0)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(EngineError, match=r"no GPU 3: expected one of \[0, 1\]"):
        CudaRuntime(FakeCuda(devices=2), 3)


def test_a_missing_tensorrt_says_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(tensorrt_binding.importlib, "import_module", missing)
    with pytest.raises(DependencyError, match="pip install tensorrt-rtx-cu13-libs"):
        tensorrt_binding.load_binding("tensorrt_rtx")
    with pytest.raises(ConfigError, match="unknown kind"):
        tensorrt_binding.load_binding("tensorflow")
