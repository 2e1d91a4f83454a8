"""FP8 training beside bf16: the same small MoE on the same texts, and how far the losses end apart.

    compare.py ATHANOR DATA OUT [--steps 500] [--scales power_of_two fp32] [--set KEY=VALUE ...]

DATA is a folder of texts (en/tinyshakespeare.txt, zh/novel_hongloumeng.txt); OUT receives shards and runs. Every run sees the
same batches; what is printed is each run's loss along the way, its mean over the last tenth of the steps, that mean relative
to bf16, and the tokens per second (which only mean something on a quiet machine).
"""
import argparse
import json
import pathlib
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("athanor")
parser.add_argument("data", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--scales", nargs="+", default=["power_of_two"], choices=["power_of_two", "fp32"])
parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="configuration of every run")
arguments = parser.parse_args()
out = arguments.out
out.mkdir(parents=True, exist_ok=True)
FILES = ["en/tinyshakespeare.txt", "zh/novel_hongloumeng.txt"]

# Widths of one and more blocks of 128, so that every kind of tile and block occurs.
CONFIG = """
run: {name: NAME, dir: OUT/NAME}
model:
  architecture: deepseek_v3
  hidden_size: 256
  intermediate_size: 640
  num_hidden_layers: 4
  num_attention_heads: 4
  n_routed_experts: 8
  n_shared_experts: 1
  num_experts_per_tok: 2
  moe_intermediate_size: 160
  kv_lora_rank: 64
  qk_nope_head_dim: 32
  qk_rope_head_dim: 16
  v_head_dim: 48
  max_position_embeddings: 256
data:
  tokenizer: OUT/tokenizer.json
  sequence_length: 256
  train: [{path: OUT/train-00000.h5}]
training: {global_batch_size: 8, micro_batch_size: 4, max_steps: STEPS}
optimizer: {learning_rate: 6.0e-4, weight_decay: 0.1}
schedule: {warmup_ratio: 0.1, decay: cosine, min_ratio: 0.1}
checkpoint: {every: 3600s, keep: 1}
metrics: {every: 1}
"""


def athanor(*command):
    subprocess.run([arguments.athanor, *map(str, command)], check=True, stdout=subprocess.DEVNULL)


def prepare():
    if (out / "train-00000.h5").exists():
        return
    with open(out / "train.jsonl", "w") as documents:
        for name in FILES:
            text = (arguments.data / name).read_text(encoding="utf-8")
            for begin in range(0, len(text), 2000):
                documents.write(json.dumps({"text": text[begin:begin + 2000]}, ensure_ascii=False) + "\n")
    athanor("tokenizer", "train", "--input", out / "train.jsonl", "--vocab-size", 4096, "--output", out / "tokenizer.json")
    athanor("shards", "build", "--input", out / "train.jsonl", "--tokenizer", out / "tokenizer.json", "--output",
            out / "train-00000.h5")


def train(name, *settings):
    """Losses and speeds by step."""
    (out / f"{name}.yaml").write_text(
        CONFIG.replace("OUT", str(out)).replace("NAME", name).replace("STEPS", str(arguments.steps)))
    athanor("train", out / f"{name}.yaml", *settings, *arguments.set)
    records = [json.loads(line) for line in open(out / name / "metrics.jsonl")]
    return {r["step"]: r["loss"] for r in records if "loss" in r}, [r["tokens_per_second"] for r in records if "tokens_per_second" in r]


def last_tenth(losses):
    last = sorted(losses)[-max(10, len(losses) // 10):]
    return sum(losses[step] for step in last) / len(last)


prepare()
runs = {"bf16": train("bf16", "training.precision=bf16")}
for scale in arguments.scales:
    runs[f"fp8_{scale}"] = train(f"fp8_{scale}", "training.precision=fp8", f"training.fp8_scale={scale}")
names = list(runs)
print("step   " + "  ".join(f"{name:>16}" for name in names))
for step in sorted(runs["bf16"][0]):
    if step == 1 or step % max(1, arguments.steps // 10) == 0:
        print(f"{step:<7}" + "  ".join(f"{runs[name][0][step]:16.4f}" for name in names))
reference = last_tenth(runs["bf16"][0])
for name in names:
    losses, speeds = runs[name]
    mean = last_tenth(losses)
    speed = f"{sorted(speeds)[len(speeds) // 2]:.0f} tokens/s" if speeds else ""
    print(f"{name}: mean of the last tenth {mean:.4f}, {100 * (mean / reference - 1):+.3f} % of bf16  {speed}")
