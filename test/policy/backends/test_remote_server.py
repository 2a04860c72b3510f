"""The remote policy against real servers on the loopback: good, slow, silent, dead, and talking nonsense."""

import threading

import numpy as np
import pytest
from policy_server import PolicyServer, SilentServer, as_map, encode
from remote_scene import STAMP_NS, STEPS, actions, observation, settings

from vla3d_ros.errors import InstructionError, PolicyServerError, StaleObservationError, Vla3dError
from vla3d_ros.policy.backends.remote import RemotePolicy
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.resources import config_dir

ENOUGH_TRIES = 2000


@pytest.fixture
def started():
    """Start servers and policies, and end them all."""
    opened = []

    def start(thing):
        opened.append(thing)
        return thing

    yield start
    for thing in reversed(opened):
        thing.close()


def policy_for(url, **server):
    policy = RemotePolicy.from_config(settings(url, **server))
    policy.reset("stack the cups")
    return policy


def good(_request):
    return encode({"actions": actions()})


def retry(policy, errors=(Vla3dError,)):
    """Ask until an answer comes; every refusal must be one of `errors`."""
    for _ in range(ENOUGH_TRIES):
        try:
            return policy.infer(observation())
        except errors:
            threading.Event().wait(0.005)
    raise AssertionError("no answer")


def test_a_chunk_comes_back_with_the_observations_stamp(started):
    server = started(PolicyServer(good))
    policy = started(policy_for(server.url))
    chunk = policy.infer(observation())
    assert chunk.stamp_ns == STAMP_NS
    assert chunk.dt_ns == 50_000_000
    assert chunk.arms[0].arm == "arm"
    np.testing.assert_allclose(chunk.arms[0].Ts_ee0_ee[:, 0, 3], np.full(STEPS, 0.1), atol=1e-6)
    np.testing.assert_allclose(chunk.arms[0].gripper_opening, np.full(STEPS, 0.5))


def test_the_server_gets_images_state_and_prompt(started):
    server = started(PolicyServer(good))
    started(policy_for(server.url)).infer(observation())
    (request,) = server.requests
    assert request["prompt"] == "stack the cups"
    assert request["observation/image"].shape == (4, 4, 3)
    assert request["observation/image"].dtype == np.uint8
    assert request["images"]["wrist"][2, 2].tolist() == [200, 200, 200]
    np.testing.assert_allclose(request["observation/state"], [0.1, -0.2])
    assert request["observation/state"].dtype == np.float32


def test_one_connection_serves_many_questions(started):
    server = started(PolicyServer(good))
    policy = started(policy_for(server.url))
    for stamp_ns in range(1, 6):
        assert policy.infer(observation(stamp_ns)).stamp_ns == stamp_ns
    assert server.connections == 1


def test_metadata_and_timing_of_the_server_are_reported(started):
    answer = encode({"actions": actions(), "server_timing": {"infer_ms": 12.5}})
    server = started(PolicyServer(lambda _: answer, metadata={"model": "blue"}))
    policy = started(policy_for(server.url, expect_metadata={"model": "blue"}))
    chunk = policy.infer(observation())
    assert policy.server_metadata == {"model": "blue"}
    assert chunk.report.details["server_infer_ms"] == "12.50"


def test_a_server_of_another_model_is_refused(started):
    server = started(PolicyServer(good, metadata={"model": "red"}))
    policy = started(policy_for(server.url, expect_metadata={"model": "blue"}))
    with pytest.raises(PolicyServerError, match="model is 'red'; expected 'blue'"):
        policy.infer(observation())
    assert server.requests == []


def test_the_api_key_travels_in_the_header(started, monkeypatch):
    monkeypatch.setenv("ROBOT_POLICY_KEY", "secret-1")
    server = started(PolicyServer(good))
    started(policy_for(server.url, api_key_env="ROBOT_POLICY_KEY")).infer(observation())
    assert server.headers[0]["Authorization"] == "Api-Key secret-1"


def test_a_late_reply_is_never_given_to_a_newer_observation(started):
    release = threading.Event()

    def answer(request):
        if len(server.requests) == 1:
            release.wait()
            return encode({"actions": actions(x=0.9)})
        return encode({"actions": actions(x=0.1)})

    server = started(PolicyServer(answer))
    policy = started(policy_for(server.url))
    with pytest.raises(StaleObservationError, match="did not answer within"):
        policy.infer(observation(1))
    with pytest.raises(StaleObservationError, match="still owes"):
        policy.infer(observation(2))
    release.set()
    chunk = retry(policy, (StaleObservationError,))
    assert chunk.arms[0].Ts_ee0_ee[0, 0, 3] == pytest.approx(0.1)
    assert chunk.report.details["late_replies"] == "1"
    assert server.connections == 1


def test_a_server_that_owes_a_reply_is_asked_nothing_else(started):
    release = threading.Event()
    server = started(PolicyServer(lambda _: release.wait() and None))
    policy = started(policy_for(server.url))
    for stamp_ns in range(4):
        with pytest.raises(StaleObservationError):
            policy.infer(observation(stamp_ns))
    release.set()
    assert len(server.requests) == 1


def test_a_silent_server_is_hung_up_on_and_tried_again(started):
    server = started(PolicyServer(lambda request: None if len(server.requests) == 2 else good(request)))
    policy = started(policy_for(server.url, silence_s=0.05))
    policy.infer(observation())
    with pytest.raises(StaleObservationError):
        policy.infer(observation())
    with pytest.raises(PolicyServerError, match="no reply for 0.05 s; it answers pings"):
        policy.infer(observation())
    assert retry(policy).stamp_ns == STAMP_NS
    assert server.connections == 2


