"""What a run leaves behind: a package that computes what was trained, and a picture of how it went."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.slow

from drawn_samples import drawn_data, small_recipe  # noqa: E402

from vla3d_ros.errors import TrainingError  # noqa: E402
from vla3d_ros.policy.engine import EngineSettings, open_engine  # noqa: E402
from vla3d_ros.policy.parity import require_parity  # noqa: E402
from vla3d_ros.policy.preprocess import Preprocessor  # noqa: E402
from vla3d_ros.training.curves import draw_curves  # noqa: E402
from vla3d_ros.training.journal import Entry, Journal  # noqa: E402
from vla3d_ros.training.recipe_file import recipe_sha256  # noqa: E402
from vla3d_ros.training.shipping import observation_of, ship  # noqa: E402
from vla3d_ros.training.tensors import to_tensors  # noqa: E402
from vla3d_ros.training.trainer import Trainer  # noqa: E402
from vla3d_ros.training.validation import predict_chunks  # noqa: E402

FIGURES = {"position_mm": 1.25}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    trainer = Trainer(small_recipe(), drawn_data(), folder)
    trainer.run(lambda entry: None)
    package = ship(
        folder / "drawn", trainer.learner.shown, trainer.recipe, trainer.data, trainer.normalisation, FIGURES
    )
    return trainer, package


def test_the_package_is_trained_and_passes_its_own_golden_cases(shipped):
    _, package = shipped
    assert package.manifest.is_trained
    assert package.weights is not None
    assert len(package.golden()) == 4
    require_parity(package, open_engine(package.graphs, EngineSettings()))


def test_manifest_and_card_say_where_the_weights_come_from(shipped):
    trainer, package = shipped
    card = (package.folder / "README.md").read_text()
    for text in (
        recipe_sha256(trainer.recipe),
        trainer.data.sha256,
        "position_mm 1.25",
        "instances: 4 steps",
        "limits",
    ):
        assert text in card
    robot = package.manifest.embodiments[0]
    np.testing.assert_allclose(package.manifest.actions.std, trainer.normalisation.action_std, rtol=1e-6)
    np.testing.assert_allclose(robot.state_mean, trainer.normalisation.state_mean, rtol=1e-6, atol=1e-6)


def test_the_package_gives_the_chunk_that_the_network_in_training_gives(shipped):
    trainer, package = shipped
    sample = trainer.data.source[7]
    arrays = trainer.batches(np.array([7]))
    noise = np.random.default_rng(0).standard_normal((1, *package.golden()[0].noise.shape)).astype(np.float32)
    batch = to_tensors(trainer.recipe.network, arrays, "cpu")
    expected, _ = predict_chunks(trainer.learner.shown.eval(), batch, noise, 5)
    views, slots = {"head": "head", "side": "side"}, {"arm": "arm"}
    observed = observation_of(sample, package.manifest, trainer.data.joints)
    inputs = Preprocessor(package.manifest, views, slots, "drawn")(observed)
    for name in ("images", "state", "K", "T_base_camera", "depth_m", "text_tokens"):
        np.testing.assert_allclose(inputs[name], arrays[name], atol=1e-5, err_msg=name)
    got = open_engine(package.graphs, EngineSettings()).infer(inputs, noise[0], 5, None)
    np.testing.assert_allclose(got.actions, expected[0], atol=1e-3)


def test_a_folder_that_is_taken_is_left_alone(shipped):
    trainer, package = shipped
    with pytest.raises(TrainingError, match="not empty"):
        ship(package.folder, trainer.learner.shown, trainer.recipe, trainer.data, trainer.normalisation, FIGURES)


def test_curves_are_drawn_from_whatever_a_run_has_so_far(shipped, tmp_path):
    package = shipped[1]
    whole = list(Journal(package.folder.parent / "journal.jsonl").entries())
    found = Entry(step=8, stage="completion", kind="validation", figures={"position_mm": 3.0, "rotation_deg": 1.0})
    for name, entries in {"none": [], "some": whole, "validated": [*whole, found]}.items():
        draw_curves(tmp_path / f"{name}.png", entries, name)
    sizes = [(tmp_path / f"{name}.png").stat().st_size for name in ("none", "some", "validated")]
    assert sizes == sorted(sizes)
