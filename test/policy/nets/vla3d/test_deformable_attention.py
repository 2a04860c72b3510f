"""Eq. 3: deformable sampling, border included, against loops over pixels."""

import numpy as np
import torch
from float64_layers import linear, shaken, softmax, weights_of

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.vla3d.cells import bilinear_corners, take_rows
from vla3d_ros.policy.nets.vla3d.deformable_attention import DeformableAttention, sample_weighted
from vla3d_ros.policy.nets.vla3d.pyramid import Pyramid, PyramidDecoder, scaled_grid

RNG = np.random.default_rng(7)
GRIDS = ((8, 12), (4, 6), (2, 3))
CELLS = sum(rows * columns for rows, columns in GRIDS)


def bilinear(cells, u):
    """Read a map (rows, columns, C) at u in [0, 1]^2; what lies outside counts as zero."""
    rows, columns = cells.shape[:2]
    x, y = u[0] * columns - 0.5, u[1] * rows - 0.5
    found = np.zeros(cells.shape[2])
    for row in range(rows):
        for column in range(columns):
            found += max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row)) * cells[row, column]
    return found


def maps_of(values):
    """Split (P, ...) into one (rows, columns, ...) map per scale."""
    first, maps = 0, []
    for rows, columns in GRIDS:
        maps.append(values[first : first + rows * columns].reshape(rows, columns, *values.shape[1:]))
        first += rows * columns
    return maps


def tensor(array):
    return torch.tensor(array, dtype=torch.float32)


def test_samples_are_bilinear_and_zero_beyond_the_border():
    values = RNG.normal(size=(1, 2, CELLS, 2, 5))
    pixels = RNG.uniform(-0.3, 1.3, (1, 2, 4, 2, 3, 2, 2))
    pixels[0, 0, 0, 0, 0] = [[0.0, 0.0], [1.0, 1.0]]
    pixels[0, 0, 0, 0, 1] = [[0.5 / 6, 0.5 / 4], [5.0, -4.0]]  # a cell's very centre, and far away
    weights = RNG.uniform(0, 1, pixels.shape[:-1])
    found = sample_weighted(tensor(values), GRIDS, tensor(pixels), tensor(weights))
    for view, query, head in np.ndindex(2, 4, 2):
        maps = maps_of(values[0, view, :, head])
        expected = sum(
            weights[0, view, query, head, s, k] * bilinear(maps[s], pixels[0, view, query, head, s, k])
            for s, k in np.ndindex(3, 2)
        )
        np.testing.assert_allclose(found[0, view, query, head], expected, atol=1e-5)


def test_corner_weights_sum_to_one_inside_and_to_less_at_the_border():
    pixels = tensor([[0.5, 0.5], [0.31, 0.77], [0.0, 0.5], [0.0, 0.0], [2.0, 0.5]])
    total = sum(weight for _, weight in bilinear_corners(pixels, (4, 6)))
    np.testing.assert_allclose(total, [1.0, 1.0, 0.5, 0.25, 0.0], atol=1e-6)


def test_corner_indices_never_leave_the_map():
    indices = torch.stack([index for index, _ in bilinear_corners(tensor(RNG.uniform(-3, 4, (500, 2))), (4, 6))])
    assert 0 <= int(indices.min()) <= int(indices.max()) < 24
    assert not (indices % 1).any()


def test_rows_are_taken_from_the_table_of_their_own_view():
    table, index = RNG.normal(size=(2, 3, 5, 4)), RNG.integers(0, 5, (2, 3, 7))
    taken = take_rows(torch.tensor(table), torch.tensor(index))
    for batch, view, n in np.ndindex(2, 3, 7):
        np.testing.assert_array_equal(taken[batch, view, n], table[batch, view, index[batch, view, n]])


def test_deformable_attention_is_equation_3():
    heads, points, width = 2, 3, 8
    attention = shaken(DeformableAttention(width, heads=heads, scales=3, points=points))
    w = weights_of(attention)
    probes, pixels = RNG.normal(size=(1, 2, 5, width)), RNG.uniform(0, 1, (1, 2, 5, 2))
    cells = RNG.normal(size=(1, 2, CELLS, width))
    found = attention(tensor(probes), tensor(pixels), Pyramid(tensor(cells), GRIDS, torch.zeros(1, 2, 1, 1, 1)))
    for view, query in np.ndindex(2, 5):
        state = probes[0, view, query]
        offsets = linear(state, w, "offsets").reshape(heads, 3, points, 2)
        weights = softmax(linear(state, w, "weights").reshape(heads, -1)).reshape(heads, 3, points)
        maps = maps_of(linear(cells[0, view], w, "value"))
        expected = w["out.bias"].copy()
        for m in range(heads):
            part = slice(m * width // heads, (m + 1) * width // heads)
            inner = np.zeros(width // heads)
            for s, k in np.ndindex(3, points):
                rows, columns = GRIDS[s]
                at = pixels[0, view, query] + offsets[m, s, k] / np.array([columns, rows])
                inner += weights[m, s, k] * bilinear(maps[s][..., part], at)
            expected += w["out.weight"][:, part] @ inner  # W_m
        np.testing.assert_allclose(found[0, view, query].detach(), expected, atol=2e-5)


def test_heads_begin_by_looking_in_different_directions_with_equal_weights():
    attention = DeformableAttention(8, heads=4, scales=3, points=2)
    directions = attention.offsets.bias.detach().reshape(4, 3, 2, 2)[:, 0, 0]
    gaps = torch.cdist(directions, directions) + 9 * torch.eye(4)
    assert gaps.min() > 1.0
    assert not attention.weights.weight.any()


def test_pyramid_has_the_strides_of_the_paper():
    decoder = PyramidDecoder(12, 6, patch_px=16, scales=3)
    pyramid = decoder(torch.randn(2, 3, 8 * 6, 12), (8, 6))
    assert pyramid.grids == ((16, 12), (8, 6), (4, 3))
    assert pyramid.cells.shape == (2, 3, 16 * 12 + 8 * 6 + 4 * 3, 12)
    assert pyramid.mask_map.shape == (2, 3, 6, 32, 24)


def test_a_cell_of_the_pyramid_knows_only_the_token_above_it():
    torch.manual_seed(0)
    decoder = PyramidDecoder(12, 6, patch_px=16, scales=3).eval()
    memory = torch.randn(1, 1, 4 * 6, 12)
    other = memory.clone()
    other[0, 0, 1 * 6 + 2] += 1.0  # row 1, column 2
    with torch.no_grad():
        before, after = decoder(memory, (4, 6)), decoder(other, (4, 6))
    changed = (before.cells - after.cells).abs().sum(dim=-1)[0, 0] > 1e-6
    fine = changed[: 8 * 12].reshape(8, 12).nonzero().tolist()
    assert fine == [[2, 4], [2, 5], [3, 4], [3, 5]]
    coarse = changed[-2 * 3 :].reshape(2, 3).nonzero().tolist()
    assert coarse == [[0, 1]]
    masks = ((before.mask_map - after.mask_map).abs().sum(dim=2)[0, 0] > 1e-6).nonzero()
    assert masks.min(dim=0).values.tolist() == [4, 8]
    assert masks.max(dim=0).values.tolist() == [7, 11]


def test_a_token_grid_that_can_not_be_halved_is_refused():
    try:
        scaled_grid((7, 7), -1)
    except ConfigError as error:
        assert "7 x 7" in str(error)
        assert "multiple of 32 px" in str(error)
    else:
        raise AssertionError("a 7 x 7 grid was halved")
