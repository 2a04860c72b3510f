"""The smallest policy package there can be: two graphs of a dozen nodes, written with `onnx` alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vla3d_ros.policy import manifest as m
from vla3d_ros.policy.engine import EngineSettings, open_engine
from vla3d_ros.policy.golden_scenes import drawn_cases
from vla3d_ros.policy.package import PolicyPackage, write_package
from vla3d_ros.policy.package_graphs import context_inputs, step_inputs

STEPS, SLOTS = 8, ("left", "right")
DT_NS = 33_333_333
_TYPES = {"uint8": TensorProto.UINT8, "bool": TensorProto.BOOL, "int64": TensorProto.INT64}


def standin_manifest(**changes) -> m.Manifest:
    """Two views of 24 x 16 px, two arm slots, one single-armed and one bimanual robot."""
    width = m.ACTION_WIDTH + 7
    mean = np.tile([0, 0, 0, 1, 0, 0, 0, 1, 0, 0.5], (2, 1)).astype(float)
    std = np.tile([0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], (2, 1))
    robots = [
        m.EmbodimentSpec(
            name=name, index=index, joints=joints, state_mean=np.zeros((2, width)), state_std=np.ones((2, width))
        )
        for index, (name, joints) in enumerate({"one_arm": (7, 0), "two_arms": (6, 6)}.items())
    ]
    manifest = m.Manifest(
        name="standin",
        title="Stand-in (untrained: for tests)",
        is_trained=False,
        route=m.CUSTOM_ROUTE,
        config={},
        views=tuple(m.ViewSpec(name=name, width_px=24, height_px=16) for name in ("head", "wrist")),
        arm_slots=SLOTS,
        max_joints=7,
        embodiments=tuple(robots),
        actions=m.ActionSpec(steps=STEPS, dt_ns=DT_NS, mean=mean, std=std),
        text=m.TextSpec(kind="hashed_words", buckets=64, length=8),
        uses_prompt=False,
        flow_steps=5,
        seed=m.SeedSpec(),
        rtc=m.RtcSpec(kind="guidance"),
        tolerances={"fp32": m.Tolerance(position_mm=0.1, rotation_deg=0.1, gripper=0.01, instances=0.9)},
        licence="Apache-2.0",
        provenance={"from": "drawn by the tests"},
    )
    return replace(manifest, **changes)


def write_standin(folder: Path, manifest: m.Manifest | None = None, **changes) -> PolicyPackage:
    """Write graphs, golden cases and manifest into a new folder, and load the package."""
    manifest = standin_manifest(name=folder.name, **changes) if manifest is None else manifest
    folder.mkdir(parents=True)
    onnx.save(context_model(manifest), folder / "context.onnx")
    onnx.save(step_model(manifest), folder / "step.onnx")
    package_graphs = open_engine(_graphs(folder), EngineSettings())
    cases = drawn_cases(manifest, package_graphs, seed=0)
    return write_package(folder, manifest, cases, "# Stand-in\n\nUntrained: for tests.\n")


def context_model(manifest: m.Manifest) -> onnx.ModelProto:
    """condition (1, A*10): brightness of the seen views, the state and the words, mixed by a fixed matrix."""
    inputs = context_inputs(manifest)
    width = manifest.chunk_width
    rng = np.random.default_rng(1)
    sizes = {"pixels": len(manifest.views), "state": 2 * manifest.state_width, "words": 1, "poses": len(manifest.views)}
    mix = 0.3 * rng.standard_normal((sum(sizes.values()), width)).astype(np.float32)
    constants = {"mix": mix, "axes": np.array([2, 3, 4]), "flat": np.array([1, -1]), "last": np.array([2, 3])}
    nodes = [
        helper.make_node("Cast", ["images"], ["images_f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["images_f", "axes"], ["bright"], keepdims=0),
        helper.make_node("Cast", ["view_mask"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bright", "seen"], ["seen_bright"]),
        helper.make_node("Constant", [], ["scale"], value=numpy_helper.from_array(np.array(0.01, np.float32))),
        helper.make_node("Mul", ["seen_bright", "scale"], ["pixels"]),
        helper.make_node("ReduceMean", ["T_base_camera", "last"], ["pose_mean"], keepdims=0),
        helper.make_node("ReduceMean", ["K", "last"], ["focal"], keepdims=0),
        helper.make_node("Mul", ["focal", "scale"], ["focal_small"]),
        helper.make_node("Add", ["pose_mean", "focal_small"], ["geometry"]),
        helper.make_node("Mul", ["geometry", "seen"], ["poses"]),
        helper.make_node("Reshape", ["state", "flat"], ["states"]),
        helper.make_node("Cast", ["text_tokens"], ["words_f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["words_f"], ["word"], keepdims=0),
        helper.make_node("Reshape", ["word", "flat"], ["words"]),
        helper.make_node("Concat", ["pixels", "states", "words", "poses"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "mix"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["condition"]),
    ]
    used = ["images", "view_mask", "K", "T_base_camera", "state", "text_tokens"]
    values = [_value(name, inputs[name]) for name in used]
    outputs = [helper.make_tensor_value_info("condition", TensorProto.FLOAT, [1, width])]
    return _model("context", nodes, values, outputs, constants)


def step_model(manifest: m.Manifest) -> onnx.ModelProto:
    """x_next = x + dt * (v + min(beta, g) * weights * (previous - x1)), v = condition - x; prefix steps are set."""
    inputs, width = step_inputs(manifest), manifest.chunk_width
    scalar = np.array([1, 1, 1])
    constants = {"one": np.array(1.0, np.float32), "eps": np.array(1e-3, np.float32), "scalar": scalar}
    constants |= {"row": np.array([1, 1, width]), "column": np.array([1, manifest.actions.steps, 1])}
    nodes = [
        helper.make_node("Reshape", [name, "scalar"], [f"{name}_s"]) for name in ("tau", "dt", "beta")
    ]  # fmt: skip
    nodes += [
        helper.make_node("Reshape", ["condition", "row"], ["goal"]),
        helper.make_node("Reshape", ["weights", "column"], ["weights_c"]),
        helper.make_node("Reshape", ["prefix_mask", "column"], ["prefix_c"]),
        helper.make_node("Where", ["prefix_c", "previous", "x"], ["x_set"]),
        helper.make_node("Sub", ["goal", "x_set"], ["v"]),
        helper.make_node("Sub", ["one", "tau_s"], ["rest"]),
        helper.make_node("Mul", ["rest", "v"], ["jump"]),
        helper.make_node("Add", ["x_set", "jump"], ["x1"]),
        helper.make_node("Mul", ["tau_s", "tau_s"], ["tau2"]),
        helper.make_node("Mul", ["rest", "rest"], ["rest2"]),
        helper.make_node("Add", ["tau2", "rest2"], ["over"]),
        helper.make_node("Mul", ["tau_s", "rest"], ["product"]),
        helper.make_node("Add", ["product", "eps"], ["under"]),
        helper.make_node("Div", ["over", "under"], ["ratio"]),
        helper.make_node("Min", ["ratio", "beta_s"], ["g"]),
        helper.make_node("Sub", ["previous", "x1"], ["error"]),
        helper.make_node("Mul", ["error", "weights_c"], ["weighted"]),
        helper.make_node("Mul", ["weighted", "g"], ["pull"]),
        helper.make_node("Add", ["v", "pull"], ["v_guided"]),
        helper.make_node("Mul", ["v_guided", "dt_s"], ["move"]),
        helper.make_node("Add", ["x_set", "move"], ["moved"]),
        helper.make_node("Where", ["prefix_c", "previous", "moved"], ["x_next"]),
    ]
    used = ["x", "tau", "dt", "previous", "weights", "beta", "prefix_mask"]
    values = [_value(name, inputs[name]) for name in used]
    values.append(helper.make_tensor_value_info("condition", TensorProto.FLOAT, [1, width]))
    shape = [1, manifest.actions.steps, width]
    return _model("step", nodes, values, [helper.make_tensor_value_info("x_next", TensorProto.FLOAT, shape)], constants)


def _value(name, signature):
    return helper.make_tensor_value_info(name, _TYPES.get(signature.dtype, TensorProto.FLOAT), list(signature.shape))


def _model(name, nodes, inputs, outputs, constants):
    weights = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _graphs(folder: Path):
    from vla3d_ros.policy.engine import GraphFiles

    return GraphFiles(context=folder / "context.onnx", step=folder / "step.onnx", sha256="0" * 64)
