"""Killed at any moment and resumed: the same plan, no trial lost, none twice."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.evaluation.journal import Journal, read_journal
from vla3d_ros.evaluation.study_run import begin_run, read_run, resume_run

_SPEC = importlib.util.spec_from_file_location("study_example", Path(__file__).with_name("study_example.py"))
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)

TRIALS = 24


def finish(folder: Path) -> None:
    with resume_run(folder) as run:
        example.run_some(run, TRIALS)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    with begin_run(folder, example.order()) as run:
        example.run_some(run, TRIALS)
    return folder


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.05, 1.0))
def test_a_journal_cut_anywhere_is_resumed_at_that_very_trial(whole_run, tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("cut")
    for name in ("plan.json", "key.sealed.json", "protocol.yaml"):
        (folder / name).write_bytes((whole_run / name).read_bytes())
    content = (whole_run / "journal.jsonl").read_bytes()
    first_line = content.index(b"\n") + 1
    cut = max(first_line, round(share * len(content)))
    example.journal_of(folder).write_bytes(content[:cut])
    finish(folder)
    after = example.journal_of(folder).read_bytes()
    assert after.startswith(content[:cut]), "something that was written has been changed"
    found, whole = read_run(folder), read_run(whole_run)
    assert found.plan == whole.plan
    assert Counter(r.trial for r in found.records if r.is_valid) == dict.fromkeys(range(1, TRIALS + 1), 1)
    assert [found.valid[n].outcome for n in range(1, TRIALS + 1)] == [
        whole.valid[n].outcome for n in range(1, TRIALS + 1)
    ]


KILLED = """
import importlib.util, os, signal, sys
from pathlib import Path
from vla3d_ros.evaluation.study_run import begin_run, resume_run
spec = importlib.util.spec_from_file_location("study_example", sys.argv[1])
example = importlib.util.module_from_spec(spec); spec.loader.exec_module(example)
folder = Path(sys.argv[2])
run = resume_run(folder) if (folder / "journal.jsonl").exists() else begin_run(folder, example.order())
example.run_some(run, int(sys.argv[3]))
trial = run.next_trial()
if trial is not None:
    run.start(trial, {})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_is_killed_in_every_third_trial_still_ends_with_every_trial_once(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    kills = 0
    for _ in range(TRIALS):
        arguments = [sys.executable, "-c", KILLED, str(Path(__file__).with_name("study_example.py")), str(folder), "7"]
        code = subprocess.run(arguments, check=False, timeout=60).returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    data = read_run(folder)
    assert kills == 3 == len(data.interrupted) == data.resumed
    assert Counter(r.trial for r in data.records if r.is_valid) == dict.fromkeys(range(1, TRIALS + 1), 1)
    assert [r.trial for r in data.records] == sorted(r.trial for r in data.records)
    assert {r.attempt for r in data.records} == {1, 2}
    assert data.is_complete


def test_invalid_trials_are_repeated_counted_and_given_up_after_the_protocols_most(tmp_path):
    with begin_run(tmp_path, example.order()) as run:
        for attempt in (1, 2):
            trial = run.next_trial()
            assert trial is not None and trial.number == 1
            number = run.start(trial, {})
            assert number == attempt
            spoiled = {"is_valid": False, "outcome": "none", "invalid_because": "wrong set-up"}
            run.finish(example.record(trial, number, is_success=False, **spoiled))
        assert run.valid_trials == frozenset()
        run.finish(example.record(trial, run.start(trial, {}), is_success=False))
        assert run.next_trial().number == 2
        for _ in range(3):
            trial = run.next_trial()
            run.finish(example.record(trial, run.start(trial, {}), is_success=False, **spoiled))
        with pytest.raises(ConfigError, match="trial 2 was invalid 3 times.*wrong set-up"):
            run.next_trial()
    assert len(read_run(tmp_path).records) == 6


def test_a_run_is_not_begun_twice_nor_written_by_two(tmp_path):
    with begin_run(tmp_path, example.order()):
        with pytest.raises(ConfigError, match="--resume"):
            begin_run(tmp_path, example.order())
        with pytest.raises(RecordingError, match="another process"):
            resume_run(tmp_path)


def test_a_record_must_fit_the_open_attempt_and_itself(tmp_path):
    with begin_run(tmp_path, example.order()) as run:
        trial = run.next_trial()
        attempt = run.start(trial, {})
        with pytest.raises(RecordingError, match="it is attempt 2 at trial 1"):
            run.finish(example.record(trial, attempt + 1))
        with pytest.raises(RecordingError, match="2 problems"):
            run.finish(example.record(trial, attempt, failure="bad luck"))
        run.finish(example.record(trial, attempt))


@pytest.mark.parametrize("name", ["plan.json", "protocol.yaml", "key.sealed.json"])
def test_a_file_changed_behind_the_journals_back_is_noticed(tmp_path, name):
    with begin_run(tmp_path, example.order()) as run:
        example.run_some(run, 2)
    path = tmp_path / name
    text = path.read_text()
    if name == "plan.json":
        path.write_text(json.dumps(json.loads(text) | {"digest": "other"}))
    elif name == "protocol.yaml":
        path.write_text(text.replace("trials_per_cell: 2", "trials_per_cell: 3"))
    else:
        policies = json.loads(text)["policies"]
        path.write_text(json.dumps(json.loads(text) | {"policies": {"A": policies["B"], "B": policies["A"]}}))
    with pytest.raises(RecordingError, match="changed|not the key"):
        read_run(tmp_path)


def test_a_journal_broken_in_the_middle_is_not_taken_for_a_crash(tmp_path):
    with begin_run(tmp_path, example.order()) as run:
        example.run_some(run, 3)
    path = example.journal_of(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "garbage\n", *lines[3:]]))
    with pytest.raises(RecordingError, match="line 3 is no event"):
        read_journal(path)


