"""Questions whose answers are lost on the way: what is noticed, what is asked again, and what is not."""

import threading
import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue  # noqa: E402
from rcl_interfaces.msg import SetParametersResult  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.task import Future  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from waiting import wait_until  # noqa: E402

from vla3d_ros.errors import TransportError  # noqa: E402
from vla3d_ros.ros import persistent_client, qos  # noqa: E402
from vla3d_ros.ros.operator_requests import OperatorRequests  # noqa: E402
from vla3d_ros.ros.persistent_client import PersistentClient, ask_again, only_wait  # noqa: E402
from vla3d_ros.ros.robot_services import RobotServices  # noqa: E402
from vla3d_ros.ros.scene_requests import SceneRequests  # noqa: E402

pytestmark = pytest.mark.ros

LIMIT_S = 20.0
LOOK_S = 0.05


class Line:
    """Between a client and its server: loses as many requests and answers as it is told."""

    def __init__(self) -> None:
        self.lost_requests = self.lost_answers = self.puts = 0

    def cut(self, client) -> None:
        call = client.call_async

        def call_async(request):
            self.puts += 1
            if self.lost_requests:
                self.lost_requests -= 1
                return Future()
            if self.lost_answers:
                self.lost_answers -= 1
                call(request)
                return Future()
            return call(request)

        client.call_async = call_async


def state_msg(**values: str) -> DiagnosticStatus:
    return DiagnosticStatus(values=[KeyValue(key=key, value=value) for key, value in values.items()])


class Desk:
    """A server that counts, and a node that asks it; both spun by the test."""

    def __init__(self, context) -> None:
        self.server = rclpy.create_node("server", namespace="/desk", context=context)
        self.node = rclpy.create_node("asker", namespace="/desk", context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.server)
        self.executor.add_node(self.node)
        self.line = Line()
        self.done: list[str] = []
        create = self.node.create_client

        def create_client(kind, name, **options):
            client = create(kind, name, **options)
            self.line.cut(client)
            return client

        self.node.create_client = create_client

    def serve(self, name: str, kind=Trigger, effect=lambda: None) -> None:
        def answer(request, response):
            self.done.append(name)
            effect()
            response.success, response.message = True, f"done {len(self.done)} times"
            return response

        self.server.create_service(kind, name, answer)

    def tell(self, topic: str, **values: str) -> None:
        if not hasattr(self, topic):
            setattr(self, topic, self.server.create_publisher(DiagnosticStatus, topic.replace("__", "/"), qos.LATCHED))
        getattr(self, topic).publish(state_msg(**values))

    def wait(self, is_so, what: str) -> None:
        wait_until(is_so, what, limit_s=LIMIT_S, meanwhile=lambda: self.executor.spin_once(timeout_sec=0.02))

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.01)


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(persistent_client, "_LOOK_S", LOOK_S)
    context = rclpy.Context()
    rclpy.init(context=context)
    desk = Desk(context)
    yield desk
    desk.executor.shutdown()
    desk.server.destroy_node()
    desk.node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize("lost", ["lost_requests", "lost_answers"])
def test_what_may_be_done_twice_is_asked_again_until_it_is_answered(desk, lost):
    desk.serve("do")
    client = PersistentClient(desk.node, Trigger, "do")
    desk.wait(lambda: client.is_ready, "the service")
    setattr(desk.line, lost, 2)
    question = client.ask(Trigger.Request(), on_silence=ask_again)
    desk.wait(lambda: question.is_over, "the answer")
    assert question.result().success
    assert desk.line.puts == 3
    assert len(desk.done) == (1 if lost == "lost_requests" else 3)


def test_what_must_not_be_done_twice_is_asked_once_and_called_unanswered(desk):
    desk.serve("do")
    client = PersistentClient(desk.node, Trigger, "do", patience_s=8 * LOOK_S)
    desk.wait(lambda: client.is_ready, "the service")
    desk.line.lost_answers = 1
    said = []
    question = client.ask(Trigger.Request(), on_silence=only_wait, on_delay=said.append)
    desk.wait(lambda: question.is_over, "the end of patience")
    assert desk.done == ["do"] and desk.line.puts == 1
    assert said == ["service 'do' did not answer so far; it is not asked again by itself"]
    with pytest.raises(TransportError, match="service 'do' did not answer within 0.4 s"):
        question.result()


