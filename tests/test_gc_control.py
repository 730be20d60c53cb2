"""The garbage collector is paused while many objects are created, and works as before afterwards."""

import gc
import threading

import pytest

from scheduler import gc_control


@pytest.fixture(autouse=True)
def collecting():
    """Begin and end with a collector that is switched on."""
    gc.enable()
    yield
    gc.enable()


def test_nothing_is_collected_meanwhile():
    """Also not after an inner block; the collector works again after the outer one."""
    with gc_control.held_off():
        with gc_control.held_off():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_error():
    """What the block raises passes through."""
    with pytest.raises(ValueError, match="out"), gc_control.held_off():
        raise ValueError("out")
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off():
    """A program may have switched it off for reasons of its own."""
    gc.disable()
    with gc_control.held_off():
        pass
    assert not gc.isenabled()


def test_a_finalizer_may_hold_it_off_again():
    """A finalizer that a collection runs inside the bookkeeping does not wait for its own thread."""
    with gc_control._lock, gc_control.held_off():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_two_threads_at_once():
    """The first one to leave does not switch it on for the other."""
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with gc_control.held_off():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    with gc_control.held_off():
        thread.start()
        assert inside.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_what_a_program_has_put_aside_stays_there():
    """`gc.freeze` of the program's own is not undone."""
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with gc_control.held_off():
            pass
        assert gc.get_freeze_count() == frozen > 0
    finally:
        gc.unfreeze()
    with gc_control.held_off():
        pass
    assert gc.get_freeze_count() == 0
