"""Sizes: what the paper says, what ships, and what exists only as shapes."""

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'vla3d_ros[nets]'")

from vla3d_ros.policy.nets.parameters import format_parameter_table, parameter_table, route_parameters, shapes_only
from vla3d_ros.policy.nets.presets import preset, presets


def counted(name: str, prefix: str) -> int:
    return sum(count for part, count in parameter_table(shapes_only(preset(name))).items() if part.startswith(prefix))


@pytest.mark.parametrize("name", presets())
def test_every_preset_builds_without_memory(name):
    net = shapes_only(preset(name))
    assert all(parameter.is_meta for parameter in net.parameters())
    assert sum(parameter_table(net).values()) == sum(parameter.numel() for parameter in net.parameters())


def test_the_papers_route_adds_its_86_million():
    own = route_parameters(shapes_only(preset("paper")))
    assert own == pytest.approx(0.086e9, rel=0.1)


def test_pi05_class_is_a_small_vision_language_model_with_a_small_expert():
    assert 2.0e9 < counted("pi05_class", "trunk") < 3.0e9
    assert counted("pi05_class", "expert") == pytest.approx(0.3e9, rel=0.15)


@pytest.mark.parametrize("name", [name for name in presets() if name.startswith("tiny_")])
def test_tiny_networks_fit_into_four_megabytes(name):
    assert sum(parameter_table(shapes_only(preset(name))).values()) * 4 < 4e6


def test_a_route_adds_to_the_trunk_and_changes_nothing_in_it():
    trunk = parameter_table(shapes_only(preset("small_trunk")))
    for name in ("small_vla3d", "small_vipa", "small_think3d"):
        table = parameter_table(shapes_only(preset(name)))
        assert {part: count for part, count in table.items() if not part.startswith(("route.", "bridge."))} == trunk


def test_the_table_ends_with_sums():
    net = shapes_only(preset("tiny_gear"))
    lines = format_parameter_table(net).splitlines()
    assert lines[-2].split()[:2] == ["route's", "own"]
    assert float(lines[-2].split()[2]) == pytest.approx(route_parameters(net) / 1e6, abs=1e-3)
    assert lines[-1].startswith("whole")
