"""An episode recorded through the live graph gives the training samples that the batch gives of the same moments."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.cli import main
from vla3d_ros.commands.evaluate import trial_setup
from vla3d_ros.evaluation.live_trials import run_live_trial
from vla3d_ros.evaluation.trial_loop import TrialLoop
from vla3d_ros.evaluation.twin_scenes import twin_scene
from vla3d_ros.policy.image_fit import ImageFit
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.resources import config_dir
from vla3d_ros.training.demonstrations.config import load_settings
from vla3d_ros.training.demonstrations.recorder import EpisodeRecorder
from vla3d_ros.training.sample_reader import SampleReader, sample_of
from vla3d_ros.training.samples import SampleLayout
from vla3d_ros.twin.renderer import TwinRenderer
from vla3d_ros.twin.scene import load_scene
from vla3d_ros.twin.world import TwinWorld

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SEED = 7
SECONDS = 3.0
CAMERAS = ("head", "side", "wrist")
LAYOUT = SampleLayout(cameras=CAMERAS, arms=("fr3",), max_joints=7)
SETTINGS = "demonstrations"
LIKE_EACH_OTHER = 0.998  # of the pixels; edges differ where a joint is rounded


@pytest.fixture(scope="module")
def recorded(graph, tmp_path_factory):
    """The samples of a live trial's first seconds, imported as a user would."""
    trial = run_live_trial(graph.runner, trial=1, seed=SEED, timeout_s=SECONDS)
    folder = tmp_path_factory.mktemp("imported") / "samples"
    assert main(["demonstrations", "import", SETTINGS, str(trial.bag), "--out", str(folder)]) == 0
    reader = SampleReader(folder, LAYOUT)
    return [reader[number] for number in range(len(reader))]


def assert_alike(live, batch):
    """The same pictures but for some pixels at edges, and the same numbers."""
    same = (live.images == batch.images).all(axis=-1).mean(axis=(1, 2))
    assert (same >= LIKE_EACH_OTHER).all(), same
    assert np.abs(live.images.astype(int) - batch.images.astype(int)).max() <= 16
    assert pytest.approx(batch.K, abs=1e-9) == live.K
    assert live.T_base_camera == pytest.approx(batch.T_base_camera, abs=1e-5)
    assert live.instruction == batch.instruction
    assert np.array_equal(live.view_mask, batch.view_mask)


def batch_samples(deployment):
    """What the batch gives of the same scene with the same policy, over a fraction of a second."""
    policy = deployment.parameters["policy"]
    setup = replace(
        trial_setup(deployment, latency_ms=40.0, nudge_share=0.0),
        policy_factory=partial(load_backend, policy["backend"], policy["backend_config"]),
        timeout_s=0.3,
    )
    loop, pictures = TrialLoop(setup, np.random.default_rng(SEED)), load_settings(settings_path()).pictures
    recorder, observations = EpisodeRecorder(pictures, CAMERAS, ["fr3"]), []
    loop.on_observation = observations.append
    loop.on_chunk = lambda chunk: recorder.add(observations[-1], chunk)
    loop.run(1, SEED)
    episode = recorder.episode(loop.trial.instruction)
    return [sample_of(episode, row, LAYOUT) for row in range(len(episode))]


def settings_path() -> Path:
    return config_dir() / "training" / f"{SETTINGS}.yaml"


def test_the_first_sample_of_a_live_episode_is_that_of_the_batch(graph, recorded):
    """A busy machine may lose the first pictures on their way into the bag: then its first is the batch's second."""
    live = recorded[0]
    batch = min(batch_samples(graph.deployment), key=lambda sample: np.abs(sample.actions - live.actions).max())
    assert_alike(live, batch)
    assert live.state == pytest.approx(batch.state, abs=1e-3)
    assert live.T_base_ee == pytest.approx(batch.T_base_ee, abs=1e-3)
    positions = [sample.actions[:, :3] for sample in (live, batch)]
    assert np.abs(positions[0][-1]).max() > 0.02  # it is on its way
    assert positions[0] == pytest.approx(positions[1], abs=2e-3)
    assert live.actions[:, 9] == pytest.approx(batch.actions[:, 9], abs=1e-3)


def test_later_pictures_and_poses_are_those_of_a_world_in_the_recorded_state(graph, recorded):
    deployment = graph.deployment
    rig, arm = load_rig(deployment.rig_file), deployment.embodiment.arms[0]
    scene = load_scene(Path(deployment.parameters["twin"]["scene_file"]))
    pictures = load_settings(settings_path()).pictures
    assert len(recorded) > 8
    for live in recorded[2:8:2]:  # nothing has been touched yet
        there = replace(deployment.embodiment, arms=(replace(arm, q_home=live.state[0, 10:17].astype(np.float64)),))
        world = TwinWorld(there, rig, scene)
        world.place_trial(twin_scene(scene, SEED))
        eyes = TwinRenderer(world.model, rig.cameras)
        rendered = eyes.render(world.render_state())
        eyes.close()
        T_base_world = world.frame_pose(arm.base_frame).inverse()
        images, poses = [], []
        for spec in rig.cameras:
            fit = ImageFit(spec.name, (pictures.width_px, pictures.height_px), pictures.fit, "undistort")
            fit.prepare(spec.model)
            picture = np.zeros((pictures.height_px, pictures.width_px, 3), np.uint8)
            fit.place_rgb(rendered[spec.name], picture)
            images.append(picture)
            poses.append((T_base_world @ world.frame_pose(spec.mount.parent_frame) @ spec.mount.T_parent_camera).matrix)
        assert_alike(live, replace(live, images=np.stack(images), T_base_camera=np.stack(poses).astype(np.float32)))
