"""Journals of cells: nothing that ended is lost, and nothing of another origin is mixed in."""

import pytest

from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.evaluation.evidence.store import CellStore, cell_path, read_cells, require_one_origin

A, B = ("plain", "nominal"), ("better", "nominal")
IDENTITY = {"policy": {"package": "a1"}, "code": {"judge.py": "1", "world.py": "2"}, "seed": 7}
BOTH = {A: IDENTITY, B: IDENTITY}


def test_a_store_goes_on_where_it_was_left(tmp_path, trial):
    with CellStore(tmp_path, BOTH) as store:
        assert store.missing(2) == [(0, A), (0, B), (1, A), (1, B)]
        store.add(A, trial(0, True))
        store.add(B, trial(1, False))
    with CellStore(tmp_path, BOTH) as store:
        assert store.missing(2) == [(0, B), (1, A)]
        assert store.missing(3)[2:] == [(2, A), (2, B)]
    assert {record.cell: record.trials for record in read_cells(tmp_path)} == {
        A: (trial(0, True),),
        B: (trial(1, False),),
    }


def test_a_torn_line_costs_that_trial_alone(tmp_path, trial):
    with CellStore(tmp_path, {A: IDENTITY}) as store:
        store.add(A, trial(0, True))
        store.add(A, trial(1, True))
    path = cell_path(tmp_path, A)
    path.write_bytes(path.read_bytes()[:-9])
    with CellStore(tmp_path, {A: IDENTITY}) as store:
        assert store.missing(2) == [(1, A)]
        store.add(A, trial(1, False))
    (record,) = read_cells(tmp_path)
    assert record.trials == (trial(0, True), trial(1, False))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": {"package": "b2"}}, "'policy' differs in package"),
        ({"code": {"judge.py": "9", "world.py": "2"}}, "'code' differs in judge.py"),
        ({"seed": 8}, "'seed' was 7, is 8"),
    ],
)
def test_trials_of_another_origin_are_not_mixed_in(tmp_path, trial, change, words):
    with CellStore(tmp_path, BOTH) as store:
        store.add(A, trial(0, True))
    before = cell_path(tmp_path, A).read_bytes()
    with pytest.raises(ConfigError, match=words):
        CellStore(tmp_path, {A: IDENTITY | change})
    assert cell_path(tmp_path, A).read_bytes() == before
    with CellStore(tmp_path, BOTH) as store:
        assert store.missing(1) == [(0, B)]


def test_a_trial_is_written_once(tmp_path, trial):
    with CellStore(tmp_path, {A: IDENTITY}) as store:
        store.add(A, trial(0, True))
        with pytest.raises(RecordingError, match="has trial 0 already"):
            store.add(A, trial(0, False))


def test_two_processes_do_not_write_the_same_cell(tmp_path):
    with CellStore(tmp_path, {A: IDENTITY}), pytest.raises(RecordingError, match="another process"):
        CellStore(tmp_path, {A: IDENTITY})


def test_a_trial_that_contradicts_itself_is_refused(tmp_path, trial):
    with CellStore(tmp_path, {A: IDENTITY}) as store:
        store.add(A, trial(0, False))
    path = cell_path(tmp_path, A)
    path.write_text(path.read_text().replace('"is_success": false', '"is_success": true'))
    with pytest.raises(RecordingError, match="is a success with failure"):
        read_cells(tmp_path)


def test_cells_are_compared_only_if_they_are_of_one_origin():
    other = IDENTITY | {"policy": {"package": "b2"}}
    shifted = ("plain", "camera_shift")
    require_one_origin({A: IDENTITY, B: other, shifted: IDENTITY})
    with pytest.raises(ConfigError, match=r"camera_shift: 'policy' differs in package.*plain/nominal has the former"):
        require_one_origin({A: IDENTITY, shifted: other})
    with pytest.raises(ConfigError, match="'seed' was 7, is 8"):
        require_one_origin({A: IDENTITY, B: IDENTITY | {"seed": 8}})
