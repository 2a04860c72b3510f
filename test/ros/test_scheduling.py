"""Real-time priority is asked for politely: granted for all threads, or refused with a remedy."""

import os
import subprocess
import sys

import pytest

from vla3d_ros.ros import scheduling
from vla3d_ros.ros.scheduling import request_realtime

ASK = """
import os, threading
from vla3d_ros.ros.scheduling import request_realtime
stop = threading.Event()
before = threading.Thread(target=stop.wait); before.start()
print(request_realtime({priority}))
policies = [os.sched_getscheduler(thread.native_id) for thread in threading.enumerate()]
stop.set()
print(set(policies) == {{os.SCHED_FIFO}}, set(policies) == {{os.SCHED_OTHER}})
"""


def ask(priority):
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(priority=priority)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_every_thread_gets_the_priority_or_the_remedy_is_named():
    answer, policies = ask(5)
    if answer:
        assert "rtprio" in answer
    else:
        assert policies == "True False"


def test_zero_asks_for_nothing():
    assert ask(0) == ["", "False True"]


def test_a_refusal_names_the_remedy(monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert "not permitted" in request_realtime(20) and "limits.d" in request_realtime(20)


@pytest.mark.skipif(not scheduling._TASKS.exists(), reason="no Linux")
def test_an_impossible_priority_is_refused():
    assert "refused" in request_realtime(1000)
