"""Training on two nodes (scripts/two_nodes.sh) gives the losses of one node: data parallel, experts across the nodes.

    two_nodes.py ATHANOR MPIRUN TWO_NODES       prints every case; exit code 1 when one fails, 77: not run
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ATHANOR, MPIRUN, TWO_NODES = sys.argv[1:4]
HERE = pathlib.Path(tempfile.mkdtemp(prefix="athanor-two-nodes-"))
failures = []

CONFIG = """
run: {name: tiny, dir: DIR, seed: 7, device: cpu}
task: pretrain
model:
  architecture: deepseek_v3
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 2
  num_attention_heads: 2
  n_routed_experts: 4
  num_experts_per_tok: 2
  moe_intermediate_size: 16
  kv_lora_rank: 16
  qk_nope_head_dim: 8
  qk_rope_head_dim: 8
  v_head_dim: 16
  max_position_embeddings: 256
data:
  tokenizer: HERE/tokenizer.json
  sequence_length: 64
  train: [{path: HERE/train-*.h5}]
training: {reproducible: strict, global_batch_size: 8, micro_batch_size: 1, max_steps: 4, precision: fp32}
parallel: {zero: 3}
checkpoint: {every: 0}
"""


def check(name, holds, detail=""):
    print(("ok    " if holds else "FAILED ") + name, flush=True)
    if not holds:
        failures.append(name)
        print("       " + str(detail)[-3000:], flush=True)


def run(name, *command):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=200)
    if result.returncode == 77:  # this machine cannot be two nodes
        print(result.stderr)
        sys.exit(77)
    check(name, result.returncode == 0, f"exit code {result.returncode}\n{result.stdout}{result.stderr}")


def prepare_data():
    run("synth", ATHANOR, "synth", "--output", HERE / "raw.jsonl", "--bytes", 200000, "--seed", 3)
    run("tokenizer", ATHANOR, "tokenizer", "train", "--input", HERE / "raw.jsonl", "--vocab-size", 400, "--output",
        HERE / "tokenizer.json")
    run("shards", ATHANOR, "shards", "build", "--input", HERE / "raw.jsonl", "--tokenizer", HERE / "tokenizer.json",
        "--output", HERE / "train-00000.h5")


def train(name, launcher, *overrides):
    path = HERE / f"{name}.yaml"
    path.write_text(CONFIG.replace("DIR", str(HERE / name)).replace("HERE", str(HERE)))
    run(f"train: {name}", launcher, "-np", 4, ATHANOR, "train", path, *overrides)
    metrics = HERE / name / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    return [(m["step"], m["loss"], m["grad_norm"]) for m in map(json.loads, lines)]


def main():
    prepare_data()
    alone = train("one-node", MPIRUN)
    check("four steps", [m[0] for m in alone] == [1, 2, 3, 4], alone)
    for name, overrides in (("two-nodes", []), ("two-nodes-experts", ["parallel.expert=4"])):
        check(f"{name}: the same bits at every step", train(name, TWO_NODES, *overrides) == alone, alone)


try:
    main()
finally:
    shutil.rmtree(HERE, ignore_errors=True)
print(f"{len(failures)} failed" if failures else "all cases hold")
sys.exit(bool(failures))
