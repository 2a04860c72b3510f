"""What the server is sent, and settings that make no sense."""

import numpy as np
import pytest
from remote_scene import POSE, observation, settings

from vla3d_ros.errors import ConfigError, PerceptionError
from vla3d_ros.policy.backends.remote_config import ImageSettings, read_remote_config
from vla3d_ros.policy.backends.remote_observation import fitted_image, request_of, request_summary


def image(fit="pad", layout="hwc", width_px=8, height_px=8):
    return ImageSettings(
        key="i", camera="c", width_px=width_px, height_px=height_px, fit=fit, layout=layout, when_missing="refuse"
    )


def test_padding_keeps_the_proportions_and_centres():
    found = fitted_image(np.full((4, 8, 3), 77, np.uint8), image())
    assert (found[2:6] == 77).all()
    assert (found[:2] == 0).all()
    assert (found[6:] == 0).all()


def test_stretching_fills_the_image():
    assert (fitted_image(np.full((4, 8, 3), 77, np.uint8), image("stretch")) == 77).all()


def test_an_image_of_the_right_size_is_not_touched():
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(fitted_image(rgb, image()), rgb)
    np.testing.assert_array_equal(fitted_image(rgb, image(layout="chw")), rgb.transpose(2, 0, 1))


def test_shrinking_averages():
    checks = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = fitted_image(np.repeat(checks[:, :, None], 3, axis=2), image())
    assert np.abs(found.astype(int) - 127).max() <= 1


def state_of(*parts):
    mapping = settings()
    mapping["observation"]["states"] = {"s": list(parts)}
    return request_of(read_remote_config(mapping), observation(), "go")["s"]


def test_a_state_is_its_parts_in_order():
    parts = [{"arm": "arm", "quantity": q} for q in ("joint_velocities", "ee_position", "ee_rot6d", "ee_quat_wxyz")]
    gripper = {"arm": "arm", "quantity": "gripper", "gripper": [1.0, -1.0]}
    x, y, z, w = POSE.xyzw
    expected = [1, 2, *POSE.translation, *POSE.rotation[:, 0], *POSE.rotation[:, 1], w, x, y, z, 0.5]
    np.testing.assert_allclose(state_of(*parts, gripper), expected, rtol=1e-6)


def test_a_missing_view_is_black_only_where_that_is_allowed():
    config = read_remote_config(settings())
    assert not request_of(config, observation(cameras=("head",)), "go")["images"]["wrist"].any()
    with pytest.raises(PerceptionError, match=r"needs cameras \['head'\]; there are views of \['wrist'\]"):
        request_of(config, observation(cameras=("wrist",)), "go")


def test_a_request_can_be_shown_to_people():
    lines = request_summary(request_of(read_remote_config(settings()), observation(), "go"))
    assert "images.wrist: (4, 4, 3) uint8" in lines
    assert "prompt: str" in lines


def test_every_problem_of_the_settings_is_named_at_once():
    mapping = settings("http://robot", timeout_s=0.0, retry_s=[5.0, 1.0])
    mapping["observation"]["images"]["observation/image"] |= {"fit": "squeeze", "colour": "bgr"}
    mapping["observation"]["states"]["observation/state"][0]["quantity"] = "torque"
    mapping["actions"]["arms"]["arm"]["gripper"] = [1.0, 1.0]
    del mapping["actions"]["key"]
    with pytest.raises(ConfigError) as caught:
        read_remote_config(mapping)
    expected = [
        "'url' is http://robot",
        "'timeout_s' must be more than 0",
        "shorter pause first",
        "squeeze",
        "'colour'",
    ]
    for part in [*expected, "torque", "'gripper' is [1, 1]", "'key' missing"]:
        assert part in str(caught.value), part


def test_settings_that_are_no_mapping_are_refused():
    with pytest.raises(ConfigError, match="expected a mapping"):
        read_remote_config([1])


def test_an_unknown_arm_is_named():
    with pytest.raises(ConfigError, match=r"\['left'\]; the robot has \['arm'\]"):
        state_of({"arm": "left", "quantity": "ee_position"})
