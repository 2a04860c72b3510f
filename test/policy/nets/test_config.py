"""One dataclass decides a network's shape, and travels in the manifest."""

import dataclasses
import json

import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.config import EncoderConfig, PolicyConfig
from vla3d_ros.policy.nets.presets import preset, presets
from vla3d_ros.policy.nets.signature import context_inputs, context_outputs, step_inputs

GEOMETRY = {"K", "T_base_camera", "T_base_ee"}


@pytest.mark.parametrize("name", presets())
def test_every_preset_survives_a_manifest(name):
    config = preset(name)
    assert PolicyConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config


def test_manifest_holds_only_the_section_of_the_route_in_use():
    assert {"trunk", "vla3d", "gear", "vipa", "think3d"} & set(preset("tiny_gear").to_mapping()) == {"gear"}


def test_unknown_preset_names_those_that_exist():
    with pytest.raises(ConfigError, match=r"unknown policy preset 'huge'; available: .*'paper'"):
        preset("huge")


def test_every_problem_of_a_mapping_is_reported_at_once():
    mapping = preset("tiny_vla3d").to_mapping()
    del mapping["chunk"]
    mapping["colour"] = "red"
    mapping["views"] = ["head", "head"]
    mapping["encoder"]["kind"] = "magic"
    mapping["expert"]["width"] = "wide"
    mapping["vla3d"]["probes"] = 4
    with pytest.raises(ConfigError) as raised:
        PolicyConfig.from_mapping(mapping)
    for part in ("'chunk' is missing", "'colour' is unknown", "'views' is", "'magic'", "'expert.width' is 'wide'"):
        assert part in str(raised.value)
    assert "'occluded_instances' <= 'instances' <= 'probes'" in str(raised.value)


@pytest.mark.parametrize("value", [True, 2.5, "2", None])
def test_a_whole_number_is_nothing_else(value):
    mapping = preset("tiny_trunk").to_mapping()
    mapping["chunk"] = value
    with pytest.raises(ConfigError, match="'chunk' is .*; expected whole number"):
        PolicyConfig.from_mapping(mapping)


def test_a_route_needs_its_section_and_no_other():
    with pytest.raises(ConfigError, match="route 'gear' needs a section 'gear'"):
        dataclasses.replace(preset("tiny_trunk"), route="gear")
    with pytest.raises(ConfigError, match="route 'trunk' must not have a section 'gear'"):
        dataclasses.replace(preset("tiny_gear"), route="trunk")


def test_images_must_be_whole_patches():
    with pytest.raises(ConfigError, match="expected multiples of encoder's patch 14 px"):
        PolicyConfig(encoder=EncoderConfig(patch=14))


def test_adapters_must_sit_on_layers_that_exist():
    config = preset("tiny_think3d")
    with pytest.raises(ConfigError, match="the context transformer has 2 layers"):
        dataclasses.replace(config, think3d=dataclasses.replace(config.think3d, adapter_layers=(0, 2)))


def test_only_the_route_that_uses_geometry_asks_for_it():
    for name in ("tiny_trunk", "tiny_gear", "tiny_vipa", "tiny_think3d"):
        assert not GEOMETRY & set(context_inputs(preset(name)))
    assert set(context_inputs(preset("tiny_vla3d"))) >= GEOMETRY


def test_the_step_graph_takes_what_the_context_graph_gives():
    for name in presets():
        config = preset(name)
        given, taken = context_outputs(config), step_inputs(config)
        for tensor in ("context_k", "context_v", "context_mask", "condition"):
            assert given[tensor] == taken[tensor]


def test_a_smallest_vision_language_model_reads_external_embeddings():
    config = preset("tiny_trunk")
    text = dataclasses.replace(config.text, kind="embeddings", embedding_width=24)
    inputs = context_inputs(dataclasses.replace(config, text=text))
    assert "text_tokens" not in inputs
    assert inputs["text_embeddings"].shape == (1, config.text.length, 24)
