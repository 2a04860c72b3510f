"""Networks, and scenes for them to look at."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.presets import preset

HAS_TORCH = importlib.util.find_spec("torch") is not None
NET_SEED, SCENE_SEED = 3, 5
EMBODIMENTS = ("seven_joints", "six_joints")


@pytest.fixture(autouse=True)
def _one_thread():
    if not HAS_TORCH:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Callable[[str], PolicyConfig]:
    """Configuration of a tiny preset with two embodiments."""
    return lambda name: dataclasses.replace(preset(name), embodiments=EMBODIMENTS)


@pytest.fixture(scope="session")
def net_of(tiny) -> Callable[[str], Any]:
    """Untrained network of a tiny preset in which every path carries signal; one per session: do not change it."""
    nets: dict[str, Any] = {}

    def build(name: str) -> Any:
        if name not in nets:
            from vla3d_ros.policy.nets.building import build_untrained_net

            nets[name] = build_untrained_net(tiny(name), NET_SEED)
        return nets[name]

    return build


@pytest.fixture(scope="session")
def scene_of() -> Callable[..., Any]:
    """Inputs for a configuration: all views and arms there, embodiment 0."""

    def make(config: PolicyConfig, seed: int = SCENE_SEED) -> Any:
        from vla3d_ros.policy.export import example_inputs
        from vla3d_ros.policy.nets.torch_engine import tensors_of

        scene = tensors_of(config, example_inputs(config, seed))
        return scene._replace(embodiment=scene.embodiment * 0)

    return make


@pytest.fixture(scope="session")
def chunk_of() -> Callable[..., Any]:
    """Five Euler steps from seeded noise."""

    def integrate(net: Any, scene: Any, seed: int = 0, drop: Any = None, flow_steps: int = 5) -> Any:
        import torch

        config = net.config
        context = net.context(scene, drop)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(len(scene.images), config.chunk, config.action_width, generator=generator)
        for index in range(flow_steps):
            tau = torch.full((len(x),), index / flow_steps)
            x = x + net.velocity(x, tau, context, scene.arm_mask) / flow_steps
        return x

    return integrate
