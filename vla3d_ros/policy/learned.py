"""A policy package at work: observation in, chunk out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, Observation, PolicyReport, SpatialReport
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.backend import PolicyDescription
from vla3d_ros.policy.engine import Engine, EngineOutput, open_engine
from vla3d_ros.policy.learned_settings import LearnedSettings, fit_problems, read_learned_settings
from vla3d_ros.policy.package import PolicyPackage, find_package, load_package
from vla3d_ros.policy.parity import require_parity
from vla3d_ros.policy.preprocess import Preprocessor
from vla3d_ros.policy.rtc import RealTimeChunking
from vla3d_ros.resources import share_dir


class LearnedPolicy:
    """Preprocessing, inference, decoding, and what is remembered from chunk to chunk for real-time chunking."""

    def __init__(self, package: PolicyPackage, engine: Engine, settings: LearnedSettings) -> None:
        """Fit a package to a robot and a rig.

        Args:
            package: The package.
            engine: Runs its graphs.
            settings: Which cameras and arms.

        Raises:
            ConfigError: If the package does not fit; lists everything.
        """
        manifest = package.manifest
        if problems := fit_problems(settings, manifest, None, None):
            raise ConfigError(join_problems(f"policy package '{manifest.name}'", problems))
        self._manifest, self._engine = manifest, engine
        self._flow_steps = settings.flow_steps or manifest.flow_steps
        self._seed = manifest.seed.value if settings.seed is None else settings.seed
        self._preprocess = Preprocessor(manifest, settings.cameras, settings.arms, settings.embodiment)
        self._decoder = ActionDecoder(manifest.actions, manifest.arm_slots, settings.arms)
        self._rtc = RealTimeChunking(manifest.rtc, settings.rtc, self._decoder)
        cameras = tuple(settings.cameras[view.name] for view in manifest.views if view.name in settings.cameras)
        arms = tuple(settings.arms[slot] for slot in manifest.arm_slots if slot in settings.arms)
        steps, dt_ns = manifest.actions.steps, manifest.actions.dt_ns
        self._description = PolicyDescription(
            name=manifest.name,
            cameras=cameras,
            arms=arms,
            steps=steps,
            dt_ns=dt_ns,
            uses_executed_steps=settings.rtc.is_on,
            depth_cameras=tuple(
                settings.cameras[view.name]
                for view in manifest.views
                if view.name in settings.cameras and view.depth != "unused"
            ),
            requires_prompt=manifest.requires_prompt,
        )

    @classmethod
    def from_config(cls, config: Any) -> LearnedPolicy:
        """Load the package, build its engine, and let it prove itself on the golden cases.

        Raises:
            ConfigError: If the settings are wrong, or the package does not fit them.
            PackageError: If the package is not what it claims.
            EngineError: If the engine can not be built as told.
            ParityError: If the engine gives other chunks than the package says it must.
        """
        settings = read_learned_settings(config)
        package = load_package(find_package(settings.package, share_dir() / "models"))
        if problems := fit_problems(settings, package.manifest, None, None):
            raise ConfigError(join_problems(f"policy package '{package.manifest.name}'", problems))
        engine = open_engine(package.graphs, settings.engine)
        try:
            require_parity(package, engine)
            return cls(package, engine, settings)
        except BaseException:
            engine.close()
            raise

    @property
    def description(self) -> PolicyDescription:
        """Needs and gives."""
        return self._description

    def reset(self, instruction: str) -> None:
        """Start a new task: nothing of the chunk before is continued."""
        self._rtc.reset()

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the next chunk, stamped with the observation's stamp.

        Raises:
            PerceptionError: If a view that the policy can not do without is missing.
            InstructionError: If the instruction is too long.
            EngineError: If inference fails, or gives what is no motion.
        """
        actions = self._manifest.actions
        started_ns = time.perf_counter_ns()
        inputs = self._preprocess(observation)
        guidance = self._rtc.guidance(observation, actions.steps, actions.dt_ns)
        prepared_ns = time.perf_counter_ns()
        output = self._engine.infer(inputs, self._noise(observation.stamp_ns), self._flow_steps, guidance)
        inferred_ns = time.perf_counter_ns()
        decoded = self._decoder.decode(output.actions)
        chunk = ActionChunk(stamp_ns=observation.stamp_ns, dt_ns=actions.dt_ns, arms=decoded.arms)
        conditioned = 0 if guidance is None else self._rtc.conditioned_steps(chunk)
        ended_ns = time.perf_counter_ns()
        stages = {
            "preprocess": prepared_ns - started_ns,
            **dict(output.stage_ns),
            "decode": ended_ns - inferred_ns,
        }
        details = {f"{stage}_ms": f"{duration / 1e6:.3f}" for stage, duration in stages.items()}
        details |= {"clipped_openings": str(decoded.clipped_openings), "flow_steps": str(self._flow_steps)}
        if guidance is not None:
            details["guided_steps"] = str(int((guidance.weights > 0).sum() + guidance.prefix_mask.sum()))
        report = PolicyReport(compute_ns=ended_ns - started_ns, details=details, spatial=spatial_report(output))
        complete = ActionChunk(
            stamp_ns=chunk.stamp_ns, dt_ns=chunk.dt_ns, arms=chunk.arms, conditioned_steps=conditioned, report=report
        )
        self._rtc.remember(complete, observation)
        return complete

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()

    def _noise(self, stamp_ns: int) -> NDArray[np.float32]:
        """Return where the flow starts: the same for the same seed and observation, also when it is replayed."""
        is_fixed = self._manifest.seed.policy == "fixed"
        generator = np.random.default_rng([self._seed] if is_fixed else [self._seed, stamp_ns])
        shape = (self._manifest.actions.steps, self._manifest.chunk_width)
        return generator.standard_normal(shape, dtype=np.float32)


def spatial_report(output: EngineOutput) -> SpatialReport | None:
    """Return where the policy believes things are; None if its route has no such outputs."""
    display = output.display
    if "instance_points" not in display:
        return None
    shown = display["instance_mask"].astype(bool)
    completed = np.zeros((0, 3))
    if "completion_points" in display:
        completed = display["completion_points"][display["completion_mask"].astype(bool)].astype(np.float64)
    return SpatialReport(
        instance_points_base=display["instance_points"][shown].astype(np.float64),
        instance_scores=display["instance_scores"][shown].astype(np.float64),
        completion_points_base=completed,
    )
