"""`vla3d policy build`: TensorRT engines before they are needed, and whether TensorRT takes the graphs at all."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla3d_ros.commands.policy_packages import chosen_folders, engine_settings
from vla3d_ros.errors import ConfigError, DependencyError, EngineError, Vla3dError
from vla3d_ros.policy.backends.cuda_runtime import Gpu, open_cuda
from vla3d_ros.policy.backends.tensorrt_binding import TensorRtBinding, load_binding
from vla3d_ros.policy.backends.tensorrt_builder import BuiltPlan
from vla3d_ros.policy.backends.tensorrt_plans import PreparedPlans, prepare_plans
from vla3d_ros.policy.engine import EngineSettings
from vla3d_ros.policy.package import load_package

_KINDS = ("tensorrt", "tensorrt_rtx")


def build_engines(options: argparse.Namespace, console: Console) -> int:
    """Build the engines of every package for this machine's GPU, or without one where TensorRT can.

    Returns:
        0 if all could be built, else 1.

    Raises:
        ConfigError: If the engine is not one that is built.
        DependencyError: If TensorRT is not installed; says what to install.
        EngineError: If there is no GPU and this TensorRT needs one.
    """
    if options.engine not in _KINDS:
        raise ConfigError(f"engine '{options.engine}' is not built ahead; expected --engine one of {list(_KINDS)}")
    settings = replace(engine_settings(options), keep_float32=options.keep)
    binding = load_binding(settings.kind)
    gpu = _find_gpu(settings, console)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("package", "graph", "layers", "plan", "products in half precision", "built in"):
        table.add_column(heading)
    results: dict[str, Any] = {}
    failures = []
    for folder in chosen_folders(options.packages):
        try:
            results[folder.name] = _build(folder.name, load_package(folder).graphs, binding, settings, gpu, table)
        except Vla3dError as error:
            failures.append(f"{folder.name}: {error}")
            results[folder.name] = {"error": str(error)}
    _show(console, table, results, failures, is_wordy=options.show_kept)
    if options.json:
        text = json.dumps({"builder": binding.title, "gpu": gpu.name if gpu else None, "packages": results}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if failures else 0


def _find_gpu(settings: EngineSettings, console: Console) -> Gpu | None:
    """Return the GPU to build for, or None if TensorRT for RTX shall build without one."""
    try:
        gpu = open_cuda(settings.device).gpu
    except (DependencyError, EngineError) as error:
        if settings.kind == "tensorrt":
            raise
        console.print(f"[yellow]built without a GPU, to see whether TensorRT takes the graphs[/]: {escape(str(error))}")
        return None
    console.print(f"building for {gpu.name}, compute capability {gpu.compute_capability}")
    return gpu


def _build(
    name: str, graphs: Any, binding: TensorRtBinding, settings: EngineSettings, gpu: Gpu | None, table: Table
) -> dict[str, Any]:
    began = time.perf_counter()
    prepared = prepare_plans(binding, graphs, settings, gpu)
    elapsed = f"{time.perf_counter() - began:.1f} s" if prepared.built else "in the cache"
    for graph, plan in prepared.plans.items():
        built = prepared.built.get(graph)
        layers, low = (str(built.layers), _low(built)) if built else ("", "")
        table.add_row(name, graph, layers, f"{len(plan) / 1e6:.1f} MB", low, elapsed)
    return {"folder": str(prepared.folder), "graphs": _figures(prepared)}


def _low(built: BuiltPlan) -> str:
    return f"{built.precision.low_products} of {built.precision.products}" if built.precision.products else ""


def _figures(prepared: PreparedPlans) -> dict[str, Any]:
    figures: dict[str, Any] = {graph: {"plan_bytes": len(plan)} for graph, plan in prepared.plans.items()}
    for graph, built in prepared.built.items():
        kept = [{"node": node, "why": why} for node, why in built.precision.kept]
        figures[graph] |= {"layers": built.layers, "products": built.precision.products, "kept_float32": kept}
    return figures


def _show(console: Console, table: Table, results: dict[str, Any], failures: list[str], *, is_wordy: bool) -> None:
    if table.row_count:
        console.print(table)
    for name, result in results.items() if is_wordy else ():
        for graph, figures in result.get("graphs", {}).items():
            for kept in figures.get("kept_float32", []):
                console.print(f"{name} {graph}: float32 {escape(kept['node'])}: {escape(kept['why'])}", soft_wrap=True)
    for failure in failures:
        console.print(f"[red]✗ {escape(failure)}[/]", soft_wrap=True)
    console.print(f"{len(results) - len(failures)} of {len(results)} packages built")
