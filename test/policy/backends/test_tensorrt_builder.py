"""Parses and builds real graphs with TensorRT for RTX, which needs no GPU for that; and what it must refuse."""

import importlib.util

import numpy as np
import onnx
import pytest
import small_graphs
from onnx import TensorProto, helper

from vla3d_ros.errors import EngineError
from vla3d_ros.policy.backends.tensorrt_binding import load_binding
from vla3d_ros.policy.backends.tensorrt_builder import build_plan
from vla3d_ros.policy.backends.tensorrt_plans import prepare_plans
from vla3d_ros.policy.backends.tensorrt_session import PlanSession
from vla3d_ros.policy.engine import EngineSettings, GraphFiles
from vla3d_ros.resources import share_dir

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install -e '.[tensorrt-rtx]'",
)
SHIPPED = sorted((share_dir() / "models").glob("*/*.onnx"))
PRECISIONS = ("fp32", "fp16", "bf16")


@pytest.fixture(scope="module")
def binding():
    return load_binding("tensorrt_rtx")


def save(folder, nodes, inputs, outputs):
    model = helper.make_model(helper.make_graph(nodes, "graph", inputs, outputs))
    onnx.save(model, folder / "context.onnx")
    return folder / "context.onnx"


def info(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_of_the_contracts_shapes_build(tmp_path, binding, precision):
    for file in small_graphs.save_graphs(tmp_path):
        built = build_plan(binding, file, precision)
        assert built.layers > 0
        assert len(built.plan) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_shipped_graph_builds(binding, file, precision):
    built = build_plan(binding, file, precision)
    assert len(built.plan) > 1000
    assert precision == "fp32" or built.precision.low_products > 0


def test_pixels_that_are_reshaped_first_build(tmp_path, binding):
    nodes = [
        helper.make_node("Reshape", ["images", "flat"], ["row"], name="early_reshape"),
        helper.make_node("Cast", ["row"], ["context_k"], name="late_cast", to=TensorProto.FLOAT),
    ]
    pixels = helper.make_tensor_value_info("images", TensorProto.UINT8, (1, 4, 4, 3))
    flat = onnx.numpy_helper.from_array(np.array([1, 48]), "flat")
    graph = helper.make_graph(nodes, "graph", [pixels], [info("context_k", (1, 48))], [flat])
    onnx.save(helper.make_model(graph), tmp_path / "context.onnx")
    assert build_plan(binding, tmp_path / "context.onnx", "fp32").plan


def test_half_precision_makes_a_smaller_plan(tmp_path, binding):
    wide = helper.make_node("MatMul", ["images", "w"], ["context_k"], name="wide")
    weight = onnx.numpy_helper.from_array(np.ones((1024, 1024), np.float32), "w")
    inputs, outputs = [info("images", (1, 1024))], [info("context_k", (1, 1024))]
    onnx.save(helper.make_model(helper.make_graph([wide], "g", inputs, outputs, [weight])), tmp_path / "context.onnx")
    sizes = {p: len(build_plan(binding, tmp_path / "context.onnx", p).plan) for p in PRECISIONS}
    assert sizes["fp16"] < 0.7 * sizes["fp32"]
    assert sizes["bf16"] < 0.7 * sizes["fp32"]


def test_an_unknown_operator_is_refused_by_node(tmp_path, binding):
    strange = helper.make_node("NotAnOperator", ["x"], ["y"], name="strange_one")
    with pytest.raises(EngineError, match=r"refuses context.onnx: node 'strange_one' \(NotAnOperator\)"):
        build_plan(binding, save(tmp_path, [strange], [info("x", (2, 3))], [info("y", (2, 3))]), "fp32")


def test_an_unsupported_operator_is_refused_by_node(tmp_path, binding):
    unique = helper.make_node("Unique", ["x"], ["y"], name="only_once")
    with pytest.raises(EngineError, match="node 'only_once' .Unique."):
        build_plan(binding, save(tmp_path, [unique], [info("x", (6,))], [info("y", ("n",))]), "fp32")


def test_a_build_without_a_gpu_is_cached_by_its_key(tmp_path, binding):
    context, step = small_graphs.save_graphs(tmp_path)
    files = GraphFiles(context=context, step=step, sha256="12" * 32)
    settings = EngineSettings(kind="tensorrt_rtx", precision="fp16", cache_dir=tmp_path / "cache")
    first = prepare_plans(binding, files, settings, None)
    second = prepare_plans(binding, files, settings, None)
    assert set(first.built) == {"context", "step"}
    assert not second.built
    assert second.plans == dict(first.plans)


def test_a_damaged_plan_is_refused_with_a_reason(binding):
    with pytest.raises(EngineError, match="does not take the plan of 'context': .+"):
        PlanSession(binding, "context", b"not a plan")
