"""A folder of demonstrations as the data of a run."""

from __future__ import annotations

from pathlib import Path

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.errors import TrainingError, join_problems
from vla3d_ros.resources import config_dir
from vla3d_ros.training.data import TrainingData, sample_layout, split_episodes
from vla3d_ros.training.demonstrations.manifest import manifest_sha256
from vla3d_ros.training.recipe import Recipe
from vla3d_ros.training.sample_reader import SampleReader
from vla3d_ros.training.samples import TrainingSample


def open_demonstrations(recipe: Recipe) -> TrainingData:
    """Open the folder a recipe names, and see whether its samples are what the network reads.

    Args:
        recipe: Names folder, robot, cameras and arms.

    Raises:
        RecordingError: If there are no demonstrations in the folder.
        ConfigError: If cameras, arms or the robot are unknown.
        TrainingError: If pictures or chunks are of another size than the network's, or there are too few episodes.
    """
    folder = Path(recipe.data.demonstrations)
    layout = sample_layout(recipe.network, recipe.data)
    reader = SampleReader(folder, layout)
    training, held_out = split_episodes(reader.episodes, recipe.data.held_out_every)
    _require_fit(recipe, reader[0])
    settings = reader.manifest.settings
    return TrainingData(
        source=reader,
        numbers=SampleReader(folder, layout, has_pictures=False),
        training=training,
        held_out=held_out,
        sha256=manifest_sha256(folder),
        joints=_joints(recipe),
        description=(
            f"{len(reader.manifest.kept)} demonstrated episodes of {settings['deployment']}, seed {settings['seed']}, "
            f"{len(reader)} samples"
        ),
    )


def _joints(recipe: Recipe) -> tuple[int, ...]:
    """Return the joints of the arm in each of the network's slots, 0 where there is none."""
    robot = load_embodiment(config_dir() / "robots" / f"{recipe.data.robot}.yaml")
    joints = {arm.name: len(arm.q_home) for arm in robot.arms}
    if unknown := sorted(set(recipe.data.arms.values()) - set(joints)):
        raise TrainingError(f"robot '{recipe.data.robot}' has no arms {unknown}; it has {sorted(joints)}")
    return tuple(joints.get(recipe.data.arms.get(slot, ""), 0) for slot in recipe.network.arms)


def _require_fit(recipe: Recipe, sample: TrainingSample) -> None:
    network = recipe.network
    pictures, steps = sample.images.shape[1:3], len(sample.actions)
    problems = []
    if pictures != network.image_size:
        problems.append(f"pictures are {list(pictures)} px (rows, columns); 'image_size' is {list(network.image_size)}")
    if steps != network.chunk:
        problems.append(f"chunks have {steps} steps; 'chunk' is {network.chunk}")
    if problems:
        raise TrainingError(
            join_problems(f"recipe '{recipe.name}' does not fit {recipe.data.demonstrations}", problems)
        )
