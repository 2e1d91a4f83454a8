"""Workload W1 with one rank and two, beside transformers on the same machine in the same run.

    compare.py ATHANOR MPIRUN [--python PYTHON_WITH_TRANSFORMERS] [--steps 8] [--rounds 2]
               [--without TEXT ...]

--without leaves out the cases whose names hold the text. Prints one JSON line per measurement and the ratios of the
medians. Absolute figures hold for this machine only.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("athanor")
parser.add_argument("mpirun")
parser.add_argument("--python")
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--without", nargs="*", default=[])
arguments = parser.parse_args()
here = pathlib.Path(tempfile.mkdtemp(prefix="athanor-w1-"))


def make_shard():
    """A vocabulary of 8,192 and tokens enough: random words in a trained tokenizer's reach are all that matters."""
    words = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=5)) for i in range(9000)]
    generator = random.Random(0)
    with open(here / "text.jsonl", "w") as text:
        for _ in range(1500):
            text.write(json.dumps({"text": " ".join(generator.choices(words, k=400))}) + "\n")
    run("tokenizer", "train", "--input", here / "text.jsonl", "--vocab-size", 8192, "--output", here / "tokenizer.json")
    run("shards", "build", "--input", here / "text.jsonl", "--tokenizer", here / "tokenizer.json", "--output", here / "train-00000.h5")


def run(*command):
    subprocess.run([arguments.athanor, *map(str, command)], check=True, capture_output=True)


def run_measured(*command):
    """The resident memory (KiB) of the largest process among the command and all that it started."""
    with open(here / "log.txt", "w+") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(log.read())
    return usage.ru_maxrss


def train(ranks, name, *overrides):
    yaml = subprocess.run([arguments.athanor, "init", "pretrain-moe-w1"], check=True, capture_output=True, text=True).stdout
    (here / "w1.yaml").write_text(yaml)
    command = [arguments.athanor, "train", here / "w1.yaml", f"run.dir={here}/{name}", f"data.train.0.path={here}/train-*.h5",
               "data.validation=[]", "training.validate_every=0", f"training.max_steps={arguments.steps}", "checkpoint.every=0",
               "checkpoint.save_at_end=false", "schedule.warmup_steps=1", f"training.global_batch_size={4 * ranks}", *overrides]
    if ranks > 1:
        command = [arguments.mpirun, "-np", str(ranks), *command]
    largest_kib = run_measured(*command)
    steps = [json.loads(line) for line in open(here / name / "metrics.jsonl")][2:]
    seconds = statistics.median(step["step_seconds"] for step in steps)
    return {"program": "athanor", "ranks": ranks, "options": " ".join(overrides), "tokens_per_second": round(4096 * ranks / seconds, 1),
            "step_seconds": round(seconds, 3), "mfu": round(statistics.median(step["mfu"] for step in steps), 3),
            "largest_process_mib": largest_kib // 1024}


def peer(*options):
    result = subprocess.run([arguments.python, pathlib.Path(__file__).parent / "transformers_w1.py", *options], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


make_shard()
speeds = {}
for number in range(arguments.rounds):
    cases = {"athanor, 1 rank": lambda: train(1, f"one-{number}"),
             "athanor, 1 rank, full recomputation": lambda: train(1, f"recompute-{number}", "training.recompute=full"),
             "athanor, 2 ranks": lambda: train(2, f"two-{number}")}
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
