"""Plans of a package's two graphs: from the cache, or built and then cached."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vla3d_ros.errors import EngineError
from vla3d_ros.policy.backends.cuda_runtime import Gpu
from vla3d_ros.policy.backends.tensorrt_binding import TensorRtBinding
from vla3d_ros.policy.backends.tensorrt_builder import BuiltPlan, build_plan
from vla3d_ros.policy.backends.tensorrt_cache import EngineCache, EngineKey, default_cache_root
from vla3d_ros.policy.engine import EngineSettings, GraphFiles

_LOG = logging.getLogger(__name__)
GRAPHS = ("context", "step")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PreparedPlans:
    """Serialized engines by graph, where they are kept, and what was built now (nothing if all came from there)."""

    plans: Mapping[str, bytes]
    folder: Path
    built: Mapping[str, BuiltPlan] = field(default_factory=dict)


def prepare_plans(
    binding: TensorRtBinding,
    files: GraphFiles,
    settings: EngineSettings,
    gpu: Gpu | None,
    *,
    is_rebuild: bool = False,
) -> PreparedPlans:
    """Return the plans of a package for one GPU.

    Args:
        binding: Which TensorRT.
        files: The graphs.
        settings: Precision, what stays float32, and cache folder.
        gpu: For which GPU, or None for a build without one (TensorRT for RTX only).
        is_rebuild: Build even if the cache has plans.

    Raises:
        EngineError: If a graph can not be built.
    """
    key = EngineKey(
        package_sha256=files.sha256,
        gpu=gpu.name if gpu else "none",
        compute_capability=gpu.compute_capability if gpu else "none",
        builder=binding.title,
        precision=settings.precision,
        keep=settings.keep_float32,
    )
    cache = EngineCache(settings.cache_dir or default_cache_root())
    cached = None if is_rebuild else cache.plans(key, GRAPHS)
    if cached is not None:
        return PreparedPlans(plans=cached, folder=cache.folder(key))
    built: dict[str, BuiltPlan] = {}
    timings = cache.timings(key)
    for name, file in zip(GRAPHS, (files.context, files.step), strict=True):
        _LOG.info("building %s of %s with %s in %s", name, file, binding.title, settings.precision)
        built[name] = build_plan(binding, file, settings.precision, keep=settings.keep_float32, timing_cache=timings)
        timings = built[name].timing_cache or timings
    plans = {name: plan.plan for name, plan in built.items()}
    try:
        folder = cache.store(key, plans, timings)
    except OSError as error:
        raise EngineError(f"engine cache {cache.folder(key)} can not be written: {error}") from error
    return PreparedPlans(plans=plans, folder=folder, built=built)