def test_the_first_reply_may_take_longer(started):
    release = threading.Event()
    server = started(PolicyServer(lambda request: release.wait() and good(request)))
    policy = started(policy_for(server.url, silence_s=0.001))
    for _ in range(3):
        with pytest.raises(StaleObservationError):
            policy.infer(observation())
    release.set()
    retry(policy, (StaleObservationError,))
    assert server.connections == 1


def refusals_from_a_thread(policy, times):
    """Ask in a thread; return its refusals once it is through, which no state of the peer may prevent."""
    errors = []

    def ask():
        for _ in range(times):
            errors.append(refusal(policy))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout=60.0)
    assert not thread.is_alive()
    return errors


def refusal(policy):
    with pytest.raises(Vla3dError) as caught:
        policy.infer(observation())
    return caught.value


@pytest.mark.parametrize("handshake", [False, True])
def test_a_half_open_socket_never_holds_the_thread(started, handshake):
    server = started(SilentServer(handshake))
    policy = started(policy_for(server.url, connect_s=0.2, first_reply_s=0.05))
    errors = refusals_from_a_thread(policy, times=3)
    assert len(errors) == 3
    assert all(isinstance(error, PolicyServerError | StaleObservationError) for error in errors)


def test_a_peer_that_does_not_read_never_holds_the_thread(started):
    server = started(SilentServer(handshake=True))
    mapping = settings(server.url, connect_s=1.0)
    mapping["observation"]["images"]["observation/image"] |= {"width_px": 2000, "height_px": 2000}  # fits no buffer
    policy = started(RemotePolicy.from_config(mapping))
    policy.reset("wave")
    assert isinstance(refusals_from_a_thread(policy, times=1)[0], PolicyServerError)


def test_a_killed_server_is_found_again_when_it_is_back(started):
    first = PolicyServer(good)
    policy = started(policy_for(first.url))
    policy.infer(observation())
    first.kill()
    with pytest.raises(PolicyServerError, match="trying again every"):
        policy.infer(observation())
    with pytest.raises(PolicyServerError):
        policy.infer(observation())
    second = started(PolicyServer(good, port=first.port))
    assert retry(policy).stamp_ns == STAMP_NS
    assert second.connections == 1


def test_no_server_is_said_in_the_same_words_each_time(started):
    first = PolicyServer(good)
    first.kill()
    policy = started(policy_for(first.url, retry_s=[30.0, 30.0]))
    said = [str(refusal(policy)) for _ in range(3)]
    assert len(set(said)) == 1
    assert "can not connect" in said[0]


def test_the_servers_error_is_shown(started):
    server = started(PolicyServer(lambda _: "Traceback:\nKeyError: 'observation/image'"))
    policy = started(policy_for(server.url))
    with pytest.raises(PolicyServerError, match="KeyError: 'observation/image'"):
        policy.infer(observation())


def with_nan():
    found = actions()
    found[2, 1] = np.nan
    return found


NONSENSE = {
    "not msgpack": (b"\xc1\xff\x00", "not msgpack"),
    "empty": (b"", "not msgpack"),
    "no actions": (encode({"policy": 1}), "no 'actions'; it has .'policy'"),
    "a list": (encode([1, 2]), "no 'actions'; it has list"),
    "a number": (encode({"actions": 3}), "'actions' is int"),
    "too few steps": (encode({"actions": actions()[:2]}), r"shape \(2, 8\); expected \(4, 8 or more\)"),
    "too few columns": (encode({"actions": actions()[:, :5]}), r"shape \(4, 5\)"),
    "one axis": (encode({"actions": actions()[0]}), r"shape \(8,\)"),
    "text": (encode({"actions": as_map(np.array(["a", "b"]))}), "dtype '<U1' refused"),
    "objects": (encode({"actions": {**as_map(actions()), b"dtype": "|O"}}), r"dtype '\|O' refused"),
    "structures": (encode({"actions": {**as_map(actions()), b"dtype": "i4,O"}}), "refused"),
    "short data": (encode({"actions": {**as_map(actions()), b"data": b"1234"}}), "has 4 bytes; expected 128"),
    "negative size": (encode({"actions": {**as_map(actions()), b"shape": [-4, 8]}}), "expected sizes and bytes"),
    "not finite": (encode({"actions": with_nan()}), "not finite: nan at step 2, column 1"),
    "no rotation": (encode({"actions": np.zeros((4, 8))}), "quaternion of step 0 has norm 0"),
    "no opening": (encode({"actions": actions(opening=1.4)}), "gripper of arm 'arm' at step 0 is 1.4"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_and_the_connection_goes_on(started, name):
    answer, message = NONSENSE[name]
    server = started(PolicyServer(lambda request: answer if len(server.requests) == 1 else good(request)))
    policy = started(policy_for(server.url))
    with pytest.raises(PolicyServerError, match=message):
        policy.infer(observation())
    assert policy.infer(observation()).stamp_ns == STAMP_NS
    assert server.connections == 1


def test_without_an_instruction_nothing_is_sent(started):
    server = started(PolicyServer(good))
    policy = started(RemotePolicy.from_config(settings(server.url)))
    with pytest.raises(InstructionError, match="reset"):
        policy.infer(observation())
    assert server.connections == 0


def test_after_closing_nothing_is_asked(started):
    server = started(PolicyServer(good))
    policy = policy_for(server.url)
    policy.infer(observation())
    policy.close()
    policy.close()
    with pytest.raises(PolicyServerError, match="closed"):
        policy.infer(observation())
    assert len(server.requests) == 1


def test_the_shipped_settings_load_without_a_server():
    policy = load_backend("remote", str(config_dir() / "policies" / "openpi_remote.yaml"))
    assert policy.description.cameras == ("head", "wrist")
    assert policy.description.steps == 30
    policy.close()
