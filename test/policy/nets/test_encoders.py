"""What the trunk sees, reads and senses with."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'vla3d_ros[nets]'")

import torch

from vla3d_ros.policy.nets.building import build_untrained_net
from vla3d_ros.policy.nets.config import EncoderConfig
from vla3d_ros.policy.nets.image_encoder import ImageEncoder, normalised_pixels
from vla3d_ros.policy.nets.instruction_encoder import InstructionEncoder


def test_pixels_span_minus_one_to_one_channels_first():
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 3)
    assert normalised_pixels(images, torch.float32).flatten().tolist() == pytest.approx([-1.0, 1.0, -0.6])


@pytest.mark.parametrize("kind", ["vit", "conv"])
@pytest.mark.parametrize("patch", [8, 16, 32])
def test_either_encoder_gives_one_token_per_patch(kind, patch):
    config = EncoderConfig(kind=kind, patch=patch, width=32, depth=1, heads=2)
    encoder = ImageEncoder(config, (64, 96)).eval()
    tokens = encoder(torch.zeros(2, 64, 96, 3, dtype=torch.uint8))
    assert tokens.shape == (2, (64 // patch) * (96 // patch), 32)
    assert encoder.grid == (64 // patch, 96 // patch)


def test_tokens_run_row_by_row():
    encoder = ImageEncoder(EncoderConfig(kind="conv", patch=8, width=16, depth=1, heads=2), (64, 96)).eval()
    dark = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    lit = dark.clone()
    lit[:, 3 * 8 : 4 * 8, 5 * 8 : 6 * 8] = 255
    changed = (encoder(lit) - encoder(dark)).abs().sum(-1)[0]
    assert int(changed.argmax()) == 3 * 12 + 5


def test_a_convolutional_trunk_runs_through(tiny, scene_of, chunk_of):
    config = tiny("tiny_trunk")
    net = build_untrained_net(
        dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, kind="conv", depth=1)), 1
    )
    scene = scene_of(net.config)
    assert not torch.allclose(chunk_of(net, scene._replace(images=255 - scene.images)), chunk_of(net, scene), atol=1e-4)


def test_external_embeddings_take_the_place_of_words(tiny, scene_of, chunk_of):
    config = tiny("tiny_trunk")
    text = dataclasses.replace(config.text, kind="embeddings", embedding_width=24)
    net = build_untrained_net(dataclasses.replace(config, text=text), 1)
    scene = scene_of(net.config)
    beyond = scene.text_embeddings.clone()
    beyond[:, 9] = 40.0
    masked = scene._replace(text_mask=torch.arange(16)[None] < 9)
    assert torch.equal(chunk_of(net, masked._replace(text_embeddings=beyond)), chunk_of(net, masked))
    assert not torch.allclose(chunk_of(net, scene._replace(text_embeddings=beyond)), chunk_of(net, scene), atol=1e-5)


def test_order_of_words_matters(tiny):
    encoder = InstructionEncoder(tiny("tiny_trunk").text, 32).eval()
    words = torch.tensor([[5, 9, 7] + [0] * 13])
    mask = words > 0
    assert not torch.allclose(encoder(words, mask)[:, :3], encoder(words[:, [2, 1, 0, *range(3, 16)]], mask)[:, :3])


def test_state_tokens_are_the_chosen_projectors_two_layers(net_of, scene_of):
    projector = net_of("tiny_trunk").trunk.state_projector
    state = scene_of(net_of("tiny_trunk").config).state
    got = projector(state, torch.tensor([1]), torch.ones(1, 2, dtype=torch.bool))
    names = ("first_weight", "first_bias", "second_weight", "second_bias")
    w1, b1, w2, b2 = (getattr(projector, name)[1].double().numpy() for name in names)
    hidden = state[0].double().numpy() @ w1 + b1
    hidden = torch.nn.functional.gelu(torch.from_numpy(hidden)).numpy()
    assert np.allclose(got[0].numpy(), hidden @ w2 + b2 + projector.slot[0].double().numpy(), atol=1e-5)
