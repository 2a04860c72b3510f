"""The half-precision graphs of the shipped packages, computed by ONNX Runtime, still give the golden chunks."""

import onnx
import pytest

from vla3d_ros.policy.backends.tensorrt_graph import view_graph
from vla3d_ros.policy.backends.tensorrt_lowering import lower_precision
from vla3d_ros.policy.backends.tensorrt_precision import plan_precision
from vla3d_ros.policy.engine import EngineSettings, GraphFiles, open_engine
from vla3d_ros.policy.package import list_packages, load_package
from vla3d_ros.policy.parity import golden_differences
from vla3d_ros.resources import share_dir

MODELS = share_dir() / "models"


@pytest.mark.parametrize("name", list_packages(MODELS))
def test_half_precision_gives_the_golden_chunks_within_its_tolerance(tmp_path, name):
    package = load_package(MODELS / name)
    files = {}
    for graph, path in (("context", package.graphs.context), ("step", package.graphs.step)):
        files[graph] = tmp_path / f"{graph}.onnx"
        lowered, plan = lower_precision(onnx.load(path), "fp16")
        assert plan.low_products > 0.6 * plan.products
        onnx.save(lowered, files[graph])
    engine = open_engine(GraphFiles(**files, sha256=package.sha256), EngineSettings())
    tolerance = package.manifest.tolerances["fp16"]
    problems = [text for case in golden_differences(package, engine) for text in case.problems(tolerance)]
    assert not problems
    engine.close()


@pytest.mark.parametrize("name", list_packages(MODELS))
def test_the_first_and_last_layer_of_the_flow_stay_float32(name):
    view = view_graph(onnx.load(load_package(MODELS / name).graphs.step))
    reasons = [why for _, why in plan_precision(view, "bf16").kept]
    assert "the last product before geometry" in reasons
    assert any(why.startswith("reads geometry") for why in reasons)
