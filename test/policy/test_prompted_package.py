"""A network that looks at prompts: what its graph is given changes with the prompt, and so does what it does."""

from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.datatypes import ReferringPrompt
from vla3d_ros.policy.engine import EngineSettings, open_engine
from vla3d_ros.policy.package import load_package
from vla3d_ros.policy.preprocess import Preprocessor
from vla3d_ros.resources import share_dir

pytest.importorskip("onnxruntime", reason="no ONNX Runtime: pip install onnxruntime")


@pytest.fixture(scope="module")
def gear():
    package = load_package(share_dir() / "models" / "gear_tiny")
    engine = open_engine(package.graphs, EngineSettings())
    yield package, engine
    engine.close()


def test_what_the_graph_is_given_and_what_it_does_change_with_the_prompt(gear):
    package, engine = gear
    case = package.golden()[0]
    manifest, seen = package.manifest, case.observation
    cameras = {view.name: view.name for view in manifest.views}
    arms = {state.arm: state.arm for state in seen.robot_states}
    preprocess = Preprocessor(manifest, cameras, arms, case.embodiment)
    view = seen.views[0]
    prompts = {
        "none": None,
        "dark": ReferringPrompt(camera=view.camera, rgb=np.full_like(view.rgb, 30), colour="red"),
        "bright": ReferringPrompt(camera=view.camera, rgb=np.full_like(view.rgb, 220), colour="red"),
    }
    images, masks, actions = {}, {}, {}
    for name, prompt in prompts.items():
        inputs = preprocess(replace(seen, prompt=prompt))
        images[name], masks[name] = inputs["prompt_image"].copy(), bool(inputs["prompt_mask"][0])
        actions[name] = engine.infer(inputs, case.noise, manifest.flow_steps, None).actions.copy()
    assert masks == {"none": False, "dark": True, "bright": True}
    assert not images["none"].any() and images["dark"].max() < images["bright"].max()
    for one, other in (("none", "dark"), ("dark", "bright")):
        assert np.abs(actions[one] - actions[other]).max() > 1e-4, f"{one} and {other} give the same chunk"
