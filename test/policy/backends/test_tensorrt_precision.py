"""Which nodes go to half precision, and that the rewritten graph still computes the same within its rounding."""

import numpy as np
import onnx
import onnxruntime
import pytest
import small_graphs
from onnx import TensorProto, helper, numpy_helper

from vla3d_ros.errors import ConfigError, EngineError
from vla3d_ros.policy.backends.tensorrt_graph import view_graph
from vla3d_ros.policy.backends.tensorrt_lowering import bfloat16_bits, cast_pixels_first, lower_precision
from vla3d_ros.policy.backends.tensorrt_precision import plan_precision


def low_nodes(model, keep=(), precision="fp16"):
    view = view_graph(model)
    return {view.nodes[index].name for index in plan_precision(view, precision, keep).low}


def kept(model, keep=()):
    return {title.split("_node")[0]: why for title, why in plan_precision(view_graph(model), "fp16", keep).kept}


def test_products_of_features_go_low():
    assert {"first_node", "deep_node"} <= low_nodes(small_graphs.context_graph())
    assert "mid_node" in low_nodes(small_graphs.step_graph())


def test_geometry_keeps_its_precision():
    reasons = kept(small_graphs.context_graph())
    assert reasons["turned"] == "reads geometry: Rt"
    assert reasons["placed"] == "reads geometry: turned"
    assert reasons["shift"] == "the last product before geometry"
    assert reasons["depth_logits"] == "named by '*depth*'"
    assert set(reasons) == {"turned", "placed", "shift", "depth_logits"}


def test_the_flows_first_and_last_layers_keep_their_precision():
    assert kept(small_graphs.step_graph()) == {
        "hidden": "reads geometry: x",
        "velocity": "the last product before geometry",
    }


def test_a_pattern_keeps_what_it_names():
    assert kept(small_graphs.context_graph(), ["w_dee*"])["deep"] == "named by 'w_dee*'"
    assert "deep_node" not in low_nodes(small_graphs.context_graph(), ["w_dee*"])


def graph_of(nodes, inputs, outputs, constants):
    infos = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in side.items()]
             for side in (inputs, outputs)]  # fmt: skip
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", *infos, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_weights_of_a_bilinear_sample_are_features_and_its_position_is_geometry():
    node = small_graphs.node
    nodes = [
        node("MatMul", "seen w_offset", "offset"),
        node("Add", "x offset", "position"),
        node("Floor", "position", "low"),
        node("Add", "low one", "high"),
        node("Concat", "low high", "corners", axis=-1),
        node("Concat", "position position", "twice", axis=-1),
        node("Sub", "twice corners", "near"),
        node("MatMul", "seen w_value", "value"),
        node("MatMul", "near value", "context_k"),
    ]
    constants = {"w_offset": np.ones((4, 2)), "w_value": np.ones((4, 4)), "one": 1.0}
    model = graph_of(nodes, {"x": (4, 2), "seen": (4, 4)}, {"context_k": (4, 4)}, constants)
    assert kept(model) == {"offset": "the last product before geometry"}
    assert {"value_node", "context_k_node"} <= low_nodes(model)


def test_a_transposed_convolution_goes_low_only_where_it_can_be_built():
    node = small_graphs.node("ConvTranspose", "images w", "context_k", strides=[2, 2])
    model = graph_of([node], {"images": (1, 2, 4, 4)}, {"context_k": (1, 3, 8, 8)}, {"w": np.ones((2, 3, 2, 2))})
    assert low_nodes(model) == {"context_k_node"}
    assert low_nodes(model, precision="bf16") == set()


