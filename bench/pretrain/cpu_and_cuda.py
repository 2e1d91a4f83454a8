"""One small run on the CPU and on the GPU: the losses side by side in fp32, then the speed on the GPU in bf16 and FP8.

    cpu_and_cuda.py ATHANOR PREPARED OUT [--steps 12] [--tolerance 2e-3]      (PREPARED as run.py leaves it)

Ends with exit code 1 when the two devices' losses part by more than the tolerance, relative.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("athanor")
parser.add_argument("prepared", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--steps", type=int, default=12)
parser.add_argument("--tolerance", type=float, default=2e-3)
arguments = parser.parse_args()


def train(name, *overrides):
    """metrics.jsonl of a run of the benchmark's model."""
    out = arguments.out / name
    command = [sys.executable, pathlib.Path(__file__).parent / "run.py", "train", arguments.athanor, arguments.prepared, out, "--set",
               "training.validate_every=0", "checkpoint.every=0", "checkpoint.save_at_end=false", *overrides]
    subprocess.run(list(map(str, command)), check=True)
    return [json.loads(line) for line in open(out / "run" / "metrics.jsonl")]


small = [f"training.max_steps={arguments.steps}", "training.precision=fp32"]
cpu, cuda = train("cpu", *small, "run.device=cpu"), train("cuda", *small, "run.device=cuda")
for ours, theirs in zip(cpu, cuda):
    print(json.dumps({"step": ours["step"], "cpu": ours["loss"], "cuda": theirs["loss"], "cpu_norm": ours["grad_norm"],
                      "cuda_norm": theirs["grad_norm"]}))
worst = max(abs(a["loss"] - b["loss"]) / a["loss"] for a, b in zip(cpu, cuda))
result = {"largest_relative_difference": worst, "steps": len(cpu)}
for precision in ("bf16", "fp8"):
    fast = train(f"cuda_{precision}", "training.max_steps=200", "run.device=cuda", f"training.precision={precision}")[20:]
    result[f"cuda_{precision}_tokens_per_second"] = statistics.median(record["tokens_per_second"] for record in fast)
    result[f"cuda_{precision}_loss"] = fast[-1]["loss"]
print(json.dumps(result))
sys.exit(len(cpu) != arguments.steps or len(cuda) != arguments.steps or worst > arguments.tolerance)
