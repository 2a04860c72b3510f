"""From masks to completion coordinates: density clustering, mirror planes, carving, farthest point sampling."""

import dataclasses

import numpy as np
import pytest
import torch
from box_scene import SIZE_PX, cameras_at, cast, full_surface, in_box, look_at

from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.farthest_points import distance_to_set, sample_farthest
from vla3d_ros.policy.nets.vla3d.observed import Observed, densest_cluster, dither, lift_masks, pairwise_m
from vla3d_ros.policy.nets.vla3d.principal_plane import covariance, least_axis, mirror_planes
from vla3d_ros.policy.nets.vla3d.proposals import LearnedProposal
from vla3d_ros.policy.nets.vla3d.unseen_points import UnseenPointFinder, looked_through

CONFIG = Vla3dConfig(width=48, heads=4, sampling_heads=4)
FRONT_M, BEHIND_M = [0.55, 0.0, 0.45], [-0.5, 0.25, 0.4]
BOXES = [
    ((0.0, 0.0, 0.03), (0.06, 0.06, 0.06), 0.3),
    ((0.05, -0.04, 0.04), (0.05, 0.07, 0.08), -0.5),
    ((0.0, 0.05, 0.025), (0.08, 0.06, 0.05), 1.0),
]


def tensor(array):
    return torch.tensor(array, dtype=torch.float32)


def random_points(seed, count=60):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.2, 0.2, (2, count, 3)), rng.uniform(size=(2, count)) < 0.7


def farthest_by_brute_force(points, mask, first, count):
    chosen = [first]
    for _ in range(count - 1):
        least = [
            min(np.linalg.norm(p - points[c]) for c in chosen) if known else -1.0
            for p, known in zip(points, mask, strict=True)
        ]
        chosen.append(int(np.argmax(least)))
    return points[chosen]


@pytest.mark.parametrize("seed", range(5))
def test_farthest_point_sampling_agrees_with_brute_force(seed):
    points, mask = random_points(seed)
    first = mask.argmax(axis=1)
    picked, valid = sample_farthest(tensor(points), torch.tensor(mask), torch.tensor(first)[:, None], 7)
    for row in range(2):
        expected = farthest_by_brute_force(points[row], mask[row], first[row], 7)
        np.testing.assert_allclose(picked[row], expected, atol=1e-6)
    assert valid.all()


def test_sampling_says_when_points_run_out():
    points, _ = random_points(0)
    mask = np.zeros((2, 60), dtype=bool)
    mask[0, [4, 9, 30]] = True
    _, valid = sample_farthest(tensor(points), torch.tensor(mask), torch.tensor([[4], [0]]), 5)
    assert valid.tolist() == [[True, True, True, False, False], [False] * 5]


def test_distance_to_a_set_is_that_to_its_nearest_member():
    points, _ = random_points(1)
    members, known = random_points(2, 20)
    found = distance_to_set(tensor(points), tensor(members), torch.tensor(known))
    for row in range(2):
        gaps = np.linalg.norm(points[row][:, None] - members[row][known[row]], axis=-1)
        np.testing.assert_allclose(found[row], gaps.min(axis=1), atol=1e-6)
    np.testing.assert_allclose(pairwise_m(tensor(points), tensor(points))[0].diagonal(), 0.0)