def test_pixels_become_float_before_anything_reads_them():
    model = small_graphs.context_graph()
    first = model.graph.node[0]
    reshaped = helper.make_node("Reshape", ["images", "flat"], ["images_flat"], name="early_reshape")
    first.input[0] = "images_flat"
    model.graph.node.insert(0, reshaped)
    changed = cast_pixels_first(model)
    assert [node.op_type for node in changed.graph.node[:3]] == ["Cast", "Reshape", "Cast"]
    given = small_graphs.inputs()
    for found, expected in zip(run(changed, given), run(model, given), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_module_can_be_named():
    model = small_graphs.context_graph()
    entry = next(node for node in model.graph.node if node.name == "deep_node").metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", "['trunk', 'fusion', 'linear']"
    assert "deep" in kept(model, ["*fusion*"])


def test_only_products_and_what_follows_them_go_low():
    view = view_graph(small_graphs.context_graph())
    kinds = {view.nodes[index].op_type for index in plan_precision(view, "fp16").low}
    assert kinds <= {"MatMul", "Reshape", "Add"}


def run(model, feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = {info.name for info in session.get_inputs()}
    return session.run(None, {name: value for name, value in feeds.items() if name in names})


def test_half_precision_rounds_features_and_leaves_geometry_to_the_micrometre():
    given = small_graphs.inputs()
    lowered, _ = lower_precision(small_graphs.context_graph(), "fp16")
    features, points, _ = run(lowered, given)
    exact_features, exact_points = small_graphs.expected_context(given)
    error = np.abs(features - exact_features).max()
    assert 1e-5 < error < 5e-3, "rounded, but not more than half precision does"
    assert np.abs(points - exact_points).max() < 2e-4, "a bounded refinement of 0.1 m from rounded features"


def test_inputs_outputs_and_their_types_stay():
    model = small_graphs.step_graph()
    for precision in ("fp32", "fp16", "bf16"):
        graph = lower_precision(model, precision)[0].graph
        assert [info.SerializeToString() for info in graph.input] == [i.SerializeToString() for i in model.graph.input]
        assert [info.SerializeToString() for info in graph.output] == [
            i.SerializeToString() for i in model.graph.output
        ]


def test_weights_of_low_products_travel_in_half_precision_only():
    graph = lower_precision(small_graphs.context_graph(), "bf16")[0].graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert kinds["w_deeper_bf16"] == TensorProto.BFLOAT16
    assert "w_deeper" not in kinds
    assert kinds["w_points"] == TensorProto.FLOAT


def test_the_model_handed_in_is_not_changed():
    model = small_graphs.context_graph()
    before = model.SerializeToString()
    lower_precision(model, "bf16")
    assert model.SerializeToString() == before


def test_a_weight_that_overflows_is_named():
    model = small_graphs.context_graph()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w_deeper")
    weight.CopyFrom(numpy_helper.from_array(small_graphs.WEIGHTS["w_deeper"] + np.float32(1e5), "w_deeper"))
    with pytest.raises(EngineError, match="weight 'w_deeper' of deep_node .MatMul. reaches 1e[+]05.*bf16"):
        lower_precision(model, "fp16")
    lower_precision(model, "bf16")


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="unknown precision 'int8'"):
        lower_precision(small_graphs.step_graph(), "int8")


def test_control_flow_is_refused_by_name():
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [])
    constant = helper.make_node("Constant", [], ["inner"], value_float=1.0)
    branch = helper.make_graph(
        [constant], "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [])]
    )
    choose = helper.make_node("If", ["flag"], ["result"], name="choose", then_branch=branch, else_branch=branch)
    with pytest.raises(EngineError, match="control flow.*choose .If."):
        lower_precision(helper.make_model(helper.make_graph([choose], "g", [flag], [result])), "fp16")


def test_bfloat16_rounds_to_nearest_and_ties_to_even():
    values = np.array([1.0, -2.0, 1.00390625, 1.01171875, 3.14159265, 0.0, -0.0, 1e38], np.float32)
    halves = bfloat16_bits(values).astype(np.uint32) << 16
    back = halves.view(np.float32)
    assert back[:4].tolist() == [1.0, -2.0, 1.0, 1.015625]
    assert np.abs(back[4:] - values[4:]).max() <= np.abs(values).max() * 2**-8
    assert back[4] == pytest.approx(3.140625)


def test_a_tensor_both_worlds_read_is_cast_once_each_way():
    graph = lower_precision(small_graphs.context_graph(), "fp16")[0].graph
    made = [name for node in graph.node for name in node.output]
    assert len(made) == len(set(made))
    assert sum(node.op_type == "Cast" and node.input[0] == "seen" for node in graph.node) == 1
    onnx.checker.check_model(lower_precision(small_graphs.context_graph(), "fp16")[0])
