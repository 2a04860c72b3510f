"""From a finished run to a package: graphs, weights, golden cases of held-out scenes, and a card that tells all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Observation, RobotState, View
from vla3d_ros.errors import TrainingError
from vla3d_ros.geometry import Transform
from vla3d_ros.policy.engine import Engine, EngineSettings, GraphFiles, open_engine
from vla3d_ros.policy.export import export_package_graphs
from vla3d_ros.policy.golden import GoldenCase
from vla3d_ros.policy.golden_scenes import drawn_cases, golden_case
from vla3d_ros.policy.manifest import ACTION_WIDTH, EmbodimentSpec, Manifest
from vla3d_ros.policy.nets.parameters import parameter_table
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.weights import save_weights
from vla3d_ros.policy.package import PolicyPackage, write_package
from vla3d_ros.policy.package_files import CONTEXT, STEP, WEIGHTS
from vla3d_ros.policy.packaging import PackageAbout, manifest_for, model_card
from vla3d_ros.training.data import TrainingData
from vla3d_ros.training.recipe import Recipe
from vla3d_ros.training.recipe_file import recipe_sha256
from vla3d_ros.training.samples import Normalisation, TrainingSample
from vla3d_ros.training.trainer import action_spec

_STAMP_NS = 1_000_000_000


def ship(
    folder: Path,
    net: PolicyNet,
    recipe: Recipe,
    data: TrainingData,
    normalisation: Normalisation,
    figures: Mapping[str, float],
) -> PolicyPackage:
    """Export a trained network and complete it to a package that loads.

    Args:
        folder: New or empty; its name becomes the package's.
        net: What was trained; it is moved to the CPU, in evaluation mode.
        recipe: Of the run.
        data: Of the run; golden cases are held-out samples.
        normalisation: Of the run.
        figures: Of the last validation, by name.

    Raises:
        TrainingError: If the folder is taken.
        ParityError: If the graphs compute something else than the network.
    """
    if folder.exists() and any(folder.iterdir()):
        raise TrainingError(f"{folder} exists already and is not empty; remove it, or ship elsewhere")
    folder.mkdir(parents=True, exist_ok=True)
    net = net.to("cpu").float().eval()
    export_package_graphs(net, folder, tolerance=1e-3)
    save_weights(net, folder / WEIGHTS)
    robot = EmbodimentSpec(
        name=recipe.data.robot,
        index=0,
        joints=data.joints,
        state_mean=normalisation.state_mean,
        state_std=normalisation.state_std,
    )
    about = PackageAbout(
        name=folder.resolve().name, is_trained=True, provenance=provenance(recipe, data, figures), title=_title(recipe)
    )
    manifest = manifest_for(recipe.network, about, [robot], action_spec(recipe, normalisation))
    engine = open_engine(GraphFiles(context=folder / CONTEXT, step=folder / STEP, sha256=""), EngineSettings())
    try:
        cases = held_out_cases(manifest, engine, data, recipe.seed)
    finally:
        engine.close()
    return write_package(folder, manifest, cases, model_card(manifest, parameter_table(net)))


def provenance(recipe: Recipe, data: TrainingData, figures: Mapping[str, float]) -> dict[str, str]:
    """Return where the weights come from, in words, for manifest and model card."""
    stages = "; ".join(f"{stage.name}: {stage.steps} steps of {', '.join(stage.trains)}" for stage in recipe.stages)
    batch = recipe.optimiser.batch * recipe.optimiser.accumulate
    found = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
    return {
        "recipe": f"{recipe.name}, sha256 {recipe_sha256(recipe)}",
        "variant": recipe.variant,
        "training": f"{stages}; batch {batch}, seed {recipe.seed}",
        "data": f"{data.description}; manifest sha256 {data.sha256}",
        "open loop, held-out scenes": found or "not measured",
        "limits": f"knows robot {recipe.data.robot}, the objects and words of its demonstrations, and nothing else",
    }


def held_out_cases(manifest: Manifest, engine: Engine, data: TrainingData, seed: int) -> tuple[GoldenCase, ...]:
    """Return golden cases: held-out scenes, whole, with the last view missing, without states; and one that is guided.

    Args:
        manifest: The package's.
        engine: The reference: ONNX Runtime on a CPU.
        data: Of the run.
        seed: Of the noise, and of the guided case, which is drawn.
    """
    rng = np.random.default_rng(seed)
    chosen = data.held_out[np.linspace(0, len(data.held_out) - 1, 3).round().astype(np.int64)]
    scenes = [observation_of(data.source[int(index)], manifest, data.joints) for index in chosen]
    if len(manifest.views) > 1:
        gone = scenes[1].views[-1].camera
        scenes[1] = replace(scenes[1], views=scenes[1].views[:-1], missing_views=(gone,))
    scenes[2] = replace(scenes[2], robot_states=())
    robot = manifest.embodiments[0].name
    cases = [golden_case(manifest, engine, scene, robot, rng) for scene in scenes]
    return (*cases, drawn_cases(manifest, engine, seed)[1])


def observation_of(sample: TrainingSample, manifest: Manifest, joints: Sequence[int]) -> Observation:
    """Return a sample as the observation it was, cameras called as the package's views and arms as its slots.

    Args:
        sample: Pictures are of the package's size already.
        manifest: The package's.
        joints: Of the arm in each slot, 0 where there is none.
    """
    views = tuple(
        _view(spec.name, sample, index, has_depth=spec.depth != "unused")
        for index, spec in enumerate(manifest.views)
        if sample.view_mask[index]
    )
    states = tuple(
        _state(slot, sample, index, joints[index])
        for index, slot in enumerate(manifest.arm_slots)
        if sample.state_mask[index]
    )
    return Observation(stamp_ns=_STAMP_NS, views=views, robot_states=states, instruction=sample.instruction)


def _view(name: str, sample: TrainingSample, index: int, *, has_depth: bool) -> View:
    height, width = sample.images.shape[1:3]
    depth_m: NDArray[np.float32] | None = None
    if has_depth:
        depth_m = np.where(sample.depth_m[index] > 0, sample.depth_m[index], np.nan).astype(np.float32)
    return View(
        camera=name,
        rgb=sample.images[index].copy(),
        model=CameraModel(width_px=width, height_px=height, K=sample.K[index].astype(np.float64)),
        T_base_camera=Transform(sample.T_base_camera[index]),
        stamp_ns=_STAMP_NS,
        depth_m=depth_m,
    )


def _state(slot: str, sample: TrainingSample, index: int, joints: int) -> RobotState:
    q = sample.state[index, ACTION_WIDTH : ACTION_WIDTH + joints].astype(np.float64)
    return RobotState(
        arm=slot,
        stamp_ns=_STAMP_NS,
        joint_names=tuple(f"joint{number + 1}" for number in range(joints)),
        q=q,
        dq=np.zeros(joints),
        T_base_ee=Transform(sample.T_base_ee[index]),
        gripper_opening=float(np.clip(sample.state[index, ACTION_WIDTH - 1], 0.0, 1.0)),
    )


def _title(recipe: Recipe) -> str:
    height_px, width_px = recipe.network.image_size
    what = recipe.description or f"{recipe.network.route} route"
    return f"{what} ({recipe.variant}, {len(recipe.network.views)} views of {width_px} x {height_px} px)"
