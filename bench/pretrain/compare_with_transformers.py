"""Loads an exported model in transformers and compares its logits with ours, in fp32.

    python compare_with_transformers.py ATHANOR EXPORTED TEXTS.jsonl      (TEXTS: {"text": ...} per line)
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file

athanor, exported, texts = sys.argv[1:]
work = pathlib.Path(tempfile.mkdtemp())
subprocess.run([athanor, "score", exported, "--input", texts, "--output", work / "scores.jsonl", "--logits", work / "logits.safetensors",
                "--dtype", "fp32"], check=True)
ours = load_file(work / "logits.safetensors")
model = transformers.AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32, attn_implementation="eager").eval()
worst, agree, count = 0.0, 0, 0
for line, record in enumerate(map(json.loads, open(work / "scores.jsonl"))):
    with torch.no_grad():
        theirs = model(input_ids=torch.tensor([record["ids"]])).logits[0]
    mine = ours[f"logits.{line}"]
    worst = max(worst, (mine - theirs).abs().max().item())
    agree += (mine.argmax(-1) == theirs.argmax(-1)).sum().item()
    count += len(record["ids"])
print(json.dumps({"transformers": transformers.__version__, "tokens": count, "largest_logit_difference": worst,
                  "same_most_likely_token": agree / count}))