def test_an_answer_that_comes_at_once_needs_no_look_and_says_nothing(desk):
    desk.serve("do")
    client = PersistentClient(desk.node, Trigger, "do")
    desk.wait(lambda: client.is_ready, "the service")
    said, over = [], []
    question = client.ask(Trigger.Request(), on_over=over.append, on_delay=said.append)
    desk.wait(lambda: question.is_over, "the answer")
    desk.spin(6 * LOOK_S)
    assert (said, over, desk.line.puts) == ([], [question], 1)


def test_an_effect_that_is_seen_stands_for_the_lost_answer(desk):
    desk.serve("do")
    client = PersistentClient(desk.node, Trigger, "do")
    desk.wait(lambda: client.is_ready, "the service")
    desk.line.lost_answers = 1
    seen = Trigger.Response(success=True, message="seen")
    question = client.ask(Trigger.Request(), on_silence=lambda: seen if desk.done else persistent_client.Silence.WAIT)
    desk.wait(lambda: question.is_over, "the look")
    assert question.result() is seen and desk.done == ["do"]


def test_a_question_that_was_repeated_is_over_when_no_repetition_is_under_way(desk):
    """Otherwise a second `disarm` could be carried out after the `arm` that followed the first one's answer."""
    client = PersistentClient(desk.node, Trigger, "do")
    held = [Future(), Future()]
    unused = iter(held)
    client._client.call_async = lambda request: next(unused)
    client._client.service_is_ready = lambda: True
    question = client.ask(Trigger.Request(), on_silence=ask_again)
    desk.wait(lambda: len(question.futures) == 2, "the repetition")
    question.on_silence = only_wait
    held[0].set_result(Trigger.Response(success=True, message="first"))
    is_over_too_soon = question.is_over
    held[1].set_result(Trigger.Response(success=False, message="second"))
    assert not is_over_too_soon
    assert question.is_over and question.result().message == "first"


def test_another_request_replaces_the_one_that_is_open(desk):
    client = PersistentClient(desk.node, SetBool, "switch")
    first, second = (client.ask(SetBool.Request(data=value)) for value in (True, False))
    assert first.is_over and "asked something else" in first.problem
    assert not second.is_over
    assert client.ask(SetBool.Request(data=False)) is second


def test_a_caller_in_another_thread_gets_its_answer_although_the_first_was_lost(desk):
    desk.serve("do")
    client = PersistentClient(desk.node, Trigger, "do")
    desk.line.lost_answers = 1
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.call(Trigger.Request(), on_silence=ask_again)))
    thread.start()
    desk.wait(lambda: bool(answers), "the answer")
    thread.join()
    assert answers[0].success and len(desk.done) == 2


# ---------------------------------------------------------------------------------------- which are repeated


def ask(desk, service: str, **told: str):
    """Ask when the server is there, and what it tells of its state was heard."""
    services = RobotServices(desk.node, [service], patience_s=8 * LOOK_S)
    heard = "_adapter" if service.startswith("adapter") else "_recorder"
    topic = "adapter__state" if service.startswith("adapter") else "recorder__status"

    def is_heard() -> bool:
        desk.tell(topic, **told)
        return services.is_ready(service) and getattr(services, heard) == told

    desk.wait(is_heard, "the service, and its node's state")
    return services.ask(service, on_delay=lambda text: None)


@pytest.mark.parametrize("service", ["adapter/stop", "adapter/disarm"])
def test_what_brings_the_arm_to_rest_is_asked_until_it_is_answered(desk, service):
    desk.serve(service)
    desk.line.lost_requests = 1
    question = ask(desk, service)
    desk.wait(lambda: question.is_over, "the answer")
    assert question.result().success and desk.done == [service]


@pytest.mark.parametrize("service", ["adapter/arm", "adapter/reset", "recorder/start", "recorder/stop"])
def test_what_could_undo_what_somebody_else_did_is_never_asked_twice(desk, service):
    desk.serve(service)
    desk.line.lost_requests = 1
    question = ask(desk, service, armed="disarmed", stopped="operator: pressed")
    desk.wait(lambda: question.is_over, "the end of patience")
    assert question.response is None and desk.line.puts == 1 and desk.done == []


@pytest.mark.parametrize(
    ("service", "topic", "before", "after"),
    [
        ("adapter/arm", "adapter__state", {"armed": "disarmed"}, {"armed": "armed"}),
        ("adapter/reset", "adapter__state", {"stopped": "operator: pressed"}, {"stopped": ""}),
        ("recorder/start", "recorder__status", {"path": ""}, {"path": "bags/0001"}),
        ("recorder/stop", "recorder__status", {"path": "bags/0001"}, {"path": "", "last": "5 messages"}),
        ("recorder/discard", "recorder__status", {"last": ""}, {"last": "discarded: it is in bags/discarded"}),
    ],
)
def test_what_was_done_although_the_answer_was_lost_is_seen(desk, service, topic, before, after):
    desk.serve(service, effect=lambda: desk.tell(topic, **after))
    desk.line.lost_answers = 1
    question = ask(desk, service, **before)
    desk.wait(lambda: question.is_over, "the look")
    assert question.result().success and desk.done == [service]
    assert question.result().message in (*after.values(), "no stop is latched")


