"""The garbage collector is paused while many objects are created; what a program has set is changed only if it asks."""

import gc
import subprocess
import sys
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


@pytest.fixture
def nothing_frozen():
    """Begin and end with a collector that leaves nothing out."""
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_a_program_has_frozen_stays_frozen(nothing_frozen):
    """`gc.freeze` of the program's own is not undone: not by a block, not by a scheduler."""
    gc.freeze()
    frozen = gc.get_freeze_count()
    with gc_control.held_off():
        gc_control.freeze()
        gc_control.unfreeze()
    assert gc.get_freeze_count() == frozen > 0


def test_a_block_freezes_nothing(nothing_frozen):
    """Afterwards all objects are collected as before."""
    with gc_control.held_off():
        pass
    assert gc.get_freeze_count() == 0


def test_the_last_scheduler_unfreezes(nothing_frozen):
    """Two that run at once share it; one stop too many does no harm."""
    gc_control.freeze()
    gc_control.freeze()
    gc_control.unfreeze()
    assert gc.get_freeze_count() > 0
    gc_control.unfreeze()
    assert gc.get_freeze_count() == 0
    gc_control.unfreeze()


async def test_a_scheduler_changes_the_collector_only_if_asked(new_scheduler, nothing_frozen):
    """By default it freezes nothing; with `freeze_gc=True`, from `start()` to the end of `stop()`."""
    plain, asked = new_scheduler(), new_scheduler(freeze_gc=True)
    plain.start()
    assert gc.get_freeze_count() == 0
    asked.start()
    assert gc.get_freeze_count() > 0
    await plain.stop()
    assert gc.get_freeze_count() > 0
    await asked.stop()
    assert gc.get_freeze_count() == 0


def test_an_import_changes_nothing():
    """Neither the package nor any of its public names touches the collector."""
    source = """
import gc
before = gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()
import scheduler
for name in scheduler.__all__:
    getattr(scheduler, name)
assert (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()) == before
"""
    subprocess.run([sys.executable, "-c", source], check=True)
