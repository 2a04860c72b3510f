"""The how-to page's code turns a torch model into a package that passes the check, word by word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from vla3d_ros.cli import main
from vla3d_ros.policy.learned_settings import fit_problems, read_learned_settings
from vla3d_ros.policy.package import load_package

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "policy-package.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_pages_example_becomes_a_package_that_passes_the_check(tmp_path, monkeypatch, capsys):
    for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed, reason=f"the page's example needs {needed}: pip install 'vla3d_ros[nets]'")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), names)
    assert main(["policy", "check", "models/reach"]) == 0
    assert "1 of 1 packages passed" in capsys.readouterr().out
    assert main(["policy", "info", "models/reach"]) == 0
    (settings,) = (read_learned_settings(yaml.safe_load(block)) for block in blocks("yaml"))
    package = load_package(tmp_path / "models" / "reach")
    assert not fit_problems(settings, package.manifest, ["head", "side", "wrist"], {"fr3": 7})
    (tmp_path / "models" / "reach" / "step.onnx").write_bytes(b"nothing")
    assert main(["policy", "check", "models/reach"]) == 1
    assert "'step.onnx' has 7 bytes" in capsys.readouterr().out
