from vla3d_ros.teleop.clutch import Clutch, ClutchState


def test_a_clutch_that_is_pressed_from_the_start_does_not_count():
    clutch = Clutch()
    assert not clutch.update(True)
    assert clutch.state is ClutchState.LOCKED


def test_pressing_after_releasing_closes_it_once():
    clutch = Clutch()
    clutch.update(False)
    assert [clutch.update(True), clutch.update(True)] == [True, False]
    assert clutch.is_closed
    clutch.update(False)
    assert clutch.state is ClutchState.OPEN


def test_after_a_lock_it_has_to_be_released_first():
    clutch = Clutch()
    clutch.update(False)
    clutch.update(True)
    clutch.lock()
    clutch.update(True)
    assert not clutch.is_closed
    clutch.update(False)
    clutch.update(True)
    assert clutch.is_closed
