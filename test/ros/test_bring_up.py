import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn  # noqa: E402
from rclpy.task import Future  # noqa: E402

from vla3d_ros.errors import BringUpError  # noqa: E402
from vla3d_ros.ros import bring_up, persistent_client  # noqa: E402

pytestmark = pytest.mark.ros


class CountingNode(LifecycleNode):
    """Counts how often it is configured, and refuses if it is told to."""

    def __init__(self, *, refuses: bool = False):
        super().__init__("counted")
        self.configured = 0
        self._refuses = refuses

    def on_configure(self, state):
        self.configured += 1
        return TransitionCallbackReturn.FAILURE if self._refuses else TransitionCallbackReturn.SUCCESS


@pytest.fixture
def walker(ros_context, monkeypatch):
    monkeypatch.setattr(persistent_client, "_LOOK_S", 0.1)
    monkeypatch.setattr(bring_up, "_REASON_WAIT_S", 0.1)
    node = rclpy.create_node("walker", start_parameter_services=False)
    walker = bring_up.BringUp(node)
    yield walker
    walker.close()
    node.destroy_node()


def lose_first(monkeypatch, node, *, is_request_lost):
    """Let the first change_state call go unanswered, with or without having reached its node."""
    create_client, lost = node.create_client, []

    def create(kind, name):
        client = create_client(kind, name)
        if name.endswith("change_state") and not lost:
            call = client.call_async

            def call_async(request):
                if lost:
                    return call(request)
                lost.append(name)
                if not is_request_lost:
                    call(request)
                return Future()

            client.call_async = call_async
        return client

    monkeypatch.setattr(node, "create_client", create)
    return lost


@pytest.mark.parametrize("is_request_lost", [True, False], ids=["request", "answer"])
def test_a_lost_message_does_not_end_bring_up(walker, spun, monkeypatch, is_request_lost):
    node = spun(CountingNode())
    lost = lose_first(monkeypatch, walker._node, is_request_lost=is_request_lost)
    active = []
    walker.activate(["/counted"], timeout_s=10.0, on_active=active.append)
    assert lost and active == ["/counted"]
    assert node.configured == 1


def test_a_refusal_is_heard_although_its_answer_was_lost(walker, spun, monkeypatch):
    spun(CountingNode(refuses=True))
    lose_first(monkeypatch, walker._node, is_request_lost=False)
    with pytest.raises(BringUpError, match="/counted.*gave no reason"):
        walker.activate(["/counted"], timeout_s=10.0)


def test_a_node_that_does_not_spin_is_named(walker):
    silent = CountingNode()
    try:
        with pytest.raises(BringUpError, match="'/counted' did not configure within 1 s"):
            walker.activate(["/counted"], timeout_s=1.0)
    finally:
        silent.destroy_node()
