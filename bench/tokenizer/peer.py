"""The same measurements with Hugging Face tokenizers (0.23): python peer.py CORPUS.jsonl [VOCAB_SIZE]

ByteLevel with the GPT-2 rule, which is the preset gpt2 of bench_tokenizer. RAYON_NUM_THREADS sets the threads.
"""
import json
import os
import sys
import time

from tokenizers import Tokenizer, __version__, models, pre_tokenizers, trainers


def report(what, megabytes, body):
    before, wall = os.times(), time.perf_counter()
    body()
    wall = time.perf_counter() - wall
    after = os.times()
    cpu = after.user + after.system - before.user - before.system
    print(json.dumps({"bench": what, "tokenizers": __version__, "threads": os.environ.get("RAYON_NUM_THREADS", "all"),
                      "mb": round(megabytes, 1), "wall_s": round(wall, 2), "cpu_s": round(cpu, 2),
                      "mb_per_s": round(megabytes / wall, 2), "mb_per_cpu_s": round(megabytes / cpu, 2)}))


def main():
    texts = [json.loads(line)["text"] for line in open(sys.argv[1])]
    megabytes = sum(len(t.encode()) for t in texts) / 1e6
    vocab_size = int(sys.argv[2]) if len(sys.argv) > 2 else 8192
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    report("train", megabytes, lambda: tokenizer.train_from_iterator(texts, trainer))
    report("encode", megabytes, lambda: [tokenizer.encode(t) for t in texts])
    report("encode_batch_fast", megabytes, lambda: tokenizer.encode_batch_fast(texts))


if __name__ == "__main__":
    main()