def test_an_event_is_on_the_disk_before_append_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", synced.append)
    with Journal(tmp_path / "journal.jsonl") as journal:
        before = len(synced)
        journal.append("start", {"trial": 1})
        assert len(synced) == before + 1


def test_only_its_owner_can_read_the_sealed_key_and_the_plan_does_not_tell(tmp_path):
    with begin_run(tmp_path, example.order()):
        pass
    assert (tmp_path / "key.sealed.json").stat().st_mode & 0o077 == 0
    for name in ("plan.json", "journal.jsonl"):
        assert "tau" not in (tmp_path / name).read_text()


SEQUENTIAL = example.PROTOCOL.replace("method: fixed", "method: e_process").replace(
    "trials_per_cell: 2", "trials_per_cell: 20"
)


def test_a_sequential_comparison_stops_when_the_evidence_is_there_and_stays_stopped(tmp_path):
    with begin_run(tmp_path, example.order(protocol=SEQUENTIAL)) as run:
        better = run.plan.labels[0]
        while (trial := run.next_trial()) is not None:
            run.finish(example.record(trial, run.start(trial, {}), is_success=trial.policy == better))
        done = len(run.valid_trials)
        assert "evidence 28.4" in run.stopped_because
    assert done == 16  # eight clean pairs: 2^8 B(9, 1) = 28.4
    with resume_run(tmp_path) as run:
        assert run.next_trial() is None
    assert read_run(tmp_path).is_complete


def test_a_stop_that_a_crash_kept_from_being_written_is_written_on_resume(tmp_path):
    with begin_run(tmp_path, example.order(protocol=SEQUENTIAL)) as run:
        better = run.plan.labels[0]
        while (trial := run.next_trial()) is not None:
            run.finish(example.record(trial, run.start(trial, {}), is_success=trial.policy == better))
    path = example.journal_of(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["event"] == "stopped"
    path.write_text("".join(lines[:-1]))
    with resume_run(tmp_path) as run:
        assert run.next_trial() is None
        assert run.stopped_because


def test_equal_policies_are_seldom_told_apart(tmp_path):
    import numpy as np

    generator = np.random.default_rng(11)
    stopped = 0
    for index in range(10):
        with begin_run(tmp_path / str(index), example.order(seed=index, protocol=SEQUENTIAL)) as run:
            while (trial := run.next_trial()) is not None and len(run.valid_trials) < 100:
                chance = bool(generator.random() < 0.5)
                run.finish(example.record(trial, run.start(trial, {}), is_success=chance))
            stopped += bool(run.stopped_because)
    assert stopped <= 2