def cluster_by_dbscan(points, mask, neighbours, factor, hops):
    known = np.flatnonzero(mask)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    ranked = np.sort(np.sort(distance[np.ix_(known, known)], axis=1)[:, neighbours])
    radius = factor * ranked[(len(ranked) - 1) // 2]
    near = {i: {j for j in known if distance[i, j] <= radius} for i in known}
    core = {i for i in known if len(near[i]) > neighbours}
    seed = max(core, key=lambda i: sum(np.exp(-((distance[i, j] / radius) ** 2)) for j in known))
    cluster = {seed}
    for _ in range(hops):
        cluster |= {j for i in cluster & core for j in near[i]}
    return sorted(cluster)


@pytest.mark.parametrize("hops", [1, 3, 8])
def test_the_densest_cluster_is_that_of_dbscan(hops):
    rng = np.random.default_rng(4)
    blob, other = rng.normal(scale=0.02, size=(40, 3)), rng.normal([0.3, 0.0, 0.0], 0.02, (12, 3))
    stray = rng.uniform(-0.5, 0.5, (8, 3))
    points, mask = np.concatenate([blob, other, stray]), np.ones(60, dtype=bool)
    mask[[3, 45]] = False
    found = densest_cluster(tensor(points[None]), torch.tensor(mask[None]), neighbours=3, factor=1.5, hops=hops)[0]
    expected = cluster_by_dbscan(points, mask, 3, 1.5, hops)
    assert np.flatnonzero(found).tolist() == expected
    assert max(expected) < 40


def test_strays_alone_are_no_cluster():
    far_apart = torch.eye(3)[None] * torch.tensor([[[1.0]], [[0.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert not densest_cluster(far_apart, mask, neighbours=2, factor=2.0, hops=4).any()


def test_points_of_a_mask_are_spread_over_it():
    thresholds = dither((40, 40)).numpy()
    picked = np.argsort(-thresholds)[:64]
    quadrants = 2 * (picked // 40 >= 20) + (picked % 40 >= 20)
    assert np.bincount(quadrants, minlength=4).min() >= 12
    assert len(np.unique(thresholds)) == 1600


def test_least_axis_is_the_eigenvector_of_least_variance():
    rng = np.random.default_rng(6)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    points = rng.normal(size=(1, 400, 3)) * [0.3, 0.2, 0.02] @ rotation.T
    spread = covariance(tensor(points), torch.ones(1, 400, dtype=torch.bool))
    np.testing.assert_allclose(spread[0], np.cov(points[0].T, bias=True), atol=1e-6)
    start = rotation[:, 2] + 0.4 * rotation[:, 0]
    axis = least_axis(spread, tensor(start[None] / np.linalg.norm(start)))[0].numpy()
    vectors = np.linalg.eigh(np.cov(points[0].T))[1]
    assert abs(axis @ vectors[:, 0]) > 0.999
    assert axis @ start > 0


def test_a_face_seen_head_on_is_taken_to_be_as_deep_as_it_is_wide():
    y, z = np.meshgrid(np.linspace(-0.04, 0.04, 33), np.linspace(-0.1, 0.1, 33))
    face = np.stack([np.full(y.size, 0.5), y.ravel(), z.ravel()], axis=-1)[None]
    rays = np.broadcast_to([1.0, 0.0, 0.0], face.shape)
    planes = mirror_planes(Observed(tensor(face), tensor(rays), torch.ones(1, 1089, dtype=torch.bool), 1), 1.0)
    np.testing.assert_allclose(planes.normal[0, 0], [1.0, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(planes.offset_m[0, 0], 0.54, atol=0.002)


def found_for(box, eyes, proposal):
    centre, size, yaw = box
    poses = [look_at(eye, centre) for eye in eyes]
    seen = [cast(pose, np.array(centre), size, yaw) for pose in poses]
    cameras = cameras_at(poses)
    surface = full_surface([depth for depth, _ in seen], cameras)
    inside = torch.tensor(np.stack([shown.reshape(-1) for _, shown in seen])[None, :, None])
    finder = UnseenPointFinder(dataclasses.replace(CONFIG, proposal=proposal), SIZE_PX).eval()
    with torch.no_grad():
        unseen = finder(inside, torch.ones(1, 1, dtype=torch.bool), surface, cameras)
    return unseen, surface, cameras


@pytest.mark.parametrize("proposal", ["mirror", "extrude"])
@pytest.mark.parametrize("box", BOXES, ids=["cube", "tall", "flat"])
def test_completion_points_lie_in_or_near_the_half_seen_box(box, proposal):
    unseen, _, _ = found_for(box, [FRONT_M], proposal)
    points = unseen.points[0, 0].numpy()[unseen.mask[0, 0].numpy()]
    assert len(points) == CONFIG.points_per_instance
    assert in_box(points, box[0], box[1], box[2], margin_m=0.025).mean() >= 0.8
    assert in_box(points, box[0], box[1], box[2], margin_m=0.06).all()


def test_a_second_camera_from_behind_does_not_spoil_the_points():
    near = []
    for box in BOXES:
        unseen, _, _ = found_for(box, [FRONT_M, BEHIND_M], "mirror")
        points = unseen.points[0, 0].numpy()[unseen.mask[0, 0].numpy()]
        assert in_box(points, box[0], box[1], box[2], margin_m=0.06).all()
        near += in_box(points, box[0], box[1], box[2], margin_m=0.025).tolist()
    assert np.mean(near) >= 0.6


@pytest.mark.parametrize("proposal", ["mirror", "extrude"])
@pytest.mark.parametrize("box", BOXES, ids=["cube", "tall", "flat"])
def test_completion_points_are_what_the_camera_did_not_see(box, proposal):
    unseen, _, _ = found_for(box, [FRONT_M], proposal)
    gaps = distance_to_set(unseen.points[0], unseen.observed.points, unseen.observed.mask)
    assert unseen.mask.all()
    assert gaps.min() >= CONFIG.least_unseen_m


def test_no_completion_point_stands_where_a_camera_looks_through():
    unseen, surface, cameras = found_for(BOXES[1], [FRONT_M, BEHIND_M], "mirror")
    assert unseen.mask.any()
    through = looked_through(unseen.points[0], surface, cameras, CONFIG.carve_margin_m)[0]
    assert not through[unseen.mask[0, 0]].any()
    assert looked_through(unseen.candidates.points, surface, cameras, CONFIG.carve_margin_m).any()


def test_looked_through_means_in_front_of_what_is_measured():
    depth, _ = cast(look_at(FRONT_M, [0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.03]), (0.06, 0.06, 0.06))
    cameras = cameras_at([look_at(FRONT_M, [0.0, 0.0, 0.0])])
    surface = full_surface([depth], cameras)
    in_the_air, in_the_box, under_the_table, behind_the_camera = (
        [0.2, 0.0, 0.16],
        [0.0, 0.0, 0.03],
        [0.0, 0.0, -0.1],
        [0.8, 0.0, 0.65],
    )
    points = tensor([[in_the_air, in_the_box, under_the_table, behind_the_camera]])
    assert looked_through(points, surface, cameras, 0.02)[0].tolist() == [True, False, False, False]


def test_an_instance_of_which_too_little_is_seen_is_not_completed():
    centre, size, yaw = BOXES[0]
    depth, shown = cast(look_at(FRONT_M, centre), np.array(centre), size, yaw)
    cameras = cameras_at([look_at(FRONT_M, centre)])
    few = np.zeros_like(shown)
    few[tuple(np.argwhere(shown)[:: len(np.argwhere(shown)) // 4].T)] = True
    inside = torch.tensor(np.stack([few.reshape(-1), shown.reshape(-1), shown.reshape(-1)])[None, None])
    finder = UnseenPointFinder(CONFIG, SIZE_PX).eval()
    unseen = finder(inside, torch.tensor([[True, True, False]]), full_surface([depth], cameras), cameras)
    assert unseen.mask.any(dim=-1)[0].tolist() == [False, True, False]
    assert not unseen.points[0, [0, 2]].any()


def test_lifted_points_lie_on_the_box_and_their_rays_come_from_the_camera():
    centre, size, yaw = BOXES[1]
    pose = look_at(FRONT_M, centre)
    depth, shown = cast(pose, np.array(centre), size, yaw)
    cameras = cameras_at([pose])
    inside = torch.tensor(shown.reshape(1, 1, 1, -1))
    observed = lift_masks(inside, full_surface([depth], cameras), cameras, dither(SIZE_PX), 32)
    assert observed.mask.all()
    points = observed.points[0].numpy()
    assert in_box(points, centre, size, yaw, margin_m=1e-4).all()
    assert not in_box(points, centre, size, yaw, margin_m=-1e-3).any()
    along = points - pose[:3, 3]
    np.testing.assert_allclose(observed.rays[0], along / np.linalg.norm(along, axis=1, keepdims=True), atol=1e-5)


def test_the_learned_proposal_moves_and_grows_with_what_it_sees():
    torch.manual_seed(0)
    proposal = LearnedProposal(16, 12)
    points, mask = torch.rand(2, 20, 3), torch.rand(2, 20) < 0.8
    rays = torch.zeros(2, 20, 3)
    before = proposal(Observed(points, rays, mask, 2)).points
    moved = proposal(Observed(points * 2.0 + 0.5, rays, mask, 2)).points
    np.testing.assert_allclose(moved.detach(), before.detach() * 2.0 + 0.5, atol=1e-4)
    assert not proposal(Observed(points, rays, torch.zeros_like(mask), 2)).mask.any()
