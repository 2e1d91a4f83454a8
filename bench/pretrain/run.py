"""Pretraining on real text, beside what counting gives: validation loss of a small MoE against a unigram and a bigram model
of the same tokenizer, and the curve as an SVG.

    run.py prepare ATHANOR TEXTS PREPARED
    run.py train ATHANOR PREPARED OUT [--steps N | --minutes M] [--curve docs/pretraining.svg] [--set KEY=VALUE ...]

TEXTS is a folder of texts (en/tinyshakespeare.txt, zh/novel_*.txt, ...); PREPARED receives tokenizer, shards and the
losses of the counting models; OUT receives the run and result.json. With --minutes a short trial measures the speed of
this machine, and the number of steps follows from it.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess

from curve import draw
from texts import prepare

CONFIG = """
run: {name: pretraining, dir: OUT/run}
model:
  architecture: deepseek_v3
  hidden_size: 256
  intermediate_size: 768
  num_hidden_layers: 4
  num_attention_heads: 4
  n_routed_experts: 8
  num_experts_per_tok: 2
  moe_intermediate_size: 192
  kv_lora_rank: 96
  qk_nope_head_dim: 48
  qk_rope_head_dim: 16
  v_head_dim: 64
  max_position_embeddings: 1024
data:
  tokenizer: PREPARED/tokenizer.json
  sequence_length: 256
  train: [{path: PREPARED/train-00000.h5}]
  validation: [{path: PREPARED/validation-00000.h5}]
training: {global_batch_size: 16, micro_batch_size: 16, max_steps: STEPS, precision: bf16, validate_every: VALIDATE}
optimizer: {learning_rate: 3.0e-3, weight_decay: 0.1}
schedule: {warmup_ratio: 0.05, decay: cosine, min_ratio: 0.03}
checkpoint: {every: 60s, keep: 1}
metrics: {every: 50}
"""
TRIAL_STEPS = 12
VALIDATIONS = 16


def train(arguments, out, steps, validate_every, *overrides):
    shutil.rmtree(out / "run", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    config = (CONFIG.replace("OUT", str(out)).replace("PREPARED", str(arguments.prepared)).replace("STEPS", str(steps))
              .replace("VALIDATE", str(validate_every)))
    (out / "run.yaml").write_text(config)
    subprocess.run([arguments.athanor, "train", out / "run.yaml", *arguments.set, *overrides], check=True)
    return [json.loads(line) for line in open(out / "run" / "metrics.jsonl")]


def steps_within(minutes, arguments):
    records = train(arguments, arguments.out / "trial", TRIAL_STEPS, 0, "checkpoint.every=0", "checkpoint.save_at_end=false")
    seconds = statistics.median(record["step_seconds"] for record in records[2:])
    steps = int(0.9 * 60 * minutes / seconds)  # a tenth for start, validation and checkpoints
    steps = max(VALIDATIONS, steps - steps % VALIDATIONS)  # so that the last step is validated
    print(f"{seconds:.3f} s per step, so {steps} steps in {minutes} minutes", flush=True)
    return steps


def report(arguments, records):
    counting = json.loads((arguments.prepared / "counting.json").read_text())
    validation = [(record["step"], record["validation_loss"]) for record in records if "validation_loss" in record]
    records = [record for record in records if "loss" in record]
    result = {**counting, "steps": len(records), "tokens": records[-1]["tokens"], "train_loss": records[-1]["loss"],
              "tokens_per_second": statistics.median(record["tokens_per_second"] for record in records),
              "minutes": (records[-1]["time"] - records[0]["time"]) / 60}
    if validation:
        result |= {"validation": validation[-1][1], "best_validation": min(loss for _, loss in validation)}
    (arguments.out / "result.json").write_text(json.dumps(result) + "\n")
    print(json.dumps(result))
    if arguments.curve and validation:
        levels = {"unigram": counting["unigram"], "bigram": counting["bigram"]}
        arguments.curve.write_text(draw([(record["step"], record["loss"]) for record in records], validation, levels))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare")
    preparing.add_argument("athanor")
    preparing.add_argument("texts", type=pathlib.Path)
    preparing.add_argument("prepared", type=pathlib.Path)
    training = commands.add_parser("train")
    training.add_argument("athanor")
    training.add_argument("prepared", type=pathlib.Path)
    training.add_argument("out", type=pathlib.Path)
    training.add_argument("--steps", type=int, default=2000)
    training.add_argument("--minutes", type=float)
    training.add_argument("--curve", type=pathlib.Path)
    training.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the configuration")
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        prepare(arguments.athanor, arguments.texts, arguments.prepared)
        return
    steps = steps_within(arguments.minutes, arguments) if arguments.minutes else arguments.steps
    report(arguments, train(arguments, arguments.out, steps, max(1, steps // VALIDATIONS)))


if __name__ == "__main__":
    main()
