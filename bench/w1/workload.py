"""Workload W1 as the programs of this folder measure it: its data, and a run of `athanor train` with time and memory."""
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile

WARM_UP_STEPS, SEQUENCES_PER_RANK = 2, 4


class Workload:
    def __init__(self, athanor, mpirun, steps):
        self.athanor, self.mpirun, self.steps = athanor, mpirun, steps
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="athanor-w1-"))
        self._make_shard()

    def train(self, ranks, name, *overrides):
        """Medians of the steps after the warm-up."""
        yaml = subprocess.run([self.athanor, "init", "pretrain-moe-w1"], check=True, capture_output=True, text=True).stdout
        (self.folder / "w1.yaml").write_text(yaml)
        command = [self.athanor, "train", self.folder / "w1.yaml", f"run.dir={self.folder}/{name}",
                   f"data.train.0.path={self.folder}/train-*.h5", "data.validation=[]", "training.validate_every=0",
                   f"training.max_steps={self.steps}", "checkpoint.every=0", "checkpoint.save_at_end=false",
                   "schedule.warmup_steps=1", f"training.global_batch_size={SEQUENCES_PER_RANK * ranks}", *overrides]
        if ranks > 1:
            command = [self.mpirun, "-np", str(ranks), *command]
        largest_kib = self._run_measured(*command)
        steps = [json.loads(line) for line in open(self.folder / name / "metrics.jsonl")][WARM_UP_STEPS:]
        seconds = statistics.median(step["step_seconds"] for step in steps)
        return {"program": "athanor", "ranks": ranks, "options": " ".join(overrides),
                "tokens_per_second": round(1024 * SEQUENCES_PER_RANK * ranks / seconds, 1), "step_seconds": round(seconds, 3),
                "mfu": round(statistics.median(step["mfu"] for step in steps), 3), "largest_process_mib": largest_kib // 1024}

    def _make_shard(self):
        """A vocabulary of 8,192 and tokens enough: random words in a trained tokenizer's reach are all that matters."""
        here = self.folder
        words = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=5)) for i in range(9000)]
        generator = random.Random(0)
        with open(here / "text.jsonl", "w") as text:
            for _ in range(1500):
                text.write(json.dumps({"text": " ".join(generator.choices(words, k=400))}) + "\n")
        self._run("tokenizer", "train", "--input", here / "text.jsonl", "--vocab-size", 8192, "--output", here / "tokenizer.json")
        self._run("shards", "build", "--input", here / "text.jsonl", "--tokenizer", here / "tokenizer.json", "--output",
                  here / "train-00000.h5")

    def _run(self, *command):
        subprocess.run([self.athanor, *map(str, command)], check=True, capture_output=True)

    def _run_measured(self, *command):
        """The resident memory (KiB) of the largest process among the command and all that it started."""
        with open(self.folder / "log.txt", "w+") as log:
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                log.seek(0)
                raise SystemExit(log.read())
        return usage.ru_maxrss
