"""Workload W1 with one rank and two, beside transformers on the same machine in the same run.

    compare.py ATHANOR MPIRUN [--python PYTHON_WITH_TRANSFORMERS] [--steps 8] [--rounds 2]
               [--peer-steps 6] [--without TEXT ...]

--without leaves out the cases whose names hold the text. Prints one JSON line per measurement and the ratios of the
medians. Absolute figures hold for this machine only.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess

from workload import Workload

parser = argparse.ArgumentParser()
parser.add_argument("athanor")
parser.add_argument("mpirun")
parser.add_argument("--python")
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--peer-steps", type=int, default=6, help="the first is not counted")
parser.add_argument("--without", nargs="*", default=[])
arguments = parser.parse_args()
workload = Workload(arguments.athanor, arguments.mpirun, arguments.steps)


def peer(*options):
    result = subprocess.run([arguments.python, pathlib.Path(__file__).parent / "transformers_w1.py", "--steps", str(arguments.peer_steps), *options], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


speeds = {}
for number in range(arguments.rounds):
    cases = {"athanor, 1 rank": lambda: workload.train(1, f"one-{number}"),
             "athanor, 1 rank, full recomputation": lambda: workload.train(1, f"recompute-{number}", "training.recompute=full"),
             "athanor, 1 rank, selective recomputation":
                 lambda: workload.train(1, f"selective-{number}", "training.recompute=selective"),
             "athanor, 2 ranks": lambda: workload.train(2, f"two-{number}")}
    if arguments.python:
        cases["transformers"] = peer
        cases["transformers, grouped experts"] = lambda: peer("--grouped")
        cases["transformers, fp32"] = lambda: peer("--fp32")
    for name, case in cases.items():
        if any(text in name for text in arguments.without):
            continue
        figures = case()
        print(json.dumps({"case": name, **figures}), flush=True)
        speeds.setdefault(name, []).append(figures["tokens_per_second"])
medians = {name: statistics.median(values) for name, values in speeds.items()}
print(json.dumps({"conditions": {"cores": len(os.sched_getaffinity(0)), "rounds": arguments.rounds, "steps": arguments.steps}, "medians": medians}))
for peer_name in ("transformers", "transformers, grouped experts", "transformers, fp32"):
    if peer_name in medians:
        print(f"athanor on 1 rank / {peer_name}: {medians['athanor, 1 rank'] / medians[peer_name]:.2f}")
