"""How many parameters the route has, by module: the paper says 0.086 B."""

from __future__ import annotations

from vla3d_ros.policy.nets.vla3d.route import Vla3dRoute

PAPER_PARAMETERS = 0.086e9

_MODULES = {
    "token coordinates": ("memory.project", "memory.coordinates"),
    "spatial fusion (Eq. 1)": ("memory.fusion",),
    "pyramid": ("instances.pyramid",),
    "instance probes (Eq. 2-4)": ("instances.decoder",),
    "instance heads": ("instances.heads",),
    "point proposal": ("occlusion.finder",),
    "completion predictor (Eq. 7-10)": ("occlusion.predictor",),
    "aggregation (Eq. 14-16)": ("ee_encoding", "local_context", "gate"),
    "output": ("kinds", "norm", "project"),
}


def parameters_by_module(route: Vla3dRoute) -> dict[str, int]:
    """Return the number of parameters of each part of the route, in the order in which data passes; they sum to all."""
    sizes = {name: parameter.numel() for name, parameter in route.named_parameters()}
    return {
        module: sum(size for name, size in sizes.items() if f"{name}.".startswith(tuple(f"{one}." for one in prefixes)))
        for module, prefixes in _MODULES.items()
    }
