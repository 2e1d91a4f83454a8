"""What gathering weights ahead of their use saves: workload W1 with ZeRO 3 on two nodes (scripts/two_nodes.sh) that are joined by
a network of the given rate, and on one machine. One thread per rank: the nodes share this machine's cores.

    overlap.py ATHANOR [--rate 1gbit] [--steps 5] [--rounds 2] [--without TEXT ...]

Needs the right to make network namespaces (root). Prints one JSON line per run, then the medians.
"""
import argparse
import json
import os
import pathlib
import statistics

from workload import Workload

parser = argparse.ArgumentParser()
parser.add_argument("athanor")
parser.add_argument("--rate", default="1gbit")
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--without", nargs="*", default=[], metavar="TEXT", help="leaves out places and cases whose names hold the text")
arguments = parser.parse_args()
scripts = pathlib.Path(__file__).resolve().parents[2] / "scripts"
workload = Workload(arguments.athanor, scripts / "two_nodes.sh", arguments.steps)
os.environ.update(TWO_NODES_ISOLATION="namespaces", TWO_NODES_RATE=arguments.rate)

CASES = {f"{blocks} blocks ahead": [f"parallel.prefetch_blocks={blocks}"] for blocks in (0, 1, 2)}
PLACES = {f"two nodes, {arguments.rate}": scripts / "two_nodes.sh", "one machine": scripts / "mpirun.sh"}

seconds = {}
for number in range(arguments.rounds):
    for place, mpirun in PLACES.items():
        workload.mpirun = mpirun
        for case, settings in CASES.items():
            if any(text in f"{place}: {case}" for text in arguments.without):
                continue
            figures = workload.train(2, f"{number}-{len(seconds)}-{case.replace(' ', '-')}", "parallel.zero=3", "run.threads=1", *settings)
            print(json.dumps({"place": place, "case": case, **figures}), flush=True)
            seconds.setdefault((place, case), []).append(figures["step_seconds"])
for (place, case), values in seconds.items():
    print(f"{place}: {case}: {statistics.median(values):.2f} s per step")
