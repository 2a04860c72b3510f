"""What validation reports, on chunks and scenes whose errors are known."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from drawn_samples import drawn_data, small_recipe  # noqa: E402

from vla3d_ros.geometry import Transform  # noqa: E402
from vla3d_ros.policy.action_decoder import ActionDecoder  # noqa: E402
from vla3d_ros.policy.manifest import ActionSpec  # noqa: E402
from vla3d_ros.training.data import Batches  # noqa: E402
from vla3d_ros.training.normalisation import measure_normalisation  # noqa: E402
from vla3d_ros.training.tensors import to_tensors  # noqa: E402
from vla3d_ros.training.validation import chunk_error, scene_error  # noqa: E402

STEPS = 4


@pytest.fixture
def decoder():
    spec = ActionSpec(steps=STEPS, dt_ns=1, mean=np.full((1, 10), 0.2), std=np.full((1, 10), 0.5))
    return ActionDecoder(spec, ("arm",), {"arm": "arm"})


def test_errors_are_in_millimetres_degrees_and_strokes(decoder):
    still, opening = np.tile(np.eye(4), (STEPS, 1, 1)), np.full(STEPS, 0.5)
    off = still.copy()
    off[-1] = Transform.from_rpy([0.003, 0.0, 0.004], [0.0, 0.0, np.radians(8.0)]).matrix
    expected = decoder.encode({"arm": (still, opening)})[None]
    got = decoder.encode({"arm": (off, opening + np.array([0, 0, 0.2, 0]))})[None]
    error = chunk_error(decoder, expected, got)
    np.testing.assert_allclose(
        [error.position_mm, error.last_position_mm, error.rotation_deg, error.last_rotation_deg, error.gripper],
        [5.0 / STEPS, 5.0, 8.0 / STEPS, 8.0, 0.2 / STEPS],
        rtol=1e-4,
    )


def drawn_batch():
    recipe, data = small_recipe(), drawn_data()
    arrays = Batches(data, recipe.network, measure_normalisation(data.source, data.training))(np.arange(2))
    return to_tensors(recipe.network, arrays, "cpu")


def display_of(batch, shift_m, count):
    mask = torch.zeros(2, 4, dtype=torch.bool)
    mask[:, :count] = True
    return {
        "instance_points": batch.targets.points + torch.tensor([shift_m, 0.0, 0.0]),
        "instance_mask": mask,
        "completion_points": batch.surfaces[:, :3, 0] + torch.tensor([0.0, 0.0, 0.01]),
        "completion_mask": mask[:, :3],
    }


@pytest.mark.parametrize(("shift_m", "count", "found"), [(0.0, 3, 1.0), (0.02, 3, 1.0), (0.04, 3, 0.0), (0.0, 0, 0.0)])
def test_an_object_is_found_if_an_instance_is_within_three_centimetres(shift_m, count, found):
    batch = drawn_batch()
    assert scene_error([display_of(batch, shift_m, count)], [batch]).objects_found == pytest.approx(found)


def test_completion_points_are_measured_to_the_nearest_surface():
    batch = drawn_batch()
    assert scene_error([display_of(batch, 0.0, 3)], [batch]).completion_mm == pytest.approx(10.0, rel=1e-3)


def test_without_instances_or_truth_there_is_no_figure():
    batch = drawn_batch()
    blind = batch._replace(targets=None, surfaces=None)
    for shown, one in (({}, batch), (display_of(batch, 0.0, 3), blind), (display_of(batch, 0.0, 0), batch)):
        assert np.isnan(scene_error([shown], [one]).completion_mm)