@pytest.mark.parametrize("opened", ["", "bags/0002"], ids=["nothing since", "another episode since"])
def test_an_outcome_is_told_again_unless_that_would_end_another_episode(desk, opened):
    desk.serve("recorder/success")
    services = RobotServices(desk.node, ["recorder/success"], patience_s=8 * LOOK_S)
    desk.wait(lambda: services.is_ready("recorder/success"), "the service")
    services._on_recorder_status(state_msg(path="bags/0001"))
    desk.line.lost_requests = 1
    question = services.ask("recorder/success", on_delay=lambda text: None)
    services._on_recorder_status(state_msg(path=opened))
    desk.wait(lambda: question.is_over, "an answer, or the end of patience")
    assert desk.done == ([] if opened else ["recorder/success"])


@pytest.mark.parametrize("is_disturbed", [False, True], ids=["undisturbed", "disarmed and armed meanwhile"])
def test_going_home_is_asked_again_only_while_nothing_happened_to_the_adapter(desk, is_disturbed):
    desk.serve("adapter/home")
    services = RobotServices(desk.node, ["adapter/home"], patience_s=8 * LOOK_S)
    desk.wait(lambda: services.is_ready("adapter/home"), "the service")
    services._on_adapter_state(state_msg(armed="armed", stopped=""))
    desk.line.lost_requests = 1
    question = services.ask("adapter/home", on_delay=lambda text: None)
    if is_disturbed:
        services._on_adapter_state(state_msg(armed="disarmed", stopped=""))
        services._on_adapter_state(state_msg(armed="armed", stopped=""))
    desk.wait(lambda: question.is_over, "an answer, or the end of patience")
    assert desk.done == ([] if is_disturbed else ["adapter/home"])


# ---------------------------------------------------------------------------------------- what operators hear


def test_an_operator_is_told_soon_that_arming_was_not_answered_and_nothing_is_armed_later(desk):
    desk.serve("adapter/arm")
    said = []
    requests = OperatorRequests(desk.node, lambda *answer: said.append(answer))
    desk.wait(lambda: requests._services.is_ready("adapter/arm"), "the service")
    desk.line.lost_requests = 1
    requests.send("arm")
    desk.wait(lambda: bool(said), "a word about it")
    request, is_granted, text = said[0]
    assert (request, is_granted) == ("arm", False) and "not asked again by itself" in text
    desk.spin(12 * LOOK_S)
    assert desk.done == []


def test_stop_is_carried_out_although_the_first_press_was_lost(desk):
    desk.serve("adapter/stop")
    said = []
    requests = OperatorRequests(desk.node, lambda *answer: said.append(answer))
    desk.wait(lambda: requests._services.is_ready("adapter/stop"), "the service")
    desk.line.lost_requests = 1
    requests.send("stop")
    desk.wait(lambda: bool(said), "the answer")
    assert said == [("stop", True, "done 1 times")]


def test_a_scene_is_set_although_both_answers_were_lost(desk):
    seeds = []

    def set_parameters(request, response):
        seeds.append(request.parameters[0].value.integer_value)
        response.results = [SetParametersResult(successful=True)]
        return response

    def place(request, response):
        response.success, response.message = True, "{instruction: go}"
        return response

    desk.server.create_service(SetParameters, "twin/set_parameters", set_parameters)
    desk.server.create_service(Trigger, "/twin/place", place)
    said = []
    scenes = SceneRequests(desk.node, lambda *answer: said.append(answer))
    desk.wait(lambda: scenes._seeder.is_ready and scenes._placer.is_ready("/twin/place"), "the services")
    desk.line.lost_answers = 1
    scenes.place(3)
    scenes.place(4)
    desk.line.lost_answers = 2
    desk.wait(lambda: bool(scenes.scene), "the scene")
    assert scenes.scene == {"seed": 3, "instruction": "go"} and set(seeds) == {3}
    assert said[0] == ("scene", False, "scene 4 was not set: another one is being set; try again")
    assert said[-1] == ("scene", True, "scene 3 is set")
