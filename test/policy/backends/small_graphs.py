"""A context and a step graph of a few nodes in the shapes of the contract, and what they compute, in NumPy.

context: features of the images and the state (fused: what a layer makes of coordinates), points moved by T_base_camera
and refined. step: one Euler step whose velocity reads context, tau and x, with guidance.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

B, V, H, W, A, K, C, N = 1, 2, 4, 4, 2, 5, 8, 6
WIDTH = A * 10
rng = np.random.default_rng(3)
WEIGHTS = {
    "w_image": rng.normal(0, 0.3, (V * H * W * 3, N * C)),
    "w_deeper": rng.normal(0, 0.3, (C, C)),
    "w_points": rng.normal(0, 0.3, (3, C)),
    "w_shift": rng.normal(0, 0.3, (C, 3)),
    "depth_head.weight": rng.normal(0, 0.3, (C, 4)),
    "w_x": rng.normal(0, 0.2, (WIDTH, C)),
    "w_mid": rng.normal(0, 0.4, (C, C)),
    "w_out": rng.normal(0, 0.4, (C, WIDTH)),
}
WEIGHTS = {name: value.astype(np.float32) for name, value in WEIGHTS.items()}
POINTS = rng.uniform(-0.5, 0.5, (B, N, 3)).astype(np.float32)


def _info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def _model(nodes, inputs, outputs, constants):
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], name=f"{output}_node", **attributes)


def context_graph():
    nodes = [
        node("Cast", "images", "pixels", to=TensorProto.FLOAT),
        node("Div", "pixels c255", "scaled"),
        node("Reshape", "scaled flat", "row"),
        node("MatMul", "row w_image", "first"),
        node("Reshape", "first tokens", "grid"),
        node("Tanh", "grid", "seen"),
        node("MatMul", "seen w_deeper", "deep"),
        node("Slice", "T_base_camera zero one axis", "T"),
        node("Reshape", "T four", "T44"),
        node("Slice", "T44 zeros threes axes", "R"),
        node("Transpose", "R", "Rt", perm=[1, 0]),
        node("MatMul", "points Rt", "turned"),
        node("MatMul", "turned w_points", "placed"),
        node("Add", "deep placed", "fused"),
        node("MatMul", "fused w_shift", "shift"),
        node("Tanh", "shift", "bounded"),
        node("Mul", "bounded alpha", "small"),
        node("Add", "turned small", "instance_points"),
        node("MatMul", "seen depth_head.weight", "depth_logits"),
        node("Softmax", "depth_logits", "depth_weights", axis=-1),
        node("ReduceMean", "depth_weights", "depth_mean", keepdims=1),
        node("Add", "fused depth_mean", "context_k"),
        node("Identity", "arm_mask", "context_mask"),
    ]
    inputs = [
        _info("images", (B, V, H, W, 3), TensorProto.UINT8),
        _info("T_base_camera", (B, V, 4, 4)),
        _info("arm_mask", (B, A), TensorProto.BOOL),
    ]
    outputs = [
        _info("context_k", (B, N, C)),
        _info("instance_points", (B, N, 3)),
        _info("context_mask", (B, A), TensorProto.BOOL),
    ]
    constants = {
        "c255": np.float32(255.0), "flat": np.array([B, -1]), "tokens": np.array([B, N, C]), "points": POINTS,
        "zero": np.array([0]), "one": np.array([1]), "axis": np.array([1]), "four": np.array([4, 4]),
        "zeros": np.array([0, 0]), "threes": np.array([3, 3]), "axes": np.array([0, 1]), "alpha": np.float32(0.1),
        **{name: WEIGHTS[name] for name in ("w_image", "w_deeper", "w_points", "w_shift", "depth_head.weight")},
    }  # fmt: skip
    return _model(nodes, inputs, outputs, constants)


def step_graph():
    nodes = [
        node("MatMul", "x w_x", "hidden"),
        node("ReduceMean", "context_k tokens_axis", "seen", keepdims=1),
        node("Reshape", "tau column", "when"),
        node("Add", "hidden seen", "with_seen"),
        node("Add", "with_seen when", "with_when"),
        node("Tanh", "with_when", "features"),
        node("MatMul", "features w_mid", "mid"),
        node("Tanh", "mid", "mid_features"),
        node("MatMul", "mid_features w_out", "velocity"),
        node("Sub", "previous x", "pull"),
        node("Reshape", "weights rows", "firmness"),
        node("Mul", "pull firmness", "held"),
        node("Add", "velocity held", "guided"),
        node("Mul", "guided dt", "moved"),
        node("Add", "x moved", "moving"),
        node("Cast", "arm_mask", "arms", to=TensorProto.FLOAT),
        node("ReduceMax", "arms", "any_arm", keepdims=0),
        node("Mul", "moving any_arm", "x_next"),
    ]
    inputs = [
        _info("x", (B, K, WIDTH)),
        _info("tau", (B,)),
        _info("dt", (B,)),
        _info("context_k", (B, N, C)),
        _info("arm_mask", (B, A), TensorProto.BOOL),
        _info("previous", (B, K, WIDTH)),
        _info("weights", (B, K)),
    ]
    constants = {
        "tokens_axis": np.array([1]), "column": np.array([B, 1, 1]), "rows": np.array([B, K, 1]),
        **{name: WEIGHTS[name] for name in ("w_x", "w_mid", "w_out")},
    }  # fmt: skip
    return _model(nodes, inputs, [_info("x_next", (B, K, WIDTH))], constants)


def save_graphs(folder):
    onnx.save(context_graph(), folder / "context.onnx")
    onnx.save(step_graph(), folder / "step.onnx")
    return folder / "context.onnx", folder / "step.onnx"


def inputs(seed=0):
    found = np.random.default_rng(seed)
    T = np.tile(np.eye(4, dtype=np.float32), (B, V, 1, 1))
    angle = found.uniform(-3, 3)
    T[:, :, :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return {
        "images": found.integers(0, 256, (B, V, H, W, 3), np.uint8),
        "T_base_camera": T,
        "arm_mask": np.array([[True, False]]),
    }


def expected_context(given):
    w = {name: value.astype(np.float64) for name, value in WEIGHTS.items()}
    seen = np.tanh((given["images"].reshape(B, -1) / 255.0 @ w["w_image"]).reshape(B, N, C))
    turned = POINTS.astype(np.float64) @ given["T_base_camera"][0, 0, :3, :3].astype(np.float64).T
    fused = seen @ w["w_deeper"] + turned @ w["w_points"]
    points = turned + 0.1 * np.tanh(fused @ w["w_shift"])
    return fused + 0.25, points  # the mean of a softmax over 4 is 1/4


def expected_actions(given, noise, flow_steps, previous=None, weights=None):
    w = {name: value.astype(np.float64) for name, value in WEIGHTS.items()}
    seen = expected_context(given)[0].mean(axis=1, keepdims=True)
    x = noise[None].astype(np.float64)
    for index in range(flow_steps):
        features = np.tanh(x @ w["w_x"] + seen + index / flow_steps)
        velocity = np.tanh(features @ w["w_mid"]) @ w["w_out"]
        if previous is not None:
            velocity = velocity + (previous[None] - x) * weights[None, :, None]
        x = x + velocity / flow_steps
    return x[0]
