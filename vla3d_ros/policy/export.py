"""From a network to the two graphs of a policy package, checked against the network itself.

Static shapes, batch of one, opset 20, one file per graph. The step graph is one Euler step; N is chosen at load.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import DependencyError, PackageError, ParityError
from vla3d_ros.policy.engine import Engine, EngineSettings, GraphFiles, Guidance
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.presets import preset
from vla3d_ros.policy.nets.signature import TensorSpec, context_inputs, step_inputs, step_outputs

if TYPE_CHECKING:
    from vla3d_ros.policy.nets.policy_net import PolicyNet

OPSET = 20
CONTEXT_FILE = "context.onnx"
STEP_FILE = "step.onnx"
MODULE_NAMES = "pkg.torch.onnx.name_scopes"
REFUSED_OPERATORS = {"GridSample", "If", "Loop", "Scan", "NonZero", "Unique"}

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What came of an export: nodes and bytes per file, and differences to the network, see `compare_with_runtime`."""

    nodes: Mapping[str, int]
    size_bytes: Mapping[str, int]
    differences: Mapping[str, float]


def example_inputs(config: PolicyConfig, seed: int = 0) -> Arrays:
    """Make inputs of the context graph that look like a scene: cameras around a table, all views and arms there.

    Args:
        config: Says which inputs, and their shapes.
        seed: Of pixels, states and words.
    """
    rng = np.random.default_rng(seed)
    arrays = {name: _noise(spec, rng) for name, spec in context_inputs(config).items()}
    if "text_tokens" in arrays:
        arrays["text_tokens"] = rng.integers(1, config.text.buckets, arrays["text_tokens"].shape)
        arrays["text_mask"] = np.arange(config.text.length)[None] < 5
        arrays["text_tokens"][~arrays["text_mask"]] = 0
    arrays["embodiment"] = rng.integers(0, len(config.embodiments), 1)
    if config.uses_geometry:
        height, width = config.image_size
        arrays["K"][:] = [[width, 0.0, width / 2], [0.0, width, height / 2], [0.0, 0.0, 1.0]]
        arrays["T_base_camera"][0] = [_looking_down(rng) for _ in config.views]
        arrays["T_base_ee"][0] = [_looking_down(rng) for _ in config.arms]
    if config.uses_depth:
        arrays["depth_m"] = rng.uniform(0.6, 1.2, arrays["depth_m"].shape).astype(np.float32)
    return arrays


def _noise(spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    if spec.dtype == "uint8":
        return rng.integers(0, 256, spec.shape, dtype=np.uint8)
    if spec.dtype == "bool":
        return np.ones(spec.shape, np.bool_)
    return rng.standard_normal(spec.shape).astype(spec.dtype)


def _looking_down(rng: np.random.Generator) -> NDArray[np.float32]:
    """A frame 0.9 m above the table whose z axis points down, turned about it by chance."""
    turn = rng.uniform(-np.pi, np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, sin, 0.0], [sin, -cos, 0.0], [0.0, 0.0, -1.0]])
    position = np.array([rng.uniform(0.3, 0.6), rng.uniform(-0.2, 0.2), 0.9])
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3], pose[:3, 3] = rotation, position
    return pose


def example_step_inputs(config: PolicyConfig, context: Mapping[str, NDArray[Any]], seed: int = 0) -> Arrays:
    """Make inputs of the step graph in mid-flow, guided towards a previous chunk whose first steps are given.

    Args:
        config: Says the shapes.
        context: context_k, context_v, context_mask and condition.
        seed: Of the chunks.
    """
    rng = np.random.default_rng(seed)
    arrays = {
        name: context[name] if name in context else _noise(spec, rng) for name, spec in step_inputs(config).items()
    }
    steps = np.arange(config.chunk)
    arrays["tau"], arrays["dt"], arrays["beta"] = (np.full(1, value, np.float32) for value in (0.4, 0.2, 5.0))
    arrays["weights"] = np.clip(1.0 - steps / 10.0, 0.0, 1.0).astype(np.float32)[None]
    arrays["prefix_mask"] = (steps < 2)[None]
    return arrays


