"""Flow matching against the formula: A_tau = tau A + (1 - tau) eps, target A - eps, masked mean of squares."""

import numpy as np
import torch

from vla3d_ros.policy.nets.flow import interpolate
from vla3d_ros.training.losses.flow_matching import demonstrated, flow_matching_loss


def drawn(seed, batch=3, steps=5, arms=2):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((batch, steps, arms * 10)) for _ in range(3)] + [rng.random(batch)]


def test_loss_is_the_masked_mean_square_of_the_velocity_error():
    actions, noise, velocity, tau = drawn(0)
    arm_mask, step_mask = np.array([[1, 0], [1, 1], [0, 1]], bool), np.arange(5) < np.array([[5], [3], [2]])
    total, count = 0.0, 0
    for b, k, number in np.ndindex(actions.shape):
        if arm_mask[b, number // 10] and step_mask[b, k]:
            total += (velocity[b, k, number] - (actions[b, k, number] - noise[b, k, number])) ** 2
            count += 1
    _, target = interpolate(*(torch.tensor(value) for value in (actions, noise, tau)))
    mask = demonstrated(torch.tensor(arm_mask), torch.tensor(step_mask))
    loss = flow_matching_loss(torch.tensor(velocity), target, mask)
    np.testing.assert_allclose(float(loss), total / count, rtol=1e-6)


def test_at_tau_one_the_chunk_is_the_demonstration_and_at_zero_it_is_noise():
    actions, noise, *_ = (torch.tensor(value) for value in drawn(1))
    assert torch.equal(interpolate(actions, noise, torch.ones(3))[0], actions)
    assert torch.equal(interpolate(actions, noise, torch.zeros(3))[0], noise)


def test_following_the_target_from_anywhere_arrives_at_the_demonstration():
    actions, noise, _, tau = (torch.tensor(value) for value in drawn(2))
    noisy, target = interpolate(actions, noise, tau)
    torch.testing.assert_close(noisy + (1 - tau)[:, None, None] * target, actions)


def test_what_is_not_demonstrated_gets_no_gradient():
    actions, noise, velocity, tau = (torch.tensor(value) for value in drawn(3))
    velocity.requires_grad_()
    mask = demonstrated(torch.tensor([[True, False]] * 3), torch.ones(3, 5, dtype=torch.bool))
    flow_matching_loss(velocity, interpolate(actions, noise, tau)[1], mask).backward()
    assert velocity.grad[..., :10].abs().min() > 0
    assert not velocity.grad[..., 10:].any()


def test_nothing_demonstrated_costs_nothing():
    mask = torch.zeros(1, 2, 10, dtype=torch.bool)
    assert flow_matching_loss(torch.ones(1, 2, 10), torch.zeros(1, 2, 10), mask) == 0
