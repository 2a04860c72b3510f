"""What counts as another version of the code, and what does not."""

from pathlib import Path

import pytest

import vla3d_ros
from vla3d_ros.evaluation.evidence.code_version import code_digests

ROOT = "vla3d_ros.root"
FILES = {
    "root.py": '"""Doc."""\nfrom vla3d_ros.room import tool\nNAMED = "vla3d_ros.late:Thing"\n',
    "room/__init__.py": "",
    "room/tool.py": "def f(x):\n    return x + 1\n",
    "room/page.py": "X = 1\n",
    "late.py": "def g():\n    from vla3d_ros.room.deep import Y\n",
    "room/deep.py": "Y = 2\nfrom vla3d_ros.room import node\n",
    "room/node.py": "Z = 3\n",
}


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_imports_are_followed_late_ones_and_names_in_texts_too_but_not_into_nodes(package):
    found = code_digests(package, [ROOT])
    assert list(found) == ["late.py", "room/__init__.py", "room/deep.py", "room/tool.py", "root.py"]


def test_comments_docstrings_and_layout_are_no_other_version(package):
    before = code_digests(package, [ROOT])
    (package / "room/tool.py").write_text('# New.\ndef f(x):\n    """Add one."""\n\n    return (x +\n            1)\n')
    assert code_digests(package, [ROOT]) == before


def test_another_number_is_another_version_of_that_file_alone(package):
    before = code_digests(package, [ROOT])
    (package / "room/tool.py").write_text("def f(x):\n    return x + 2\n")
    after = code_digests(package, [ROOT])
    assert [name for name in before if before[name] != after[name]] == ["room/tool.py"]


def test_world_policy_judge_and_adapter_have_a_say_pages_networks_and_nodes_have_none():
    roots = ["vla3d_ros.evaluation.evidence.trial", "vla3d_ros.policy.loading"]
    found = code_digests(Path(vla3d_ros.__file__).parent, roots)
    assert {
        "twin/judge.py",
        "twin/world.py",
        "twin/variation_draw.py",
        "policy/learned.py",
        "policy/backends/scripted.py",
        "policy/backends/onnxruntime.py",
        "adapter/pose_solver.py",
        "safety/gate.py",
        "execution.py",
        "evaluation/trial_loop.py",
        "evaluation/milestones.py",
    } <= set(found)
    strangers = [name for name in found if "page" in name or "figures" in name or name.endswith("node.py")]
    assert strangers == []
    assert "policy/nets/policy_net.py" not in found
