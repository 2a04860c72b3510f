"""Eq. 1, RoPE in three dimensions, and hybrid attention (Eq. 9-10), against NumPy."""

import numpy as np
import torch
from float64_layers import gelu, layer_norm, linear, shaken, softmax, weights_of

from vla3d_ros.policy.nets.vla3d.fusion import CoordinateEmbedding, SpatialFusion
from vla3d_ros.policy.nets.vla3d.hybrid_attention import HybridAttention
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d, rotate

RNG = np.random.default_rng(5)
BASE, SCALE = 10000.0, 7.0


def tensor(array):
    return torch.tensor(array, dtype=torch.float32)


def test_coordinate_embedding_is_equation_1():
    embedding = shaken(CoordinateEmbedding(24))
    w = weights_of(embedding)
    points = RNG.uniform(-1, 1, (11, 3))
    expected = layer_norm(linear(gelu(linear(points, w, "first")), w, "second"), w, "norm")
    np.testing.assert_allclose(embedding(tensor(points)).detach(), expected, atol=2e-6)


def rotated_by_definition(vector, point):
    """Turn each pair of one head's channels by theta_d = p * scale * 10000^(-2d / D_axis), axis by axis."""
    pairs = len(vector) // 6
    out = vector.copy()
    for axis in range(3):
        for d in range(pairs):
            theta = point[axis] * SCALE * BASE ** (-2.0 * d / (2 * pairs))
            real, imaginary = axis * pairs + d, 3 * pairs + axis * pairs + d
            turned = (vector[real] + 1j * vector[imaginary]) * np.exp(1j * theta)
            out[real], out[imaginary] = turned.real, turned.imag
    return out


def test_rope_turns_pairs_by_the_phases_of_the_paper():
    rope = Rope3d(32, base=BASE, scale_per_m=SCALE)  # 3 x 10 channels and 2 left over
    vectors, points = RNG.normal(size=(1, 2, 5, 32)), RNG.uniform(-1, 1, (1, 5, 3))
    rotated = rotate(tensor(vectors), rope(tensor(points)))
    for head, token in np.ndindex(2, 5):
        expected = rotated_by_definition(vectors[0, head, token], points[0, token])
        np.testing.assert_allclose(rotated[0, head, token], expected, atol=1e-5)


def test_attention_logits_do_not_change_when_every_point_is_shifted():
    rope = Rope3d(24, base=BASE, scale_per_m=SCALE)
    query, key = (tensor(RNG.normal(size=(1, 3, 6, 24))) for _ in range(2))
    points = tensor(RNG.uniform(-1, 1, (1, 6, 3)))

    def logits(at):
        return rotate(query, rope(at)) @ rotate(key, rope(at)).transpose(-1, -2)

    shifted = logits(points + tensor([0.31, -0.17, 0.44]))
    np.testing.assert_allclose(shifted, logits(points), atol=5e-5)
    stretched = logits(points * 1.5)
    assert (stretched - logits(points)).abs().max() > 0.1


def attended_by_eq_9_and_10(w, queries, context, query_points, points, mask, heads):
    width = queries.shape[-1] // heads
    key, value = np.split(linear(context, w, "key_value"), 2, axis=-1)
    query = linear(queries, w, "query")
    out = np.zeros_like(query)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        q = np.stack([rotated_by_definition(v, p) for v, p in zip(query[:, part], query_points, strict=True)])
        k = np.stack([rotated_by_definition(v, p) for v, p in zip(key[:, part], points, strict=True)])
        out[:, part] = softmax(np.where(mask, q @ k.T / np.sqrt(width), -np.inf)) @ value[:, part]
    return linear(out, w, "out")


def test_hybrid_attention_is_equations_9_and_10():
    attention = shaken(HybridAttention(24, 2), scale=0.1)
    rope = Rope3d(12, base=BASE, scale_per_m=SCALE)
    queries, context = RNG.normal(size=(4, 24)), RNG.normal(size=(7, 24))
    query_points, points = RNG.uniform(-1, 1, (4, 3)), RNG.uniform(-1, 1, (7, 3))
    mask = np.array([True, True, False, True, True, False, True])
    found = attention(
        tensor(queries[None]),
        tensor(context[None]),
        rope(tensor(query_points[None])),
        rope(tensor(points[None])),
        torch.tensor(mask[None]),
    )
    expected = attended_by_eq_9_and_10(weights_of(attention), queries, context, query_points, points, mask, 2)
    np.testing.assert_allclose(found[0].detach(), expected, atol=2e-5)


def test_attention_without_any_context_gives_its_bias_alone():
    attention = shaken(HybridAttention(24, 2))
    found = attention(torch.randn(1, 3, 24), torch.randn(1, 5, 24), None, None, torch.zeros(1, 5, dtype=torch.bool))
    np.testing.assert_allclose(found[0].detach(), attention.out.bias.detach().expand(3, -1), atol=1e-6)


def fused(tokens, points, placed, mask):
    torch.manual_seed(1)
    fusion = shaken(SpatialFusion(24, 2, 2, 2.0, turns=True), scale=0.1)
    rope = Rope3d(12, base=BASE, scale_per_m=SCALE)
    with torch.no_grad():
        return fusion(tokens, points, placed, mask, rope(points))


def test_masked_tokens_reach_no_other_token():
    tokens, points = torch.randn(1, 8, 24), torch.rand(1, 8, 3)
    mask = torch.tensor([[True] * 6 + [False] * 2])
    everywhere = torch.ones_like(mask)
    other = torch.where(mask.unsqueeze(-1), tokens, 100.0)
    before, after = (fused(one, points, everywhere, mask)[:, :6] for one in (tokens, other))
    np.testing.assert_array_equal(before, after)


def test_a_token_without_a_place_keeps_its_meaning():
    tokens, points = torch.randn(1, 8, 24), torch.rand(1, 8, 3)
    mask = torch.ones(1, 8, dtype=torch.bool)
    placed = mask.clone()
    placed[0, 7] = False
    points[0, 7] = 0.0
    other = tokens.clone()
    other[0, 7] *= -1.0
    assert (fused(tokens, points, placed, mask) - fused(other, points, placed, mask))[:, :7].abs().max() > 1e-3


def test_coordinates_change_the_memory():
    tokens, points = torch.randn(1, 8, 24), torch.rand(1, 8, 3)
    mask = torch.ones(1, 8, dtype=torch.bool)
    difference = fused(tokens, points, mask, mask) - fused(tokens, points.flip(1), mask, mask)
    assert difference.abs().max() > 1e-2
