"""The route alone as an ONNX graph: static, without operators engines get wrong, and equal in ONNX Runtime."""

import warnings

import numpy as np
import pytest
import torch
from box_scene import route_features, route_inputs
from float64_layers import shaken

from vla3d_ros.policy.nets.features import VisualFeatures
from vla3d_ros.policy.nets.presets import preset
from vla3d_ros.policy.nets.vla3d import Vla3dRoute

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.slow

CONFIG = preset("tiny_vla3d")
NAMES = ("view_mask", "K", "T_base_camera", "depth_m", "T_base_ee", "arm_mask", "state_mask")
DISCRETE = {"GridSample", "NonZero", "Unique", "If", "Loop", "Scan", "RandomNormal", "RandomUniform"}


class RouteGraph(torch.nn.Module):
    """The route over plain tensors."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.route = shaken(Vla3dRoute(CONFIG), scale=0.08)
        self.inputs = route_inputs(CONFIG)

    def forward(self, tokens, *tensors):
        inputs = self.inputs._replace(**dict(zip(NAMES, tensors, strict=True)))
        mask = inputs.view_mask.unsqueeze(-1).expand(tokens.shape[:3])
        output = self.route(VisualFeatures(tokens, CONFIG.grid, mask), inputs)
        return output.extra_tokens, output.extra_mask, *output.display.values()


def tensors(seed):
    inputs = route_inputs(CONFIG, seed)
    return (route_features(CONFIG, seed).tokens, *(getattr(inputs, name) for name in NAMES))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    graph = RouteGraph().eval()
    path = tmp_path_factory.mktemp("route") / "route.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph, tensors(0), dynamo=True, opset_version=20, external_data=False, verbose=False
        )
    program.save(str(path))
    return graph, path


def test_the_graph_is_static_and_has_no_operator_that_engines_get_wrong(exported):
    model = onnx.load(exported[1])
    onnx.checker.check_model(model)
    operators = {node.op_type for node in model.graph.node}
    assert not operators & DISCRETE
    for value in (*model.graph.input, *model.graph.output):
        assert all(size.dim_value > 0 for size in value.type.tensor_type.shape.dim)
    doubles = {onnx.TensorProto.DOUBLE}
    assert not doubles & {initializer.data_type for initializer in model.graph.initializer}
    assert not doubles & {value.type.tensor_type.elem_type for value in model.graph.value_info}


@pytest.mark.parametrize("seed", range(4))
def test_onnx_runtime_gives_what_torch_gives(exported, seed):
    graph, path = exported
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {value.name: one.numpy() for value, one in zip(session.get_inputs(), tensors(seed), strict=True)}
    with torch.no_grad():
        expected = graph(*tensors(seed))
    assert expected[1].any()
    for found, wanted in zip(session.run(None, feed), expected, strict=True):
        np.testing.assert_allclose(found.astype(np.float64), wanted.numpy().astype(np.float64), atol=2e-4)
