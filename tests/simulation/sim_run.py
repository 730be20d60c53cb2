"""Runs worlds: one, many, and smaller and smaller ones until only what a fault needs is left."""

import copy
import pprint
import signal
import threading
import traceback
from contextlib import contextmanager

import sim_checks
import sim_generate
from sim_world import World

CHUNK = 50
LONGEST = 60
"""Real seconds that a world may take; a usual one takes a fiftieth of one."""


def run(script, *, trace=False):
    """Run a world and check it; return it."""
    world = World(script, trace=trace)
    try:
        with _limited():
            world.run()
            sim_checks.check(world)
    except Exception:  # noqa: BLE001 (a world in which the scheduler or the simulation breaks is a fault)
        world.fault("broken", traceback.format_exc(limit=-6))
    finally:
        world.close()
    return world


def run_seed(seed, *, trace=False):
    return run(sim_generate.make(seed), trace=trace)


def run_chunk(first):
    """Run some worlds, one after another; return the first fault of each, with its seed."""
    faults = [(seed, run_seed(seed).faults) for seed in range(first, first + CHUNK)]
    return [(seed, *found[0]) for seed, found in faults if found]


def history(world):
    """Return what happened in a world, as a text that is the same each time."""
    return "\n".join(world.trace)


@contextmanager
def _limited():
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def give_up(_signal, _frame):
        raise TimeoutError(f"the world has not ended after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- Minimal scripts ---


def shrink(script, kind):
    """Return a script, as small as can be found, in which there is a fault of this kind."""
    best, is_smaller = script, True
    while is_smaller:
        is_smaller = False
        for candidate in _smaller(best):
            if any(found == kind for found, _ in run(copy.deepcopy(candidate)).faults):
                best, is_smaller = candidate, True
                break
    return best


def _smaller(script):
    """Yield scripts that lack something of a script."""
    yield from _with_fewer_operations(script)
    yield from _with_fewer_fields(script)
    for task_id, manner in script["manners"].items():
        for name in manner:
            fewer = {key: value for key, value in manner.items() if key != name}
            yield {**script, "manners": {**script["manners"], task_id: fewer}}
    plain = {"containers": False, "slots": 32, "grace": 0}
    for name, value in plain.items():
        if script["settings"][name] != value:
            yield {**script, "settings": {**script["settings"], name: value}}
    if script["adds_again"]:
        yield {**script, "adds_again": False}


def _with_fewer_operations(script):
    operations = script["operations"]
    for number in reversed(range(len(operations))):
        yield {**script, "operations": operations[:number] + operations[number + 1 :]}


def _with_fewer_fields(script):
    operations = script["operations"]
    for number, operation in enumerate(operations):
        if operation[1:3] != ["call", "add"]:
            continue
        for name in sorted(operation[4].keys() - {"task_type", "interval_seconds", "cron_expression", "run_at"}):
            fewer = {key: value for key, value in operation[4].items() if key != name}
            changed = [*operation[:4], fewer, *operation[5:]]
            yield {**script, "operations": [*operations[:number], changed, *operations[number + 1 :]]}


def report(script, kind):
    """Return a script that shows a fault, as Python code, with what happens in it."""
    world = run(copy.deepcopy(script), trace=True)
    shown = pprint.pformat(script, width=110, sort_dicts=False)
    faults = "\n".join(f"{each}: {text}" for each, text in world.faults)
    return f"SCRIPT = {shown}\n\n{history(world)}\n\n{faults}\n(kind: {kind})"
