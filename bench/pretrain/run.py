"""Pretraining on real text, beside what counting gives: validation loss of a small MoE against a unigram and a bigram model
of the same tokenizer, and the curve as an SVG.

    run.py ATHANOR DATA OUT [--steps 900] [--curve docs/pretraining.svg]

DATA is a folder of texts (en/tinyshakespeare.txt, zh/novel_*.txt, ...); OUT receives documents, shards and the run.
"""
import argparse
import collections
import json
import math
import pathlib
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("athanor")
parser.add_argument("data", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--steps", type=int, default=900)
parser.add_argument("--curve", type=pathlib.Path)
arguments = parser.parse_args()
out = arguments.out
out.mkdir(parents=True, exist_ok=True)
FILES = ["en/tinyshakespeare.txt", "zh/novel_hongloumeng.txt", "zh/novel_sanguoyanyi.txt", "zh/web_reviews_pos.txt",
         "zh/web_reviews_neg.txt", "zh/textbook_d2l.jsonl"]
VOCABULARY = 4096

CONFIG = """
run: {name: pretraining, dir: OUT/run}
model:
  architecture: deepseek_v3
  hidden_size: 192
  intermediate_size: 512
  num_hidden_layers: 4
  num_attention_heads: 4
  n_routed_experts: 8
  num_experts_per_tok: 2
  moe_intermediate_size: 128
  kv_lora_rank: 64
  qk_nope_head_dim: 32
  qk_rope_head_dim: 16
  v_head_dim: 48
  max_position_embeddings: 1024
data:
  tokenizer: OUT/tokenizer.json
  sequence_length: 256
  train: [{path: OUT/train-00000.h5}]
  validation: [{path: OUT/validation-00000.h5}]
training: {global_batch_size: 8, micro_batch_size: 8, max_steps: STEPS, precision: bf16, validate_every: 50}
optimizer: {learning_rate: 2.5e-3, weight_decay: 0.1}
schedule: {warmup_steps: 50, decay: cosine, min_ratio: 0.05}
checkpoint: {every: 60s, keep: 2}
metrics: {every: 50}
"""


def athanor(*command):
    subprocess.run([arguments.athanor, *map(str, command)], check=True)


def documents():
    """Pieces of about 2,000 characters, cut at line ends."""
    for name in FILES:
        text = (arguments.data / name).read_text(encoding="utf-8")
        lines = [json.loads(line)["text"] for line in text.splitlines()] if name.endswith(".jsonl") else text.split("\n")
        piece = ""
        for line in "\n".join(lines).split("\n"):
            piece += line + "\n"
            if len(piece) >= 2000:
                yield name, piece
                piece = ""


def prepare():
    with open(out / "raw.jsonl", "w") as raw:
        for name, text in documents():
            raw.write(json.dumps({"text": text, "source": name}, ensure_ascii=False) + "\n")
    (out / "clean.yaml").write_text(f"clean:\n  inputs: [{{path: {out}/raw.jsonl}}]\n  output: {out}/clean.jsonl\n")
    athanor("clean", out / "clean.yaml")
    kept = open(out / "clean.jsonl").read().splitlines()
    for part, chosen in (("train", lambda i: i % 20), ("validation", lambda i: not i % 20)):
        (out / f"{part}.jsonl").write_text("".join(line + "\n" for i, line in enumerate(kept) if chosen(i)))
    athanor("tokenizer", "train", "--input", out / "train.jsonl", "--vocab-size", VOCABULARY, "--output", out / "tokenizer.json")
    for part in ("train", "validation"):
        athanor("shards", "build", "--input", out / f"{part}.jsonl", "--tokenizer", out / "tokenizer.json", "--output",
                out / f"{part}-00000.h5")
        athanor("tokenizer", "encode", "--tokenizer", out / "tokenizer.json", "--input", out / f"{part}.jsonl", "--output",
                out / f"{part}.ids.jsonl")


def ids(part):
    return [json.loads(line)["ids"] for line in open(out / f"{part}.ids.jsonl")]


def counting_models():
    """Cross-entropy (nats per token) on the validation documents: add-one unigram, and a bigram interpolated with it
    (Witten and Bell, 1991)."""
    unigram, pairs, followers = collections.Counter(), collections.Counter(), collections.defaultdict(set)
    context = collections.Counter()
    for document in ids("train"):
        unigram.update(document)
        for a, b in zip(document, document[1:]):
            pairs[a, b] += 1
            context[a] += 1
            followers[a].add(b)
    total = sum(unigram.values())
    probability = lambda b: (unigram[b] + 1) / (total + VOCABULARY)
    loss1 = loss2 = count = 0
    for document in ids("validation"):
        for a, b in zip(document, document[1:]):
            p1 = probability(b)
            kinds = len(followers[a])
            p2 = (pairs[a, b] + kinds * p1) / (context[a] + kinds) if kinds else p1
            loss1 -= math.log(p1)
            loss2 -= math.log(p2)
            count += 1
    return loss1 / count, loss2 / count


def draw(train, validation, unigram, bigram):
    width, height, left, top = 760, 400, 60, 20
    steps = train[-1][0]
    high, low = math.ceil(max(unigram, train[0][1])), math.floor(min(v for _, v in validation))
    x = lambda step: left + step / steps * (width - left - 20)
    y = lambda loss: top + (high - loss) / (high - low) * (height - top - 40)
    line = lambda points, style: f'<polyline fill="none" {style} points="{" ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)}"/>'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for loss in range(low, high + 1):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>')
    for step in range(0, steps + 1, max(1, steps // 6)):
        parts.append(f'<text x="{x(step):.1f}" y="{height - 20}" text-anchor="middle">{step}</text>')
    for name, value in (("unigram", unigram), ("bigram", bigram)):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#c60" stroke-dasharray="6 4"/>'
                     f'<text x="{width - 24}" y="{y(value) - 5:.1f}" text-anchor="end" fill="#c60">{name} {value:.2f}</text>')
    parts += [line(train, 'stroke="#9bc" stroke-width="1"'), line(validation, 'stroke="#036" stroke-width="2"'),
              f'<text x="{x(validation[-1][0]):.1f}" y="{y(validation[-1][1]) + 18:.1f}" text-anchor="end" fill="#036">validation {validation[-1][1]:.2f}</text>',
              f'<text x="{(left + width) / 2}" y="{height - 4}" text-anchor="middle">step</text>',
              f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" text-anchor="middle">loss, nats per token</text></svg>']
    return "\n".join(parts) + "\n"


prepare()
unigram, bigram = counting_models()
print(f"unigram {unigram:.4f}, bigram {bigram:.4f}", flush=True)
(out / "run.yaml").write_text(CONFIG.replace("OUT", str(out)).replace("STEPS", str(arguments.steps)))
athanor("train", out / "run.yaml")
records = [json.loads(line) for line in open(out / "run" / "metrics.jsonl")]
validation = [(r["step"], r["validation_loss"]) for r in records if "validation_loss" in r]
print(json.dumps({"unigram": unigram, "bigram": bigram, "validation": validation[-1][1], "steps": arguments.steps,
                  "tokens": records[-1]["tokens"]}))
if arguments.curve:
    arguments.curve.write_text(draw([(r["step"], r["loss"]) for r in records], validation, unigram, bigram))
