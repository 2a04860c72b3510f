"""`vla3d policy build`, on machines without a GPU."""

import json

import pytest
import small_graphs

from vla3d_ros import cli
from vla3d_ros.commands import policy_build
from vla3d_ros.errors import EngineError
from vla3d_ros.policy.engine import GraphFiles


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make one package of small graphs the only one, and the cache a temporary one; there is no GPU."""
    context, step = small_graphs.save_graphs(tmp_path)
    files = GraphFiles(context=context, step=step, sha256="34" * 32)
    loaded = type("Package", (), {"graphs": files})
    monkeypatch.setattr(policy_build, "chosen_folders", lambda names: [tmp_path / "mine"])
    monkeypatch.setattr(policy_build, "load_package", lambda folder: loaded)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def no_gpu(index):
        raise EngineError("no GPU to run on")

    monkeypatch.setattr(policy_build, "open_cuda", no_gpu)
    return tmp_path


def test_graphs_are_built_without_a_gpu_and_what_stays_float32_is_told(package, capsys):
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    build = ["policy", "build", "--engine", "tensorrt_rtx", "--precision", "fp16", "--show-kept"]
    assert cli.main([*build, "--json", str(package / "out.json")]) == 0
    said = capsys.readouterr().out
    assert "no GPU to run on" in said
    assert "1 of 1 packages built" in said
    assert "velocity_node (MatMul): the last product before geometry" in said
    figures = json.loads((package / "out.json").read_text())["packages"]["mine"]["graphs"]
    assert figures["step"]["products"] == 3
    assert cli.main(build) == 0
    assert "in the cache" in capsys.readouterr().out


def test_a_graph_that_is_refused_fails_the_command_by_node(package, capsys):
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    (package / "step.onnx").write_bytes((package / "step.onnx").read_bytes().replace(b"\x04Tanh", b"\x04Tenh"))
    assert cli.main(["policy", "build", "--engine", "tensorrt_rtx"]) == 1
    assert "(Tenh)" in capsys.readouterr().out.replace("\n", "")


def test_an_engine_that_is_not_built_is_refused(capsys):
    assert cli.main(["policy", "build", "--engine", "onnxruntime"]) == 2
    assert "is not built ahead" in capsys.readouterr().err


def test_tensorrt_itself_needs_a_gpu(package, monkeypatch, capsys):
    monkeypatch.setattr(policy_build, "load_binding", lambda kind: None)
    assert cli.main(["policy", "build", "--engine", "tensorrt"]) == 2
    assert "no GPU to run on" in capsys.readouterr().err
