"""Workload W1 (a DeepSeek-V3-shaped MoE of 64M parameters) with transformers: the figure bench/w1/compare.py sets ours beside.

    python transformers_w1.py [--steps 6] [--grouped] [--fp32]      one JSON line; needs torch and transformers
"""
import argparse
import json
import resource
import statistics
import time

import torch
import transformers

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--grouped", action="store_true", help="grouped products over experts instead of a loop")
parser.add_argument("--fp32", action="store_true", help="no autocast: processors without AVX-512 have no fast bf16 in LibTorch")
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)

config = transformers.DeepseekV3Config(
    vocab_size=8192, hidden_size=512, num_hidden_layers=8, intermediate_size=1408, num_attention_heads=8, num_key_value_heads=8,
    max_position_embeddings=2048, tie_word_embeddings=False, use_cache=False, first_k_dense_replace=1, n_routed_experts=16,
    num_experts_per_tok=4, moe_intermediate_size=256, n_shared_experts=1, n_group=1, topk_group=1, q_lora_rank=None,
    kv_lora_rank=128, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64)
config._attn_implementation = "sdpa"
config._experts_implementation = "grouped_mm" if arguments.grouped else "eager"
model = transformers.DeepseekV3ForCausalLM(config).float().train()
for module in model.modules():
    if type(module).__name__ == "DeepseekV3TopkRouter":
        torch.nn.init.normal_(module.weight, std=0.02)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

seconds = []
for _ in range(arguments.steps):
    ids = torch.randint(0, 8192, (4, 1024))
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not arguments.fp32):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    seconds.append(time.perf_counter() - start)
step = statistics.median(seconds[1:])
print(json.dumps({"program": "transformers " + transformers.__version__, "experts": config._experts_implementation, "dtype": "fp32" if arguments.fp32 else "bf16 autocast",
                  "tokens_per_second": round(4096 / step, 1), "step_seconds": round(step, 3),
                  "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
