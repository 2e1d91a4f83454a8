"""What `reproducible: strict` costs: workload W1 in both modes, one after the other, on layouts where they compute differently.

    strict_cost.py ATHANOR MPIRUN [--steps 6] [--rounds 3] [--ranks 2] [--without TEXT ...]

Prints one JSON line per run and, per layout, how much longer a strict step takes than a fast one (medians over all rounds).
"""
import argparse
import json
import os
import statistics

from workload import Workload

parser = argparse.ArgumentParser()
parser.add_argument("athanor")
parser.add_argument("mpirun")
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--ranks", type=int, default=2)
parser.add_argument("--without", nargs="*", default=[], metavar="TEXT", help="leaves out layouts whose names hold the text")
arguments = parser.parse_args()
workload = Workload(arguments.athanor, arguments.mpirun, arguments.steps)

# Micro batches of one sequence, four on every rank.
LAYOUTS = {"one rank": (1, ["parallel.zero=1"]),
           "data, ZeRO 1": (arguments.ranks, ["parallel.zero=1"]),
           "data, ZeRO 3": (arguments.ranks, ["parallel.zero=3"]),
           "data and expert, ZeRO 1": (arguments.ranks, ["parallel.zero=1", f"parallel.expert={arguments.ranks}"]),
           "data and expert, ZeRO 3": (arguments.ranks, ["parallel.zero=3", f"parallel.expert={arguments.ranks}"])}

seconds = {}
for number in range(arguments.rounds):
    for name, (ranks, layout) in LAYOUTS.items():
        if any(text in name for text in arguments.without):
            continue
        for mode in ("fast", "strict"):
            run = f"{len(seconds)}-{number}-{mode}-{name.replace(' ', '-').replace(',', '')}"
            figures = workload.train(ranks, run, *layout, "training.micro_batch_size=1", f"training.reproducible={mode}")
            print(json.dumps({"layout": name, "mode": mode, **figures}), flush=True)
            seconds.setdefault(name, {}).setdefault(mode, []).append(figures["step_seconds"])

print(json.dumps({"conditions": {"cores": len(os.sched_getaffinity(0)), "rounds": arguments.rounds, "steps": arguments.steps}}))
for name, modes in seconds.items():
    fast, strict = statistics.median(modes["fast"]), statistics.median(modes["strict"])
    print(f"{name}: fast {fast:.2f} s, strict {strict:.2f} s per step: strict costs {100 * (strict / fast - 1):+.1f} %")
