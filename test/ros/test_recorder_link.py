"""`vla3d record` and a recorder whose answers are lost: what the operator is told is what happened."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.task import Future  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from vla3d_ros.errors import TransportError  # noqa: E402
from vla3d_ros.ros import persistent_client, recorder_link  # noqa: E402
from vla3d_ros.ros.qos import EVENT  # noqa: E402
from vla3d_ros.ros.recorder_link import RecorderLink  # noqa: E402

pytestmark = pytest.mark.ros


class FakeRecorder(Node):
    """Opens and closes episodes, and says so on its status, as the recorder does."""

    def __init__(self) -> None:
        super().__init__("recorder", namespace="/taped", start_parameter_services=False)
        self.path, self.last, self.begun = "", "", 0
        self._publisher = self.create_publisher(DiagnosticStatus, "~/status", EVENT)
        for name in ("check", "start", "stop"):
            self.create_service(Trigger, f"~/{name}", getattr(self, f"_on_{name}"))
        self.create_timer(0.05, self._tell)

    def _on_check(self, request, response):
        response.success, response.message = True, "ready"
        return response

    def _on_start(self, request, response):
        self.begun += 1
        self.path = f"bags/{self.begun}"
        self._tell()
        response.success, response.message = True, self.path
        return response

    def _on_stop(self, request, response):
        response.success, self.path, self.last = self.path != "", "", f"summary of {self.path}"
        response.message = self.last
        self._tell()
        return response

    def _tell(self) -> None:
        values = {"path": self.path, "last": self.last}
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        self._publisher.publish(DiagnosticStatus(values=pairs))


@pytest.fixture
def recorder(ros_context, spun, monkeypatch):
    monkeypatch.setattr(persistent_client, "_LOOK_S", 0.2)
    return spun(FakeRecorder())


@pytest.fixture
def link(recorder):
    link = RecorderLink("taped", instruction="", operator="", tells_policy=False)
    yield link
    link.close()


def lose_the_answer(link: RecorderLink, service: str) -> None:
    client = link._services._clients[f"recorder/{service}"]._client
    call, lost = client.call_async, []

    def call_async(request):
        future = call(request)
        if lost:
            return future
        lost.append(service)
        return Future()

    client.call_async = call_async


def test_an_episode_whose_start_was_not_answered_is_known_and_is_the_only_one(link, recorder):
    assert link.call("check") == (True, "ready")
    lose_the_answer(link, "start")
    assert link.call("start") == (True, "bags/1")
    lose_the_answer(link, "stop")
    assert link.call("stop") == (True, "summary of bags/1")
    assert recorder.begun == 1


def test_without_a_recorder_the_missing_service_is_named(ros_context, monkeypatch):
    monkeypatch.setattr(recorder_link, "_ANSWER_S", 0.2)
    link = RecorderLink("nobody_here", instruction="", operator="", tells_policy=False)
    try:
        with pytest.raises(TransportError, match=r"no service '/nobody_here/recorder/stop'.*with a recorder\?"):
            link.call("stop")
    finally:
        link.close()