def export_package_graphs(net: PolicyNet, folder: Path, *, tolerance: float = 1e-4) -> ExportReport:
    """Write `context.onnx` and `step.onnx`, check them, and compare them with the network.

    Args:
        net: In evaluation mode, float32, on the CPU.
        folder: Must exist; files of these names are replaced.
        tolerance: Largest difference allowed in actions and scores, in normalised units.

    Raises:
        DependencyError: If the exporter's packages or ONNX Runtime are missing.
        PackageError: If a graph is malformed, or contains an operator that engines get wrong or can not capture.
        ParityError: If ONNX Runtime gives other actions than the network.
    """
    from vla3d_ros.policy.nets.graphs import ContextGraph, StepGraph, run_graph

    files = {CONTEXT_FILE: folder / CONTEXT_FILE, STEP_FILE: folder / STEP_FILE}
    context_graph, step_graph = ContextGraph(net), StepGraph(net)
    observed = example_inputs(net.config)
    context = run_graph(context_graph, observed, context_graph.outputs)
    _write(context_graph, observed, context_graph.outputs, files[CONTEXT_FILE])
    _write(step_graph, example_step_inputs(net.config, context), tuple(step_outputs(net.config)), files[STEP_FILE])
    nodes = {name: _check(path) for name, path in files.items()}
    differences = compare_with_runtime(net, files[CONTEXT_FILE], files[STEP_FILE])
    if wrong := {name: gap for name, gap in differences.items() if not gap <= tolerance}:
        raise ParityError(
            f"ONNX Runtime and the network differ by {wrong}; expected at most {tolerance:.0e}: "
            "do not ship these graphs; export with another version of torch or onnxscript"
        )
    sizes = {name: path.stat().st_size for name, path in files.items()}
    return ExportReport(nodes=nodes, size_bytes=sizes, differences=differences)


def _write(graph: Any, arrays: Arrays, outputs: tuple[str, ...], path: Path) -> None:
    from vla3d_ros.policy.nets.graphs import tensors_in_order
    from vla3d_ros.policy.nets.pytorch import torch

    try:
        import onnx
        import onnxscript  # noqa: F401  the exporter's own message does not say what to install
    except ImportError as error:
        raise DependencyError("the export needs onnx and onnxscript: pip install 'vla3d_ros[nets]'") from error
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            graph.eval(),
            tensors_in_order(graph, arrays),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(outputs),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    onnx.save(_without_traces(program.model_proto), path)


def _without_traces(model: Any) -> Any:
    """Drop what the exporter notes about its origin: file names and stack traces of the machine it ran on.

    A node keeps the names of the modules it came from: engines are told by them what stays float32.
    """
    for holder in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        scopes = [entry.value for entry in holder.metadata_props if entry.key == MODULE_NAMES]
        del holder.metadata_props[:]
        for names in scopes:
            holder.metadata_props.add(key=MODULE_NAMES, value=names)
    for holder in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        holder.doc_string = ""
    return model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter says about itself: deprecations, and packages that this project has no use for."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def _check(path: Path) -> int:
    """Validate a graph and return its number of nodes.

    Raises:
        PackageError: If it is malformed or holds an operator that is refused.
    """
    import onnx

    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PackageError(f"{path.name} is malformed: {error}") from error
    if found := REFUSED_OPERATORS & {node.op_type for node in model.graph.node}:
        raise PackageError(
            f"{path.name} contains {sorted(found)}: engines get these wrong or can not capture them; "
            "sample with gathers and keep every shape and branch static"
        )
    return len(model.graph.node)


def compare_with_runtime(net: PolicyNet, context_file: Path, step_file: Path, seed: int = 1) -> dict[str, float]:
    """Run exported graphs in ONNX Runtime and the network in torch on one scene.

    Args:
        net: The network that was exported.
        context_file: Its context graph.
        step_file: Its step graph.
        seed: Of the scene and the noise.

    Returns:
        Largest difference of the chunk, free (`actions`) and guided with two given steps (`guided_actions`), and of
        instance scores where the route has them. Slots are compared as a set: their order may differ.
    """
    from vla3d_ros.policy.backends.onnxruntime import OnnxRuntimeEngine
    from vla3d_ros.policy.nets.torch_engine import TorchEngine

    config = net.config
    files = GraphFiles(context=context_file, step=step_file, sha256="")
    engines: list[Engine] = [OnnxRuntimeEngine.open(files, EngineSettings()), TorchEngine(net)]
    rng = np.random.default_rng(seed)
    noise, previous = rng.standard_normal((2, config.chunk, config.action_width)).astype(np.float32)
    steps = np.arange(config.chunk)
    weights = np.clip(1.0 - steps / 10.0, 0.0, 1.0).astype(np.float32)
    guidance = Guidance(previous=previous, weights=weights, beta=5.0, prefix_mask=steps < 2)
    inputs = example_inputs(config, seed)
    differences = {}
    for name, pull in (("actions", None), ("guided_actions", guidance)):
        ours, theirs = (engine.infer(inputs, noise, 5, pull) for engine in engines)
        differences[name] = float(np.abs(ours.actions - theirs.actions).max())
    if "instance_scores" in ours.display:
        scores = [np.sort(output.display["instance_scores"]) for output in (ours, theirs)]
        differences["instance_scores"] = float(np.abs(scores[0] - scores[1]).max())
    for engine in engines:
        engine.close()
    return differences


def build_and_export(preset_name: str, seed: int, folder: Path) -> ExportReport:
    """Build an untrained network of a named size and export it: for timing and tests, never for a robot.

    Raises:
        ConfigError: If there is no such preset.
        PackageError: As `export_package_graphs`.
        ParityError: As `export_package_graphs`.
    """
    from vla3d_ros.policy.nets.building import build_untrained_net

    return export_package_graphs(build_untrained_net(preset(preset_name), seed), folder)
