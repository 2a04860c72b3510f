"""An engine that computes something else is refused, with arm, step and amount in millimetres and degrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")
pytest.importorskip("onnxruntime", reason="the reference runs on ONNX Runtime")

from standin_package import STEPS, write_standin

from vla3d_ros.datatypes import ArmChunk
from vla3d_ros.errors import ParityError
from vla3d_ros.geometry import exp_se3
from vla3d_ros.policy.engine import EngineOutput, EngineSettings, open_engine
from vla3d_ros.policy.onnx_signature import read_signature
from vla3d_ros.policy.parity import compare_chunks, instance_overlap, require_parity


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_standin(tmp_path_factory.mktemp("models") / "standin")


class CrookedEngine:
    """Adds something to what a sound engine gives, as a miscompiled graph does."""

    name = "crooked"

    def __init__(self, package, error, precision="fp32"):
        self._sound = open_engine(package.graphs, EngineSettings())
        self._error, self.precision = error, precision

    def infer(self, inputs, noise, flow_steps, guidance):
        output = self._sound.infer(inputs, noise, flow_steps, guidance)
        return EngineOutput(actions=output.actions + self._error, display=output.display, stage_ns=output.stage_ns)

    def close(self):
        self._sound.close()


def error_at(step, column, amount):
    error = np.zeros((STEPS, 20), np.float32)
    error[step, column] = amount
    return error


def test_a_sound_engine_passes_with_no_difference_to_speak_of(package):
    differences = require_parity(package, open_engine(package.graphs, EngineSettings(threads=2)))
    assert len(differences) == 3
    assert max(arm.position_mm for case in differences for arm in case.arms) < 1e-3


def test_a_crooked_engine_is_refused_with_arm_step_and_millimetres(package):
    crooked = CrookedEngine(package, error_at(step=6, column=1, amount=0.1))  # 0.1 of a spread of 20 mm
    with pytest.raises(ParityError, match=r"golden case 0: arm 'left' differs by 2 mm at step 6; tolerated: 0.1"):
        require_parity(package, crooked)


def test_every_arm_and_kind_of_difference_is_told_at_once(package):
    crooked = CrookedEngine(package, error_at(2, 3, -1.0) + error_at(4, 19, 1.0))
    with pytest.raises(ParityError) as caught:
        require_parity(package, crooked)
    for part in ("arm 'left' differs by", "degrees at step 2", "arm 'right' differs by 0.1 of the gripper", "step 4"):
        assert part in str(caught.value)


def test_an_engine_that_gives_nonsense_is_not_within_any_tolerance(package):
    with pytest.raises(Exception, match="not finite"):
        require_parity(package, CrookedEngine(package, error_at(0, 0, np.nan)))


def test_a_precision_nobody_looked_at_is_refused(package):
    with pytest.raises(ParityError, match=r"has tolerances for \['fp32'\], none for 'bf16'"):
        require_parity(package, CrookedEngine(package, 0.0, precision="bf16"))


def test_a_wider_tolerance_of_a_precision_is_in_force(package):
    wide = {"bf16": replace(package.manifest.tolerances["fp32"], position_mm=3.0)}
    tolerant = replace(package, manifest=replace(package.manifest, tolerances=package.manifest.tolerances | wide))
    error = error_at(6, 1, 0.1)
    require_parity(tolerant, CrookedEngine(package, error, precision="bf16"))
    with pytest.raises(ParityError):
        require_parity(tolerant, CrookedEngine(package, error, precision="fp32"))


def test_differences_are_those_of_the_poses():
    twists = np.zeros((5, 6))
    other = twists.copy()
    other[3, 0], other[2, 5] = 0.004, np.radians(2.0)
    a, b = (
        ArmChunk(arm="x", Ts_ee0_ee=exp_se3(t), gripper_opening=np.linspace(0, g, 5))
        for t, g in ((twists, 1.0), (other, 0.9))
    )
    (difference,) = compare_chunks([a], [b])
    assert difference.position_mm == pytest.approx(4.0) and difference.position_step == 3
    assert difference.rotation_deg == pytest.approx(2.0) and difference.rotation_step == 2
    assert difference.gripper == pytest.approx(0.1) and difference.gripper_step == 4


def shown(points, mask=None):
    points = np.array(points, np.float32).reshape(-1, 3)
    return {"instance_points": points, "instance_mask": np.ones(len(points), bool) if mask is None else np.array(mask)}


def test_instances_agree_as_sets_whatever_their_order():
    points = np.random.default_rng(0).uniform(-1, 1, (6, 3))
    assert instance_overlap(shown(points), shown(points[::-1])) == 1.0
    assert instance_overlap(shown(points), shown(points + np.array([0.02, 0, 0]))) == 0.0
    assert instance_overlap(shown(points), shown(points[:3])) == 0.5
    assert instance_overlap(shown(points, [True] * 3 + [False] * 3), shown(points[:3])) == 1.0
    assert instance_overlap(shown([]), shown([])) == 1.0
    assert instance_overlap({}, {}) == 1.0


def test_one_instance_does_not_stand_for_two():
    assert instance_overlap(shown([[0, 0, 0], [0.001, 0, 0]]), shown([[0, 0, 0]])) == 0.5


def test_a_graphs_signature_is_that_of_the_onnx_library(package):
    import onnx

    for path in (package.graphs.context, package.graphs.step):
        ours, theirs = read_signature(path), onnx.load(path).graph
        for found, listed in ((ours.inputs, theirs.input), (ours.outputs, theirs.output)):
            assert list(found) == [value.name for value in listed]
            for value in listed:
                kind = value.type.tensor_type
                assert found[value.name].shape == tuple(d.dim_value for d in kind.shape.dim)
                dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
                assert found[value.name].dtype == dtype
        assert ours.opset == 18 and not ours.has_external_weights
