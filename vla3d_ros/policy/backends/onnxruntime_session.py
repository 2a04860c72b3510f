"""Loads ONNX files into ONNX Runtime on the provider that was asked for, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from vla3d_ros.errors import DependencyError, EngineError
from vla3d_ros.policy.engine import EngineSettings

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


class Session(Protocol):
    """What is used of an `onnxruntime.InferenceSession`."""

    def get_providers(self) -> list[str]: ...  # noqa: D102
    def get_inputs(self) -> Sequence[Any]: ...  # noqa: D102
    def get_outputs(self) -> Sequence[Any]: ...  # noqa: D102
    def io_binding(self) -> Any: ...  # noqa: D102
    def run_with_iobinding(self, binding: Any) -> None: ...  # noqa: D102


def open_session(path: Path, settings: EngineSettings, package_sha256: str, library: Any) -> Session:
    """Load a graph on the providers of the settings, and make sure that it is there that it runs.

    Args:
        path: ONNX file.
        settings: Providers, threads, cache.
        package_sha256: Names the folder of cached engines.
        library: The module `onnxruntime`.

    Raises:
        EngineError: If a provider is unknown or missing, or the graph would run on another one than told.
    """
    unknown = [name for name in settings.providers if name not in PROVIDERS]
    if unknown:
        raise EngineError(f"unknown ONNX Runtime providers {unknown}: expected some of {sorted(PROVIDERS)}")
    wanted = [PROVIDERS[name] for name in settings.providers]
    available = list(library.get_available_providers())
    usable = [name for name in wanted if name in available]
    if not usable or (usable != wanted and not settings.allow_fallback):
        missing = [name for name in wanted if name not in available]
        raise EngineError(
            f"ONNX Runtime has no {missing}: this installation has {available}; install onnxruntime-gpu instead of "
            "onnxruntime, or set 'providers: [cpu]', or 'allow_fallback: true'"
        )
    options = library.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; the memory plan's remarks are not for people
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "1" if settings.spinning else "0")
    chosen = [(name, _provider_options(name, settings, package_sha256)) for name in usable]
    try:
        session: Session = library.InferenceSession(str(path), options, providers=chosen)
    except Exception as error:  # onnxruntime raises many kinds, none of them public
        raise EngineError(f"ONNX Runtime can not load {path.name}: {error}") from error
    running = session.get_providers()
    if running[:1] != usable[:1] and not settings.allow_fallback:
        raise EngineError(
            f"{path.name} was to run on {usable[0]}, but ONNX Runtime fell back to {running}; its driver or libraries "
            "are missing or of another version. Say 'providers: [cpu]' if that is meant"
        )
    return session


def _provider_options(name: str, settings: EngineSettings, package_sha256: str) -> dict[str, str]:
    if name == PROVIDERS["cuda"]:
        return {"device_id": str(settings.device)}
    if name != PROVIDERS["tensorrt"]:
        return {}
    cache = (settings.cache_dir or Path.home() / ".cache" / "vla3d_ros") / "onnxruntime" / package_sha256[:16]
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "device_id": str(settings.device),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    }


def provider_title(provider: str) -> str:
    """Return the short name of an execution provider, as settings have it."""
    return next((title for title, name in PROVIDERS.items() if name == provider), provider)


def device_of(session: Session) -> str:
    """Return where a session's buffers are best: `cuda` or `cpu`."""
    on_gpu = {PROVIDERS["cuda"], PROVIDERS["tensorrt"]}
    return "cuda" if session.get_providers()[0] in on_gpu else "cpu"


def import_onnxruntime() -> Any:
    """Return the module `onnxruntime`.

    Raises:
        DependencyError: If it can not be imported.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise DependencyError(
            f"ONNX Runtime can not be imported ({error}); install it with: pip install onnxruntime, or onnxruntime-gpu"
        ) from error
    return onnxruntime
