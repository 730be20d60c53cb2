"""Many worlds: `python -m tests.simulation --worlds 100000`.

It continues where the last call has ended (`--state`), uses all cores, and prints each fault with its seed. The exit
code is 1 if there was one. `--seed N` runs one world and shows what happens in it; `--shrink` makes it smaller first.
`--mutations` plants known bugs, one after another, and looks for each.
"""

import argparse
import collections
import json
import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sim_generate
import sim_mutations
import sim_run


def many(number, state_file, jobs):
    """Run so many worlds after those that were run before; return how many had faults."""
    state = {"next": 0, "worlds": 0, "seconds": 0.0, "faults": []}
    if state_file.exists():
        state = json.loads(state_file.read_text(encoding="utf-8"))
    firsts, kinds, before = (
        range(state["next"], state["next"] + number, sim_run.CHUNK),
        collections.Counter(),
        time.monotonic(),
    )
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for first, faults in zip(firsts, pool.imap(sim_run.run_chunk, firsts), strict=True):
            for seed, kind, text in faults:
                kinds[kind] += 1
                print(f"seed {seed}: {kind}: {text}", flush=True)
            state["next"], state["worlds"] = first + sim_run.CHUNK, state["worlds"] + sim_run.CHUNK
            state["seconds"], before = state["seconds"] + time.monotonic() - before, time.monotonic()
            state["faults"] += faults
            state_file.write_text(json.dumps(state), encoding="utf-8")
    rate = state["worlds"] / max(state["seconds"], 1e-9)
    print(f"{state['worlds']} worlds in all, {rate:.0f} a second; faults of this call: {dict(kinds)}")
    return sum(kinds.values())


def one(seed, *, shrinks):
    """Run one world and print what happens in it; return how many faults there are."""
    script = sim_generate.make(seed)
    world = sim_run.run(script, trace=True)
    kind = world.faults[0][0] if world.faults else None
    if shrinks and kind is not None:
        script = sim_run.shrink(script, kind)
    print(sim_run.report(script, kind))
    if kind is None:
        print("no fault")
    return len(world.faults)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--state", type=Path, default=Path("simulation-state.json"))
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seed", type=int)
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--mutations", action="store_true")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return one(arguments.seed, shrinks=arguments.shrink)
    if arguments.mutations:
        return sim_mutations.hunt_all(arguments.worlds)
    return many(arguments.worlds, arguments.state, arguments.jobs)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
