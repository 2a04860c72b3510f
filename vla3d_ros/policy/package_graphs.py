"""Whether a package's graphs take and give what its manifest promises; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vla3d_ros.errors import ConfigError, PackageError
from vla3d_ros.policy.engine import DISPLAY_OUTPUTS
from vla3d_ros.policy.manifest import CUSTOM_ROUTE, Manifest
from vla3d_ros.policy.onnx_signature import GraphSignature, TensorSignature, read_signature
from vla3d_ros.policy.package_files import CONTEXT, STEP

_MIN_OPSET = 18


def context_inputs(manifest: Manifest) -> dict[str, TensorSignature]:
    """Return the inputs a context graph of this package may have; those the manifest does not use are left out."""
    views, slots, view = len(manifest.views), len(manifest.arm_slots), manifest.views[0]
    size = (view.height_px, view.width_px)
    inputs = {
        "images": _tensor("uint8", 1, views, *size, 3),
        "view_mask": _tensor("bool", 1, views),
        "state": _tensor("float32", 1, slots, manifest.state_width),
        "state_mask": _tensor("bool", 1, slots),
        "T_base_ee": _tensor("float32", 1, slots, 4, 4),
        "arm_mask": _tensor("bool", 1, slots),
        "embodiment": _tensor("int64", 1),
    }
    if any(spec.uses_intrinsics for spec in manifest.views):
        inputs["K"] = _tensor("float32", 1, views, 3, 3)
    if any(spec.uses_extrinsics for spec in manifest.views):
        inputs["T_base_camera"] = _tensor("float32", 1, views, 4, 4)
    if any(spec.depth != "unused" for spec in manifest.views):
        inputs["depth_m"] = _tensor("float32", 1, views, *size)
    if manifest.text.kind != "none":
        inputs["text_tokens"] = _tensor("int64", 1, manifest.text.length)
        inputs["text_mask"] = _tensor("bool", 1, manifest.text.length)
    if manifest.uses_prompt:
        inputs["prompt_image"] = _tensor("uint8", 1, *size, 3)
        inputs["prompt_mask"] = _tensor("bool", 1)
    return inputs


def step_inputs(manifest: Manifest) -> dict[str, TensorSignature]:
    """Return the inputs a step graph of this package has, apart from what it takes from the context graph."""
    steps, width = manifest.actions.steps, manifest.chunk_width
    inputs = {
        "x": _tensor("float32", 1, steps, width),
        "tau": _tensor("float32", 1),
        "dt": _tensor("float32", 1),
        "arm_mask": _tensor("bool", 1, len(manifest.arm_slots)),
    }
    if manifest.rtc.kind != "none":
        inputs["previous"] = _tensor("float32", 1, steps, width)
        inputs["weights"] = _tensor("float32", 1, steps)
        inputs["beta"] = _tensor("float32", 1)
        inputs["prefix_mask"] = _tensor("bool", 1, steps)
    return inputs


def graph_problems(folder: Path, manifest: Manifest) -> list[str]:
    """Return how the graphs contradict the manifest; empty also where a file is missing, which others complain about.

    Args:
        folder: The package.
        manifest: Its manifest, itself without problems.
    """
    problems = config_problems(manifest)
    signatures: dict[str, GraphSignature] = {}
    for name in (CONTEXT, STEP):
        if not (folder / name).is_file() or (folder / name).is_symlink():
            continue
        try:
            signatures[name] = read_signature(folder / name)
        except PackageError as error:
            problems.append(str(error))
    for name, signature in signatures.items():
        if signature.has_external_weights:
            problems.append(f"{name} keeps weights in other files; export it with external_data=False")
        if signature.opset < _MIN_OPSET:
            problems.append(f"{name} has opset {signature.opset}; expected {_MIN_OPSET} or later")
    if len(signatures) == 2:
        problems += _context_problems(signatures[CONTEXT], manifest)
        problems += _step_problems(signatures[STEP], signatures[CONTEXT], manifest)
    return problems


def config_problems(manifest: Manifest) -> list[str]:
    """Return how the network's settings contradict the rest of the manifest; nothing for somebody else's graphs."""
    if manifest.route == CUSTOM_ROUTE:
        return []
    from vla3d_ros.policy.nets.config import PolicyConfig

    try:
        config = PolicyConfig.from_mapping(manifest.config)
    except ConfigError as error:
        return [f"config: {error}"]
    view = manifest.views[0]
    pairs = {
        "route": (config.route, manifest.route),
        "views": (config.views, tuple(spec.name for spec in manifest.views)),
        "image_size (height, width)": (config.image_size, (view.height_px, view.width_px)),
        "arms": (config.arms, manifest.arm_slots),
        "max_joints": (config.max_joints, manifest.max_joints),
        "embodiments": (
            config.embodiments,
            tuple(spec.name for spec in sorted(manifest.embodiments, key=lambda spec: spec.index)),
        ),
        "chunk": (config.chunk, manifest.actions.steps),
        "uses_prompt": (config.uses_prompt, manifest.uses_prompt),
        "text buckets, length": (
            (config.text.buckets, config.text.length),
            (manifest.text.buckets, manifest.text.length),
        ),
    }
    return [
        f"config says {name} {network}, the manifest {promised}"
        for name, (network, promised) in pairs.items()
        if network != promised
    ]


def _context_problems(graph: GraphSignature, manifest: Manifest) -> list[str]:
    allowed = context_inputs(manifest)
    problems = _differences(CONTEXT, graph.inputs, allowed)
    needed = {"images", "K", "T_base_camera", "depth_m", "text_tokens", "prompt_image"} & set(allowed)
    missing = sorted(needed - set(graph.inputs))
    if missing:
        problems.append(f"{CONTEXT} lacks inputs {missing}, which the manifest says are used; it has {_names(graph)}")
    return problems


def _step_problems(graph: GraphSignature, context: GraphSignature, manifest: Manifest) -> list[str]:
    allowed = {**context_inputs(manifest), **step_inputs(manifest)}
    handed = {name: tensor for name, tensor in context.outputs.items() if name not in DISPLAY_OUTPUTS}
    problems = _differences(STEP, graph.inputs, {**allowed, **handed})
    needed = set(step_inputs(manifest)) - {"arm_mask"}
    missing = sorted(needed - set(graph.inputs))
    if missing:
        kind = manifest.rtc.kind
        problems.append(f"{STEP} lacks inputs {missing}; rtc '{kind}' needs them: it has {_names(graph)}")
    unused = sorted(set(handed) - set(graph.inputs))
    if unused:
        problems.append(f"{CONTEXT} gives {unused}, which {STEP} does not take and nobody displays")
    expected = step_inputs(manifest)["x"]
    if list(graph.outputs) != ["x_next"] or graph.outputs["x_next"] != expected:
        shown = {name: str(tensor) for name, tensor in graph.outputs.items()}
        problems.append(f"{STEP} gives {shown}; expected x_next {expected} and nothing else")
    return problems


def _differences(
    graph: str, inputs: Mapping[str, TensorSignature], allowed: Mapping[str, TensorSignature]
) -> list[str]:
    unknown = [f"{graph} takes '{name}', which nobody gives it" for name in sorted(set(inputs) - set(allowed))]
    return unknown + [
        f"{graph} takes '{name}' as {tensor}; the manifest makes it {allowed[name]}"
        for name, tensor in inputs.items()
        if name in allowed and tensor != allowed[name]
    ]


def _names(graph: GraphSignature) -> list[str]:
    return sorted(graph.inputs)


def _tensor(dtype: str, *shape: int) -> TensorSignature:
    return TensorSignature(dtype=dtype, shape=shape)
