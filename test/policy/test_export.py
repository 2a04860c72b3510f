"""Exported graphs say what the network says, and contain nothing that engines are known to get wrong."""

import dataclasses
import re

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'vla3d_ros[nets]'")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'vla3d_ros[nets]'")

import onnx
import torch

from vla3d_ros.errors import PackageError, ParityError
from vla3d_ros.policy import export
from vla3d_ros.policy.export import build_and_export, compare_with_runtime, export_package_graphs
from vla3d_ros.policy.nets.building import build_untrained_net
from vla3d_ros.policy.nets.presets import preset
from vla3d_ros.policy.nets.signature import context_inputs, context_outputs, step_inputs, step_outputs

TINY = ["tiny_trunk", pytest.param("tiny_vla3d", marks=pytest.mark.slow), "tiny_gear", "tiny_vipa", "tiny_think3d"]
SEED = 0


@pytest.fixture(scope="module", params=TINY)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(str(request.param))
    return preset(request.param), folder, build_and_export(request.param, SEED, folder)


def described(values):
    kinds = onnx.TensorProto
    names = {kinds.UINT8: "uint8", kinds.BOOL: "bool", kinds.INT64: "int64", kinds.FLOAT: "float32"}
    return {
        value.name: (
            tuple(size.dim_value for size in value.type.tensor_type.shape.dim),
            names[value.type.tensor_type.elem_type],
        )
        for value in values
    }


def expected(specs):
    return {name: (spec.shape, spec.dtype) for name, spec in specs.items()}


def test_graphs_take_and_give_what_the_signature_says(exported):
    config, folder, _ = exported
    context, step = (onnx.load(folder / name).graph for name in ("context.onnx", "step.onnx"))
    assert described(context.input) == expected(context_inputs(config))
    assert described(context.output) == expected(context_outputs(config))
    assert described(step.input) == expected(step_inputs(config))
    assert described(step.output) == expected(step_outputs(config))
    assert list(described(context.input)) == list(context_inputs(config))


def test_runtime_and_network_agree(exported):
    _, _, report = exported
    assert set(report.differences) >= {"actions", "guided_actions"}
    assert max(report.differences.values()) < 1e-5


def test_graphs_have_a_recent_opset_and_one_file_each(exported):
    _, folder, report = exported
    assert sorted(path.name for path in folder.iterdir()) == ["context.onnx", "step.onnx"]
    for name in ("context.onnx", "step.onnx"):
        model = onnx.load(folder / name)
        assert {entry.domain: entry.version for entry in model.opset_import}[""] >= 18
        assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert sum(report.size_bytes.values()) < 4e6


def test_graphs_hold_no_refused_operator_and_no_open_size(exported):
    _, folder, _ = exported
    for name in ("context.onnx", "step.onnx"):
        model = onnx.shape_inference.infer_shapes(onnx.load(folder / name))
        assert not export.REFUSED_OPERATORS & {node.op_type for node in model.graph.node}
        assert not any(node.domain not in ("", "ai.onnx") for node in model.graph.node)
        sizes = [size for value in model.graph.value_info for size in value.type.tensor_type.shape.dim]
        assert all(size.HasField("dim_value") for size in sizes)


def test_graphs_tell_nothing_about_the_machine_that_wrote_them(exported):
    _, folder, _ = exported
    for name in ("context.onnx", "step.onnx"):
        model = onnx.load(folder / name)
        del model.graph.initializer[:]  # any bytes may occur in weights
        content = model.SerializeToString()
        assert not re.search(rb"\.py\b", content)
        assert str(folder).encode() not in content


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    folders = [tmp_path / name for name in ("first", "second", "other")]
    for folder, seed in zip(folders, (4, 4, 5), strict=True):
        folder.mkdir()
        build_and_export("tiny_trunk", seed, folder)
    for name in ("context.onnx", "step.onnx"):
        first, second, other = ((folder / name).read_bytes() for folder in folders)
        assert first == second
        assert first != other


def test_comparison_sees_graphs_of_another_network(exported):
    config, folder, _ = exported
    other = build_untrained_net(config, SEED + 1)
    differences = compare_with_runtime(other, folder / "context.onnx", folder / "step.onnx")
    assert min(differences["actions"], differences["guided_actions"]) > 0.1


def test_a_disagreeing_export_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "compare_with_runtime", lambda *_: {"actions": 3e-3, "guided_actions": float("nan")})
    with pytest.raises(ParityError, match=r"differ by .*'actions': 0.003, 'guided_actions': nan"):
        build_and_export("tiny_trunk", SEED, tmp_path)


def test_grid_sample_is_refused(tmp_path):
    class Sampling(torch.nn.Module):
        def forward(self, image, grid):
            return torch.nn.functional.grid_sample(image, grid, align_corners=False)

    net = build_untrained_net(preset("tiny_gear"), SEED)

    class Connector(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.sampling = Sampling()

        def forward(self, tokens):
            image = tokens.transpose(-1, -2)[0][None]
            sampled = self.sampling(image, torch.zeros(1, image.shape[2], image.shape[3], 2))
            return self.inner(tokens + sampled[0].transpose(-1, -2)[None])

    net.route.connector = Connector(net.route.connector)
    with pytest.raises(PackageError, match=r"context.onnx contains \['GridSample'\]"):
        export_package_graphs(net, tmp_path)


def test_external_text_and_convolutions_export_as_well(tmp_path):
    config = preset("tiny_trunk")
    config = dataclasses.replace(
        config,
        text=dataclasses.replace(config.text, kind="embeddings", embedding_width=24),
        encoder=dataclasses.replace(config.encoder, kind="conv", depth=1),
    )
    report = export_package_graphs(build_untrained_net(config, SEED), tmp_path)
    assert max(report.differences.values()) < 1e-5
