"""The program from outside: raw text to a trained model, stopping and going on, and what bad input gets.

    end_to_end.py ATHANOR MPIRUN        prints every case; exit code 1 when one fails
"""
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ATHANOR, MPIRUN = sys.argv[1:3]
HERE = pathlib.Path(tempfile.mkdtemp(prefix="athanor-e2e-"))
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
  validation: [{path: HERE/validation-*.h5}]
training: {reproducible: strict, global_batch_size: 8, micro_batch_size: 1, max_steps: 12, precision: PRECISION, validate_every: 4, validation_batches: 2}
optimizer: {learning_rate: 3.0e-3}
schedule: {warmup_steps: 2}
parallel: {zero: 3}
checkpoint: {every: 3}
metrics: {tensorboard: true}
"""


def run(*args, ranks=0, env=None, timeout=240, **how):
    command = [ATHANOR, *map(str, args)]
    if ranks:
        command = [MPIRUN, "-np", str(ranks), *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})}, **how)


def wait_for(happened, process=None):
    """Until it has, the process has ended, or a minute is over."""
    deadline = time.time() + 60
    while time.time() < deadline and not happened() and (process is None or process.poll() is None):
        time.sleep(0.02)


def start(name):
    """A run that goes on for ever, once it has a checkpoint."""
    process = subprocess.Popen([ATHANOR, "train", str(config(name)), "training.max_steps=100000"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_for(lambda: list((HERE / name / "checkpoints").glob("step-????????")))
    return process


def shell(command):
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=240, cwd=HERE)


def check(name, holds, detail=""):
    print(("ok    " if holds else "FAILED ") + name, flush=True)
    if not holds:
        failures.append(name)
        print("       " + str(detail)[-2000:], flush=True)


def expect(name, result, code, *parts):
    """The exit code, and texts that the message must hold."""
    text = result.stdout + result.stderr
    missing = [part for part in parts if part not in text]
    check(name, result.returncode == code and not missing,
          f"exit code {result.returncode}, expected {code}; missing {missing}\n{text}")


def config(name, precision="fp32"):
    path = HERE / f"{name}.yaml"
    path.write_text(CONFIG.replace("DIR", str(HERE / name)).replace("HERE", str(HERE)).replace("PRECISION", precision))
    return path


def metrics(name):
    lines = [json.loads(line) for line in (HERE / name / "metrics.jsonl").read_text().splitlines()]
    return [(m["step"], m["loss"], m["grad_norm"], m["learning_rate"], m["tokens"], m.get("validation_loss")) for m in lines]


def prepare_data():
    expect("synth", run("synth", "--output", HERE / "raw.jsonl", "--bytes", 600000, "--seed", 3), 0)
    (HERE / "clean.yaml").write_text(f"clean:\n  inputs: [{{path: {HERE}/raw.jsonl}}]\n  output: {HERE}/clean.jsonl\n")
    expect("clean", run("clean", HERE / "clean.yaml"), 0)
    kept = sum(1 for _ in open(HERE / "clean.jsonl"))
    expect("clean on 3 ranks", run("clean", HERE / "clean.yaml", f"clean.output={HERE}/clean3.jsonl", ranks=3), 0)
    check("clean: the same documents on any number of ranks",
          (HERE / "clean.jsonl").read_bytes() == (HERE / "clean3.jsonl").read_bytes())
    check("clean keeps a good part and removes some", 0 < kept < sum(1 for _ in open(HERE / "raw.jsonl")), kept)
    expect("tokenizer train", run("tokenizer", "train", "--input", HERE / "clean.jsonl", "--vocab-size", 600, "--output",
                                  HERE / "tokenizer.json"), 0)
    expect("shards build", run("shards", "build", "--input", HERE / "clean.jsonl", "--tokenizer", HERE / "tokenizer.json",
                               "--output", HERE / "train-00000.h5", "--validation-fraction", 0.1, "--validation-output",
                               HERE / "validation-00000.h5"), 0)
    expect("shards verify", run("shards", "verify", HERE / "train-00000.h5", HERE / "validation-00000.h5"), 0)


def train_and_resume():
    for precision in ("fp32", "bf16"):
        straight, broken = f"straight-{precision}", f"broken-{precision}"
        expect(f"train alone, {precision}", run("train", config(straight, precision)), 0)
        check(f"{precision}: a line per step", [m[0] for m in metrics(straight)] == list(range(1, 13)), metrics(straight))
        path = config(broken, precision)
        expect("train on 2 ranks, leave after 4 steps", run("train", path, "training.stop_after_steps=4", ranks=2), 0)
        expect("go on with 4 ranks at ZeRO 1, experts over 2, leave after 5 more",
               run("train", path, "training.stop_after_steps=5", "parallel.zero=1", "parallel.expert=2", ranks=4), 0,
               "4 experts on 2 ranks: all on one machine")
        expect("go on alone to the end", run("train", path, "parallel.zero=0"), 0)
        check(f"{precision}: the same bits at every step", metrics(straight) == metrics(broken),
              [pair for pair in zip(metrics(straight), metrics(broken)) if pair[0] != pair[1]][:2])
    first, last = metrics("straight-fp32")[0], metrics("straight-fp32")[-1]
    check("the loss falls", last[1] < first[1], (first, last))


def cut_the_layers():
    path = config("tensor")
    expect("train on 2 tensor ranks, leave after 6 steps",
           run("train", path, "parallel.tensor=2", "training.stop_after_steps=6", ranks=2), 0)
    expect("go on alone to the end", run("train", path), 0, "resumed from")
    pairs = list(zip(metrics("straight-fp32"), metrics("tensor")))
    check("the losses of one rank, within 1e-5", len(pairs) == 12 and all(abs(a[1] / b[1] - 1) < 1e-5 for a, b in pairs), pairs)
    check("and its validation losses", all(abs(a[5] / b[5] - 1) < 1e-5 for a, b in pairs if a[5]), pairs)
    expect("heads that cannot be divided", run("train", path, "parallel.tensor=4", ranks=4), 78,
           "parallel.tensor: 4 does not divide model.num_attention_heads 2")
    odd = HERE / "odd.h5"
    expect("shards with an odd vocabulary", run("tokenizer", "train", "--input", HERE / "clean.jsonl", "--vocab-size", 601,
                                                "--output", HERE / "odd.json"), 0)
    expect("built", run("shards", "build", "--input", HERE / "clean.jsonl", "--tokenizer", HERE / "odd.json", "--output", odd), 0)
    expect("a vocabulary that cannot be divided",
           run("train", config("odd"), f"data.train=[{{path: {odd}}}]", "data.validation=[]", "training.validate_every=0",
               f"data.tokenizer={HERE}/odd.json", "parallel.tensor=2", ranks=2), 78,
           "parallel.tensor 2 does not divide vocab_size 601")


def stop_by_signal():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        stop_by(number)
    for number in (signal.SIGTERM, signal.SIGINT):
        stop_by(number, MPIRUN, "-np", "2")
    for delay in (0.02, 0.04, 0.06, 0.2):
        process = subprocess.Popen([MPIRUN, "-np", "2", ATHANOR, "train", str(config(f"young-{delay}")), "training.max_steps=100000"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        output = "".join(process.communicate(timeout=60))
        # Below some hundredths of a second there is no rank yet, perhaps not even mpirun.
        ended = process.returncode == 75 and output.count("start the same command again") == 1
        check(f"two ranks stopped {delay} s after they began", ended or (delay < 0.1 and process.returncode == 143), (process.returncode, output))
    for delay in (0.1, 0.2, 0.4, 0.8):
        path = config(f"stopped-after-{delay}")
        process = subprocess.Popen([ATHANOR, "train", str(path), "training.max_steps=100000"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        output = "".join(process.communicate(timeout=60))
        check(f"stopped {delay} s after it began", process.returncode == 75 and "start the same command again" in output,
              (process.returncode, output))


def stop_by(number, *launcher):
    name = f"stopped-{number.name}-{len(launcher)}"
    path = config(name)
    process = subprocess.Popen([*launcher, ATHANOR, "train", str(path), "training.max_steps=100000"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (HERE / name / "metrics.jsonl").exists())
    time.sleep(0.5)
    process.send_signal(number)
    output = "".join(process.communicate(timeout=60))
    check(f"{name}: exit code 75 and a checkpoint, said once",
          process.returncode == 75 and output.count("start the same command again") == 1, (process.returncode, output))
    check(f"{name}: no live line for a pipe", "\x1b" not in output, output)
    steps = [m[0] for m in metrics(name)]
    expect("and on from there", run("train", path, "training.max_steps=100000", "training.stop_after_steps=2"), 0, "resumed from")
    after = [m[0] for m in metrics(name)]
    check("no step twice, none left out", after == list(range(1, steps[-1] + 3)), (steps[-1], after[-4:]))


def stop_early():
    """A run that ended by its patience has ended: the same command does nothing more."""
    path, patience = config("patient"), ("training.early_stop_patience=1", "training.validate_every=2", "optimizer.learning_rate=1e-30")
    expect("out of patience", run("train", path, *patience), 0, "training.early_stop_patience")
    steps = [m[0] for m in metrics("patient")]
    check("it ended early", 0 < len(steps) < 12, steps)
    expect("started again", run("train", path, *patience), 0, "resumed from")
    check("no step more", steps == [m[0] for m in metrics("patient")], metrics("patient"))


def kill_and_go_on():
    path = config("killed")
    process = start("killed")
    process.kill()
    process.wait()
    expect("after kill -9 it goes on from the newest checkpoint",
           run("train", path, "training.max_steps=100000", "training.stop_after_steps=1"), 0, "resumed from")
    newest = sorted((HERE / "killed" / "checkpoints").glob("step-????????"))[-1]
    damaged = next(newest.glob("*.safetensors"))
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    result = run("train", path, "training.max_steps=100000", "training.stop_after_steps=1")
    expect("one flipped bit: the checkpoint before it is taken, and said so", result, 0, damaged.parent.name, "resumed from")


def go_back():
    """--resume PATH moves the run to that checkpoint: later starts go on from there."""
    path, checkpoints = config("back"), HERE / "back" / "checkpoints"
    for steps in (3, 3, 3, 3):  # each leaves a checkpoint, however busy the machine is
        expect("train", run("train", path, f"training.stop_after_steps={steps}"), 0)
    expect("go back to step 6, leave after step 7",
           run("train", path, "--resume", checkpoints / "step-00000006", "training.stop_after_steps=1", ranks=2), 0,
           "step-00000012 is put aside", "step-00000009 is put aside")
    names = sorted(re.sub("-[0-9a-f]{16}$", "", entry.name) for entry in checkpoints.glob("step-*"))
    check("the later ones are kept, but not chosen",
          names == ["step-00000006", "step-00000007", "step-00000009.aside", "step-00000012.aside"], names)
    check("no later steps", [m[0] for m in metrics("back")] == list(range(1, 8)), metrics("back"))
    expect("the next start goes on from there", run("train", path), 0, "resumed from", "step-00000007 (step 7")
    check("to the same bits", metrics("back") == metrics("straight-fp32"), metrics("back"))
    aside = next(checkpoints.glob("step-00000009.aside-*"))
    expect("what was put aside can be verified", run("checkpoint", "verify", aside), 0, "good")
    other = config("elsewhere-from")
    expect("a run that begins from it, and is stopped before its first own checkpoint",
           run("train", other, "--resume", aside, "training.stop_after_steps=1", "checkpoint.every=1000"), 0, "step 9")
    check("has it as its own", (HERE / "elsewhere-from" / "checkpoints" / "step-00000009").is_dir())
    expect("goes on", run("train", other), 0, "resumed from")
    check("with the same bits", metrics("elsewhere-from") == metrics("straight-fp32")[9:], metrics("elsewhere-from"))
    expect("back to the newest of a run", run("train", config("from-run"), "--resume", HERE / "back", "training.stop_after_steps=1"), 0,
           "nothing is left to do: the run ended at step 12; raise training.max_steps")
    expect("back to what holds none", run("train", config("from-run"), "--resume", HERE), 66, "expected a checkpoint")
    expect("back to another model", run("train", config("refused"), "--resume", checkpoints / "step-00000012", "model.hidden_size=64"), 78,
           "hidden_size")
    left = sorted(str(file.relative_to(HERE / "refused")) for file in (HERE / "refused").rglob("*") if file.is_file())
    check("a refused start leaves its log alone", left == [".writer.lock", "checkpoints/.writer.lock", "logs/rank-00000.log"], left)
    newest = checkpoints / "step-00000012"
    part = next(newest.glob("*.safetensors"))
    part.write_bytes(part.read_bytes()[:-1] + b"\x01")
    expect("a damaged checkpoint that is asked for", run("train", path, "--resume", newest), 65, newest.name)
    check("nothing was put aside for it", len(list(checkpoints.glob("*.aside-*"))) == 2)


def change_the_run():
    """What may change between two starts, and what two runs may not share."""
    tokens = ("training.max_steps=0", "training.max_tokens=6144")  # 12 steps of 8 x 64
    path = config("batches")
    expect("train for so many tokens, leave at half", run("train", path, *tokens, "training.stop_after_steps=6"), 0)
    expect("go on with a larger batch", run("train", path, *tokens, "training.global_batch_size=16"), 0,
           "options that are not those of the checkpoint: training.global_batch_size 16 (was 8)")
    check("it ends after so many tokens", len(metrics("batches")) == 9, metrics("batches"))
    expect("a pattern that names no parameter", run("train", config("pattern"), "optimizer.no_decay=[nosuch*]"), 78,
           "nosuch* matches no parameter", "model.embed_tokens.weight")
    shared = config("shared")
    process = start("shared")
    expect("two runs in one directory", run("train", shared, f"checkpoint.dir={HERE}/shared2"), 73, "is in use", "choose another run.dir")
    process.terminate()
    check("the first one is undisturbed", process.wait(timeout=60) == 75)
    steps = [m[0] for m in metrics("shared")]
    check("and has all its steps", steps == list(range(1, len(steps) + 1)), steps[:5])
    expect("its directory with other checkpoints", run("train", shared, f"checkpoint.dir={HERE}/shared2"), 78, "is a run whose checkpoints are in")
    expect("and anew", run("train", shared, f"checkpoint.dir={HERE}/shared2", "--resume", "never"), 78, "holds the metrics of an earlier run")
    lines = (HERE / "shared" / "metrics.jsonl").read_text().splitlines(keepends=True)
    lines[1] = "damaged\n"
    (HERE / "shared" / "metrics.jsonl").write_text("".join(lines))
    expect("a damaged line of metrics", run("train", shared, "training.max_steps=100000", "training.stop_after_steps=1"), 0)
    after = (HERE / "shared" / "metrics.jsonl").read_text().splitlines(keepends=True)
    check("takes nothing with it", after[:-1] == lines and len(after) == len(lines) + 1, (len(after), len(lines)))


def pipes():
    """What is read once from its start to its end may come from a pipe, compressed or not."""
    build = f"{ATHANOR} shards build --tokenizer tokenizer.json --output piped.h5 --validation-fraction 0.1 --validation-output piped-validation.h5"
    expect("shards from a pipe", shell(f"{build} --input <(gzip -c clean.jsonl)"), 0)
    expect("shards from the standard input", shell(f"{build} --input - <clean.jsonl"), 0)
    check("are the shards of the file", (HERE / "piped.h5").read_bytes() == (HERE / "train-00000.h5").read_bytes())
    expect("check a pipe", shell(f"{ATHANOR} check <(cat straight-fp32.yaml)"), 0)
    expect("check the standard input", shell(f"sed s/max_steps/max_stepz/ straight-fp32.yaml | {ATHANOR} check -"), 78, "max_steps")
    expect("a configuration without end", shell(f"{ATHANOR} check /dev/zero"), 78, "/dev/zero", "bytes allowed")
    expect("clean to .zst", run("clean", HERE / "clean.yaml", f"clean.output={HERE}/clean.jsonl.zst"), 0)
    train = f"{ATHANOR} tokenizer train --vocab-size 600"
    for source in ("clean.jsonl.gz", "clean.jsonl.zst", "<(cat clean.jsonl) --format jsonl", "- --format jsonl <clean.jsonl"):
        expect(f"a tokenizer from {source}",
               shell(f"gzip -kf clean.jsonl; {train} --output piped.json --input {source}"), 0)
        check("is that of the file", (HERE / "piped.json").read_bytes() == (HERE / "tokenizer.json").read_bytes())
    expect("a name that says nothing", shell(f"{train} --output piped.json --input <(cat clean.jsonl)"), 65, "--format")
    encode = f"{ATHANOR} tokenizer encode --tokenizer tokenizer.json --output"
    expect("encode", shell(f"{encode} a.jsonl --input clean.jsonl && {encode} b.jsonl --input clean.jsonl.zst && cmp a.jsonl b.jsonl"), 0)
    expect("clean a pipe", shell(f"mkfifo fifo; {ATHANOR} clean clean.yaml clean.inputs.0.path=fifo clean.output=x.jsonl"), 65,
           "fifo: a file was expected, this is a device or a pipe")


def console():
    """What is printed: once, as asked for, and to nobody if nobody reads."""
    process = subprocess.Popen([ATHANOR, "train", str(config("unread"))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    messages = process.stderr.read()
    check("a run whose output nobody reads goes on", process.wait(timeout=60) == 0 and len(metrics("unread")) == 12, messages)
    check("and says so", messages.count("the run goes on without it") == 1, messages)
    result = run("train", config("unread"), "training.max_stepz=5", ranks=4)
    expect("an error of the configuration on four ranks", result, 78, "max_steps")
    check("is said once", (result.stdout + result.stderr).count(": 1 error") == 1, result)
    result = run("clean", HERE / "clean.yaml", "clean.inputs.0.path=none.jsonl", ranks=4)
    expect("missing input on four ranks", result, 66, "none.jsonl")
    check("is said once", (result.stdout + result.stderr).count("none.jsonl") == 1, result)
    result = run("train", config("as-json"), "--json")
    check("train --json prints the metrics", result.stdout == (HERE / "as-json" / "metrics.jsonl").read_text(), result)
    for name, *command in (("generate", HERE / "straight-fp32", "--prompt", "one", "--max-new-tokens", 3, "--ignore-eos"),
                           ("export", HERE / "straight-fp32", "--output", HERE / "as-json-model"),
                           ("tokenizer", "train", "--input", HERE / "clean.jsonl", "--vocab-size", 300, "--output", HERE / "as.json")):
        facts = json.loads(run(name, *command, "--json").stdout)
        check(f"{name} --json", {"generate": len(facts.get("ids", [])) == 3, "export": facts.get("elements", 0) > 1000,
                                 "tokenizer": facts.get("vocabulary_size") == 300}[name], facts)
    folder = HERE / "folder-of-run"
    folder.mkdir()
    expect("a run with relative names", run("train", config("relative"), "run.dir=run", "checkpoint.dir=kept", "training.stop_after_steps=1",
                                            cwd=folder), 0)
    expect("is found from elsewhere", run("generate", folder / "run", "--prompt", "one", "--max-new-tokens", 1), 0)


def use_the_model():
    (HERE / "texts.jsonl").write_text('{"text": "从前有一个小镇。"}\n{"ids": [5, 6, 7, 8]}\n{"ids": [9]}\n')
    model = HERE / "straight-fp32"
    expect("score a run", run("score", model, "--input", HERE / "texts.jsonl", "--output", HERE / "scores.jsonl", "--logits",
                              HERE / "logits.safetensors", "--dtype", "fp32"), 0)
    scores = [json.loads(line) for line in open(HERE / "scores.jsonl")]
    check("one log-probability per predicted token", [len(s["ids"]) - len(s["logprobs"]) for s in scores] == [1, 1, 1], scores)
    check("log-probabilities are not positive", all(p <= 0 for s in scores for p in s["logprobs"]))
    raw = (HERE / "logits.safetensors").read_bytes()
    header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
    check("logits of every line", [header[f"logits.{i}"]["shape"][0] for i in range(3)] == [len(s["ids"]) for s in scores], header)
    expect("export", run("export", model, "--format", "hf", "--dtype", "fp32", "--output", HERE / "exported"), 0)
    expect("score the export", run("score", HERE / "exported", "--input", HERE / "texts.jsonl", "--output",
                                   HERE / "scores2.jsonl", "--dtype", "fp32"), 0)
    check("the same scores", scores == [json.loads(line) for line in open(HERE / "scores2.jsonl")])
    expect("generate", run("generate", model, "--prompt", "从前有", "--max-new-tokens", 8), 0, "从前有")
    (HERE / "prompts.jsonl").write_text('{"prompt": "one plus"}\n{"ids": [5, 6]}\n')
    for batch in (1, 2):
        expect(f"generate a file, batch {batch}",
               run("generate", model, "--input", HERE / "prompts.jsonl", "--output", HERE / f"out{batch}.jsonl",
                   "--max-new-tokens", 12, "--ignore-eos", "--temperature", 0.8, "--batch-size", batch), 0)
    check("batching changes nothing", (HERE / "out1.jsonl").read_text() == (HERE / "out2.jsonl").read_text())
    check("as many tokens as asked for", [len(json.loads(l)["ids"]) for l in open(HERE / "out1.jsonl")] == [12, 12])
    expect("train from the export", run("train", config("from"), f"model={{from: {HERE}/exported}}", "training.stop_after_steps=1"), 0)


def without_engine():
    """What is asked for a hundred times a day does not wait for LibTorch."""
    libraries = subprocess.run(["ldd", ATHANOR], capture_output=True, text=True, check=True).stdout
    check("the program itself needs neither LibTorch nor MPI", "libc.so" in libraries and not re.search("torch|c10|mpi", libraries), libraries)
    (HERE / "libathanor_engine.so").write_bytes(b"")
    light = (("check", config("light")), ("explain", "training.max_steps"), ("schema",), ("init", "quickstart"),
             ("tokenizer", "encode", "--help"), ("shards", "stat", HERE / "train-00000.h5"), ("checkpoint", "list", HERE / "straight-fp32"))
    for command in light:
        expect(f"without the engine: {command[0]}", run(*command, env={"LD_LIBRARY_PATH": str(HERE)}), 0)
    expect("an engine that is none", run("train", config("light"), env={"LD_LIBRARY_PATH": str(HERE)}), 66, "libathanor_engine.so",
           "scripts/build.sh")
    (HERE / "libathanor_engine.so").unlink()


def bad_input():
    good = config("bad")
    expect("no such configuration", run("train", HERE / "none.yaml"), 66, "none.yaml")
    expect("an unknown option", run("train", good, "training.max_stepz=5"), 78, "max_steps")
    expect("no such shards", run("train", good, f"data.train.0.path={HERE}/none-*.h5"), 66, "none-*.h5")
    (HERE / "cut.h5").write_bytes((HERE / "train-00000.h5").read_bytes()[:5000])
    expect("a truncated shard", run("train", good, f"data.train.0.path={HERE}/cut.h5"), 65, "cut.h5")
    (HERE / "noise.h5").write_bytes(os.urandom(4096))
    expect("a shard of noise", run("train", good, f"data.train.0.path={HERE}/noise.h5"), 65, "noise.h5")
    (HERE / "empty.h5").write_bytes(b"")
    expect("an empty shard", run("train", good, f"data.train.0.path={HERE}/empty.h5"), 65, "empty.h5")
    expect("a model smaller than the vocabulary", run("train", good, "model.vocab_size=100"), 78, "100")
    run("tokenizer", "train", "--input", HERE / "clean.jsonl", "--vocab-size", 500, "--output", HERE / "other.json")
    expect("another tokenizer than the shards'", run("train", good, f"data.tokenizer={HERE}/other.json"), 78, "other.json", "digest")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    expect("a device that is not there", run("train", good, "run.device=cuda"), 78, "device cuda", "set run.device to cpu")
    del os.environ["CUDA_VISIBLE_DEVICES"]
    expect("a batch that does not divide", run("train", good, "training.global_batch_size=6", ranks=4), 78, "6")
    expect("another model than the checkpoint's", run("train", config("straight-fp32"), "model.hidden_size=64",
                                                      "training.max_steps=20"), 78, "hidden_size")
    expect("another seed than the checkpoint's", run("train", config("straight-fp32"), "run.seed=8", "training.max_steps=20"), 78,
           "run.seed 7, the configuration has 8")
    before = {name: (HERE / "straight-fp32" / name).read_bytes() for name in ("config.yaml", "tokenizer.json", "metrics.jsonl")}
    expect("another tokenizer for an old run", run("train", config("straight-fp32"), f"data.tokenizer={HERE}/other.json"), 78, "digest")
    check("a start that is refused changes nothing", before == {name: (HERE / "straight-fp32" / name).read_bytes() for name in before})
    (HERE / "cleaning.yaml").write_text(f"clean: {{inputs: [{{path: {HERE}/raw.jsonl}}], output: {HERE}/again.jsonl}}\n")
    expect("a configuration for cleaning", run("train", HERE / "cleaning.yaml"), 78, "data.train")
    expect("which is fine for what it is", run("check", HERE / "cleaning.yaml"), 0)
    expect("never resume into an old run", run("train", config("straight-fp32"), "--resume", "never"), 78, "--resume never")
    expect("resume from nothing", run("train", good, "--resume", HERE / "nothing"), 66, "nothing")
    expect("a directory that cannot be written", run("train", good, "run.dir=/proc/none", "checkpoint.dir=/proc/none/c"), 73, "/proc/none")
    exported = HERE / "exported"
    shutil.copytree(exported, HERE / "lying")
    weights = HERE / "lying" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    expect("truncated weights", run("score", HERE / "lying", "--input", HERE / "texts.jsonl", "--output", HERE / "x.jsonl"), 65,
           "model.safetensors")
    shape = json.loads((exported / "config.json").read_text())
    shape["hidden_size"] = 16
    (HERE / "lying" / "config.json").write_text(json.dumps(shape))
    weights.write_bytes((exported / "model.safetensors").read_bytes())
    expect("weights of another shape", run("score", HERE / "lying", "--input", HERE / "texts.jsonl", "--output", HERE / "x.jsonl"), 65,
           "expected shape")
    (HERE / "lying" / "pytorch_model.bin").write_bytes(b"x")
    weights.unlink()
    expect("pickled weights", run("score", HERE / "lying", "--input", HERE / "texts.jsonl", "--output", HERE / "x.jsonl"), 65,
           "safetensors")
    (HERE / "bad.jsonl").write_text('{"ids": [1, 100000]}\n')
    expect("a token outside the vocabulary", run("score", exported, "--input", HERE / "bad.jsonl", "--output", HERE / "x.jsonl"), 65,
           "100000")
    (HERE / "bad.jsonl").write_text("not json\n")
    expect("a line that is no JSON", run("generate", exported, "--input", HERE / "bad.jsonl", "--output", HERE / "x.jsonl"), 65,
           "bad.jsonl:1")
    expect("no such model", run("score", HERE / "nothing", "--input", HERE / "texts.jsonl", "--output", HERE / "x.jsonl"), 66)
    expect("a directory without a model", run("score", HERE / "exported" / "..", "--input", HERE / "texts.jsonl", "--output",
                                              HERE / "x.jsonl"), 65, "holds no model")
    bad_models(exported)
    bad_lines(exported)
    damaged_run()
    expect("usage", run("generate", exported), 2, "--prompt")
    expect("no command", run(), 2)
    expect("an unknown command below one", run("shards", "buid"), 2, "`buid`", "did you mean `build`?", "athanor shards --help")
    expect("a number that is too large", run("synth", "--output", HERE / "y.jsonl", "--documents", 10**20), 2, "18446744073709551615", str(10**20))
    expect("synth onto the standard output", run("synth", "--output", "-", "--documents", 1), 2, "not the standard output")
    for command in (f"{ATHANOR} synth --output {HERE}/y.jsonl --bytes 600000",
                    f"{ATHANOR} tokenizer encode --tokenizer {HERE}/tokenizer.json --input {HERE}/clean.jsonl --output {HERE}/y.jsonl"):
        expect("a file that may not grow", shell(f"ulimit -f 50; {command}"), 74, "File too large")
    check("nothing of it is left", not list(HERE.glob("y.jsonl*")))
    (HERE / "nul.jsonl").write_text('{"text": "a", "source": "q\\u0000x"}\n')
    expect("a NUL in a label", run("shards", "build", "--tokenizer", HERE / "tokenizer.json", "--input", HERE / "nul.jsonl", "--output",
                                     HERE / "y.h5"), 65, "nul.jsonl:1: `source` holds a NUL")
    sections = {"clean.language.keep=[chinese]": "expected one of", "clean.english_rules.max_top_ngrams=[0.1]": "expected 3 numbers",
                "clean.inputs.0.path=nowhere": "no file matches", "clean.inputs=[]": "nothing to read", "clean.output=a.csv": "JSON lines",
                f"clean.output={HERE}/raw.jsonl": "is the same file", "clean.english_rules.min_words=200000": "every document would be dropped",
                "clean.threads=": "found an empty text"}
    for override, text in sections.items():
        expect(f"check {override[:40]}", run("check", HERE / "clean.yaml", override), 66 if "nowhere" in override else 78, text)
    expect("an unknown command", run("chek", "run.yaml"), 2, "`chek`", "did you mean `check`?")
    check("nothing half-written", not (HERE / "x.jsonl").exists() and not list(HERE.glob("*.tmp")), list(HERE.glob("*.tmp")))


def bad_files():
    """Inputs and outputs that are no files, or one file twice; numbers that options do not take."""
    exported, texts, tokenizer = HERE / "exported", HERE / "texts.jsonl", HERE / "tokenizer.json"
    (HERE / "one.jsonl").write_text('{"text": "one document"}\n')
    folder, pipe, loop = HERE / "folder", HERE / "pipe", HERE / "loop"
    folder.mkdir()
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    encode = ("tokenizer", "encode", "--tokenizer", tokenizer)
    build = ("shards", "build", "--tokenizer", tokenizer)
    for name, command in {
        "synth": ("synth", "--documents", 5, "--output", f"{pipe}.jsonl"),
        "tokenizer train": ("tokenizer", "train", "--input", texts, "--vocab-size", 300, "--output", pipe),
        "tokenizer encode": (*encode, "--input", texts, "--output", pipe),
        "shards build": (*build, "--input", texts, "--output", pipe),
        "score": ("score", exported, "--input", texts, "--output", pipe),
        "generate": ("generate", exported, "--input", texts, "--output", pipe),
        "clean": ("clean", HERE / "clean.yaml", f"clean.output={pipe}"),
    }.items():
        if not (HERE / "pipe.jsonl").exists():
            os.mkfifo(HERE / "pipe.jsonl")
        expect(f"{name} onto a pipe", run(*command), 73, "is a device or a pipe")
    check("the pipes are still there", pipe.is_fifo() and (HERE / "pipe.jsonl").is_fifo())
    for path, code, part in ((folder, 65, "a file was expected"), (loop, 66, "cannot be opened"), (HERE / ("n" * 300), 66, "too long")):
        for name, command in {
            "tokenizer encode": (*encode, "--input", path, "--output", HERE / "x.jsonl"),
            "shards build": (*build, "--input", path, "--output", HERE / "x.h5"),
            "score": ("score", exported, "--input", path, "--output", HERE / "x.jsonl"),
            "generate": ("generate", exported, "--input", path, "--output", HERE / "x.jsonl"),
            **({} if len(path.name) > 255 else
               {"clean": ("clean", HERE / "clean.yaml", f"clean.inputs.0.path={path}", f"clean.output={HERE}/x.jsonl")}),
        }.items():
            expect(f"{name} of {path.name[:10]}", run(*command), code, part)
    before = texts.read_bytes()
    for name, command, code in (
        ("clean", ("clean", HERE / "clean.yaml", f"clean.inputs.0.path={texts}", f"clean.output={texts}"), 78),
        ("tokenizer encode", (*encode, "--input", texts, "--output", texts), 2),
        ("shards build", (*build, "--input", texts, "--output", texts), 2),
        ("score", ("score", exported, "--input", texts, "--output", texts), 2),
        ("score with logits", ("score", exported, "--input", texts, "--output", HERE / "q", "--logits", HERE / "q"), 2),
        ("generate", ("generate", exported, "--input", texts, "--output", texts), 2)):
        expect(f"{name} onto its input", run(*command), code, "is the same file as the")
    check("the input is as it was", texts.read_bytes() == before)
    expect("a prompt and a file", run("generate", exported, "--prompt", "a", "--output", HERE / "x.jsonl"), 2, "--prompt")
    synth = ("synth", "--output", HERE / "x.jsonl")
    for name, text in (("a.parquet", "expected a file named"), ("a.txt", "another format than --format jsonl")):
        expect(f"synth --output {name}", run("synth", "--documents", 5, "--output", HERE / name, "--format", "jsonl"), 2, text)
    expect("synth, more documents", run("synth", "--documents", 5, "--output", HERE / "a.txt"), 0)
    check("text by its name", not (HERE / "a.txt").read_text().startswith("{"))
    expect("a fraction that takes no document",
           run(*build, "--input", texts.parent / "one.jsonl", "--output", HERE / "x.h5", "--validation-fraction", 1e-12,
               "--validation-output", HERE / "x2.h5"), 65, "takes none of the 1 documents")
    expect("a model onto itself", run("export", exported, "--output", exported), 2, "is the model itself")
    for option, text in (("documents=line", "is about text files"), ("text_fields=[body]", "")):
        inputs = f"clean.inputs.0.{option}"
        wanted = (78, text) if text else (65, "text_fields")
        expect(f"clean with {option} of JSON lines", run("clean", HERE / "clean.yaml", inputs, f"clean.output={HERE}/x.jsonl"), *wanted)
    expect("clean with fields of a text", run("clean", HERE / "clean.yaml", f"clean.inputs.0.path={HERE}/a.txt", "clean.inputs.0.text_fields=[body]",
                                              f"clean.output={HERE}/x.jsonl"), 78, "has no fields")
    (HERE / "cut.jsonl.gz").write_bytes(b"\x1f\x8b" + b"x" * 50)
    expect("clean of a damaged file", run("clean", HERE / "clean.yaml", f"clean.inputs.0.path={HERE}/cut.jsonl.gz", f"clean.output={HERE}/x.jsonl"),
           65, "cut.jsonl.gz", "damaged gzip")
    check("no directory of stages is left", not list(HERE.glob("x.jsonl*")), list(HERE.glob("x.jsonl*")))
    for option, value in (("--documents", -1), ("--seed", -1), ("--threads", -3), ("--threads", 100000)):
        expect(f"{option} {value}", run(*synth, *(() if option == "--documents" else ("--documents", 1)), option, value), 2, option, str(value))
    expect("--vocab-size -5", run("tokenizer", "train", "--input", texts, "--vocab-size", -5, "--output", HERE / "x.json"), 2,
           "--vocab-size", "expected 0 or more, got -5")
    expect("--keep 0", run("checkpoint", "prune", HERE / "straight-fp32", "--keep", 0), 2, "--keep: expected a number above 0, got 0")
    expect("--shard of too many", run("clean", HERE / "clean.yaml", "--shard", "0/99999999999"), 2, "expected I/N")
    left = [path for path in (*HERE.glob("x.*"), *HERE.glob("*.tmp")) if path.is_file()]
    check("nothing was written", not left, left)


def stop_a_writer():
    """A command stopped by a signal dies by it and leaves nothing behind."""
    folder = HERE / "stopped"
    (HERE / "many.jsonl").write_bytes((HERE / "raw.jsonl").read_bytes() * 100)
    many = HERE / "many.jsonl"
    for number, command in (
        (signal.SIGTERM, ("synth", "--output", folder / "a.jsonl", "--bytes", 10**12)),
        (signal.SIGHUP, ("tokenizer", "encode", "--tokenizer", HERE / "tokenizer.json", "--input", many, "--output", folder / "b.jsonl")),
        (signal.SIGINT, ("shards", "build", "--tokenizer", HERE / "tokenizer.json", "--input", many, "--output", folder / "c.h5")),
        (signal.SIGTERM, ("clean", HERE / "clean.yaml", f"clean.inputs.0.path={many}", f"clean.output={folder}/d.jsonl"))):
        folder.mkdir(exist_ok=True)
        process = subprocess.Popen([ATHANOR, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: list(folder.rglob("*.tmp")), process)
        process.send_signal(number)
        output = "".join(process.communicate(timeout=60))
        check(f"{command[0]}: dies by {number.name}, and says so",
              process.returncode == -number and f"stopped by {number.name}" in output, (process.returncode, output))
        check(f"{command[0]}: nothing is left", not list(folder.iterdir()), list(folder.iterdir()))
    process = subprocess.Popen([MPIRUN, "-np", "2", ATHANOR, "clean", str(HERE / "clean.yaml"), f"clean.inputs.0.path={many}",
                                f"clean.output={folder}/e.jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(folder.rglob("*.tmp")), process)
    process.send_signal(signal.SIGTERM)
    output = "".join(process.communicate(timeout=60))
    check("clean on 2 ranks: stops, and says so once", process.returncode != 0 and output.count("unfinished output was removed") == 1,
          (process.returncode, output))
    check("clean on 2 ranks: nothing is left", not list(folder.iterdir()), list(folder.rglob("*")))


def score(model, texts="texts.jsonl"):
    return run("score", model, "--input", HERE / texts, "--output", HERE / "x.jsonl", "--dtype", "fp32")


def bad_models(exported):
    """What a config.json or its weights may say, and what must not hang, allocate or run for it."""
    hostile = HERE / "hostile"
    shutil.copytree(exported, hostile)
    shape = json.loads((exported / "config.json").read_text())

    def refused(name, value, *texts):
        (hostile / "config.json").write_text(json.dumps({**shape, name: value}))
        expect(f"config.json: {name} {value}", score(hostile), 65, str(hostile), *texts)

    for name, value, highest in (("num_hidden_layers", 200000000000, 4096), ("n_routed_experts", 1000000000, 65536),
                                 ("hidden_size", 10**12, 1 << 20), ("vocab_size", 10**12, 1 << 24),
                                 ("num_attention_heads", 10**9, 65536), ("num_hidden_layers", 2**64 - 1, 4096)):
        refused(name, value, f"{name} is {value}", f"at most {highest}")
    refused("n_routed_experts", 65536, "parameters, but the weights hold")
    refused("num_hidden_layers", 4096, "parameters, but the weights hold")
    refused("num_hidden_layers", 1, "model.layers.1.", "expected layers 0 to 0")
    for theta in (0, -1):
        refused("rope_parameters", {"rope_theta": theta, "rope_type": "default"}, f"rope_theta is {theta}", "at least 1")

    (hostile / "config.json").write_text(json.dumps(shape))
    weights = hostile / "model.safetensors"
    data = bytearray(weights.read_bytes())
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    norm = json.loads(data[8:begin])["model.norm.weight"]["data_offsets"]
    data[begin + norm[0]:begin + norm[0] + 4] = struct.pack("<f", float("nan"))
    weights.write_bytes(data)
    expect("score with weights that are no numbers", score(hostile), 65, "text 1, token 0", "not finite")
    expect("generate with weights that are no numbers", run("generate", hostile, "--prompt", "one"), 65, "text 1", "not finite")
    expect("a sequence longer than the loaded model's context",
           run("train", config("bad"), f"model={{from: {exported}}}", "data.sequence_length=512"), 78, "sequence_length", "256")
    stranger = HERE / "stranger"
    shutil.copytree(exported, stranger)
    shutil.copy(HERE / "other.json", stranger / "tokenizer.json")
    expect("the tokenizer of a model that did not make the shards",
           run("train", config("stranger-run"), f"model={{from: {stranger}}}", "data.tokenizer=", "training.stop_after_steps=1", ranks=2), 0,
           "did not make the shards", "name the right one in data.tokenizer")


def bad_lines(exported):
    for line, texts in ((b'{"ids": [1, 100000]}', ["token id 100000"]), (b'{"ids": [18446744073709551615]}', ["token id 18446744073709551615"]),
                        (b'{"ids": [-1]}', ["token id -1"]), (json.dumps({"ids": [5] * 257}).encode(), ["257 tokens", "256"]),
                        (b'{"text": "\xff"}', ["UTF-8", "byte 0xff"])):
        (HERE / "bad.jsonl").write_bytes(b'{"ids": [1]}\n' + line + b"\n")
        expect(f"a line {line[:40]}", score(exported, "bad.jsonl"), 65, "bad.jsonl:2: ", *texts)
    (HERE / "bad.jsonl").write_text('{"ids": [1]}\n{"ids": []}\n')
    expect("an empty prompt", run("generate", exported, "--input", HERE / "bad.jsonl", "--output", HERE / "x.jsonl"), 65, "bad.jsonl:2: ")


def damaged_run():
    """A run is what its newest good checkpoint says, wherever it keeps them; a checkpoint that is named is itself."""
    damaged = HERE / "damaged"
    shutil.copytree(HERE / "straight-fp32", damaged)
    newest = sorted((damaged / "checkpoints").glob("step-*"))[-1]
    part = next(newest.glob("*.safetensors"))
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    expect("generate from a run whose newest checkpoint is damaged", run("generate", damaged, "--prompt", "one", "--max-new-tokens", 1), 0,
           "passed over", newest.name)
    expect("the damaged checkpoint itself", run("generate", newest, "--prompt", "one"), 65, newest.name)
    elsewhere = config("elsewhere")
    expect("train from an export, checkpoints elsewhere, no tokenizer given",
           run("train", elsewhere, f"model={{from: {HERE}/exported}}", "data.tokenizer=", f"checkpoint.dir={HERE}/kept",
               "training.stop_after_steps=1"), 0)
    expect("generate from that run", run("generate", HERE / "elsewhere", "--prompt", "one", "--max-new-tokens", 1), 0, "one")
    expect("verify its checkpoints", run("checkpoint", "verify", HERE / "elsewhere"), 0, "step-00000001: good")
    expect("go back to it", run("train", elsewhere, f"model={{from: {HERE}/exported}}", "data.tokenizer=", "run.dir=" + str(HERE / "from-elsewhere"),
                                "--resume", HERE / "elsewhere", "training.stop_after_steps=1"), 0, "kept/step-00000001 (step 1")


def rewrite_weights(path, change):
    """Hands the tensors of a safetensors file, {name: (dtype, shape, bytes)}, to `change` and writes what it made of them."""
    data = path.read_bytes()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    tensors = {name: (info["dtype"], info["shape"], data[begin + info["data_offsets"][0]:begin + info["data_offsets"][1]])
               for name, info in json.loads(data[8:begin]).items() if name != "__metadata__"}
    change(tensors)
    header, end = {}, 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(content)]}
        end += len(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(content for _, _, content in tensors.values()))


def odd_models():
    """Configuration and weights that do not belong together, and what published files hold that no model reads."""
    exported, odd = HERE / "exported", HERE / "odd-model"
    shape = json.loads((exported / "config.json").read_text())

    def model(change=lambda tensors: None, drop=(), **config):
        shutil.rmtree(odd, ignore_errors=True)
        shutil.copytree(exported, odd)
        (odd / "config.json").write_text(json.dumps({key: value for key, value in {**shape, **config}.items() if key not in drop}))
        rewrite_weights(odd / "model.safetensors", change)
        return odd

    def scores():
        return (HERE / "x.jsonl").read_text()

    junk = ("F32", [2], bytes(8))
    expect("score the export", score(exported), 0)
    right = scores()
    expect("its weights, written anew", score(model()), 0)
    check("score alike", scores() == right)
    expect("what transformers assumes may be left out", score(model(drop=("rope_interleave", "norm_topk_prob", "initializer_range"))), 0)
    check("and changes nothing", scores() == right)

    strange = lambda tensors: tensors.update({f"model.layers.0.self_attn.{name}_proj.bias": junk for name in "qkvo"})
    no_place = ("have no place in the deepseek_v3 model", "the configuration is not that of these weights")
    for name, command in (("score", ("score", odd, "--input", HERE / "texts.jsonl", "--output", HERE / "x.jsonl")),
                          ("generate", ("generate", odd, "--prompt", "one")),
                          ("export", ("export", odd, "--output", HERE / "of-odd")),
                          ("train", ("train", config("from-odd"), f"model={{from: {odd}}}", "training.stop_after_steps=1"))):
        model(strange)
        expect(f"{name}: tensors that the model has no place for", run(*command), 65, ": 4 of the weights' tensors", *no_place,
               "model.layers.0.self_attn.k_proj.bias", ", ...")
    check("nothing was exported", not (HERE / "of-odd").exists())
    expect("fewer experts than the weights have", score(model(n_routed_experts=2)), 65, *no_place, "mlp.experts.2.")
    expect("no shared experts, though the weights have them",
           score(model(n_shared_experts=0)) if shape["n_shared_experts"] else
           score(model(lambda t: t.update({"model.layers.1.mlp.shared_experts.up_proj.weight": junk}))), 65, *no_place, "shared_experts")
    expect("quantised weights", score(model(lambda t: t.update({"model.layers.0.self_attn.o_proj.weight_scale_inv": junk}))), 65,
           "weight_scale_inv", "are quantised")
    expect("what old versions of transformers saved",
           score(model(lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": junk}))), 0)
    check("is passed over", scores() == right)
    expect("tied embeddings, and the projection in the file", score(model(tie_word_embeddings=True)), 0)
    copies = lambda t: t.update({f"model.layers.{shape['num_hidden_layers']}.{name}": junk
                                 for name in ("embed_tokens.weight", "shared_head.head.weight")})
    expect("copies in a prediction module", score(model(copies, num_nextn_predict_layers=1)), 0)
    check("are passed over", scores() == right)
    expect("a module that is not declared", score(model(copies)), 65, "num_nextn_predict_layers 0")

    expect("no model_type", score(model(drop=("model_type",))), 65, "model_type is missing", "deepseek_v3, llama, qwen2, qwen3_moe")
    (odd / "config.json").write_text('{"model_type": "llama",\n "vocab_size" 5}')
    expect("broken JSON", score(odd), 65, "config.json: broken JSON", "line 2, column 15")
    for file in (exported / "config.json", exported / "model.safetensors"):
        expect(f"a file as the model: {file.name}", score(file), 65, str(file), "a directory was expected, this is a file")
    (HERE / "x.jsonl").unlink()


def bad_exports():
    """Where an export would destroy something, or be taken for something."""
    other, target = HERE / "spare", HERE / "spare-export"
    (HERE / "ids.jsonl").write_text('{"ids": [5, 6, 7]}\n')
    shutil.copytree(HERE / "straight-fp32", other)
    (other / "empty").mkdir()
    before = {path: path.stat().st_size for path in other.rglob("*") if path.is_file()}
    oldest, *_, newest = sorted((other / "checkpoints").glob("step-*"))
    relative = pathlib.Path(os.path.relpath(other))
    for output, what in ((other, "is the directory of a run"), (f"{relative}/", "is the directory of a run"),
                         (other / "empty" / "..", "is the directory of a run"),
                         (other / "checkpoints", "is a directory of checkpoints"),
                         (oldest, "is a checkpoint"), (newest, "is "),
                         (newest / "exported", "lies in a checkpoint"),
                         (other / "checkpoints" / "step-00000099", "lies in a directory of checkpoints")):
        for model in (other, HERE / "exported"):
            expect(f"export to {str(output)[-40:]}", run("export", model, "--output", output), 2, what)
    expect("export onto the same model by another name",
           run("export", HERE / "exported", "--output", HERE / "not-there" / ".." / "exported"), 2, "is the model itself")
    after = {path: path.stat().st_size for path in other.rglob("*") if path.is_file()}
    check("the run is as it was", before == after, set(before) ^ set(after))
    expect("export beside the checkpoints", run("export", other, "--output", other / "exported"), 0)
    expect("named as a checkpoint, elsewhere", run("export", newest, "--output", HERE / "exports" / newest.name), 0)
    expect("and another one beside it", run("export", newest, "--output", HERE / "exports" / "step-00000013"), 0)
    check("the run is still the run", newest.name in run("export", other, "--output", target).stdout)
    check("the tokenizer comes along", (target / "tokenizer.json").exists())
    (other / "tokenizer.json").unlink()
    expect("export of a model without a tokenizer onto that", run("export", other, "--output", target), 0)
    check("which does not keep the old one", not (target / "tokenizer.json").exists())
    (other / "config.json").write_bytes((target / "config.json").read_bytes())
    (other / "model.safetensors").write_bytes((target / "model.safetensors").read_bytes())
    expect("a run with an export in it, from before", score(other, "ids.jsonl"), 0, "holds a run and an export", str(other))
    (HERE / "x.jsonl").unlink()


def long_texts():
    """What ends with the context says so; a prompt that cannot be used is refused before it is printed."""
    exported = HERE / "exported"
    longer = ("--max-new-tokens", 5000, "--ignore-eos")
    said = "context of 256 tokens (max_position_embeddings)"
    (HERE / "prompts.jsonl").write_text(json.dumps({"ids": [5] * 250}) + "\n" + json.dumps({"ids": [5] * 256}) + "\n")
    result = run("generate", exported, "--input", HERE / "prompts.jsonl", "--output", HERE / "x.jsonl", *longer)
    expect("past the context", result, 0, "2 of 2 texts ended", said, "1 new tokens were possible", "--max-new-tokens is 5000")
    check("is said once", result.stderr.count(said) == 1, result)
    check("as many as there is room for", [len(json.loads(line)["ids"]) for line in open(HERE / "x.jsonl")] == [7, 1])
    result = run("generate", exported, "--prompt", "one", *longer, "--json")
    count = len(json.loads(result.stdout)["ids"])
    expect("a prompt past the context", result, 0, "1 of 1 texts ended", f": {count} new tokens were possible, ")
    result = run("generate", exported, "--input", HERE / "prompts.jsonl", "--output", HERE / "x.jsonl", "--max-new-tokens", 1, "--ignore-eos")
    check("what fits is not warned of", result.returncode == 0 and said not in result.stderr, result)
    result = run("generate", exported, "--prompt", "one two three " * 200)
    expect("a prompt longer than the context", result, 65, "--prompt: a text of", "context ends at 256")
    check("is not printed", result.stdout == "", result.stdout)
    result = subprocess.run([ATHANOR, "generate", str(exported), "--prompt", b"ab\xff\xfe"], capture_output=True)
    check("a prompt that is no text", result.returncode == 2 and b"byte 0xff at column 3" in result.stderr and not result.stdout, result)
    (HERE / "x.jsonl").unlink()


# A file system of its own size, which only the commands of one call see. They run in order until one fails.
SMALL_DISK = r'''
set -e
mount -t tmpfs -o size="$1" athanor "$2"
code=0
for command in "${@:3}"; do bash -c "$command" || { code=$?; break; }; done
find "$2" -type f -printf '%P\n' >"$2.listing"
exit $code
'''


def on_small_disk(size, *commands):
    disk = HERE / "disk"
    disk.mkdir(exist_ok=True)
    result = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", SMALL_DISK, "bash", size, str(disk),
                             *commands], capture_output=True, text=True, timeout=240)
    return result, pathlib.Path(f"{disk}.listing").read_text().split()


def has_own_disks():
    made = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "athanor", HERE], capture_output=True)
    if made.returncode:
        print("not run: this system allows no file systems of one's own (unshare --user --mount)")
    return made.returncode == 0


def writing_commands(disk):
    exported = HERE / "exported"
    return {
        "synth": f"synth --output {disk}/raw.jsonl --bytes 600000",
        "clean": f"clean {HERE}/clean.yaml clean.output={disk}/clean.jsonl",
        "tokenizer train": f"tokenizer train --input {HERE}/clean.jsonl --vocab-size 600 --output {disk}/tokenizer.json",
        "shards build": f"shards build --input {HERE}/clean.jsonl --tokenizer {HERE}/tokenizer.json --output {disk}/train.h5",
        "score": f"score {exported} --input {HERE}/texts.jsonl --output {disk}/scores.jsonl --logits {disk}/logits.safetensors",
        "export": f"export {exported} --format hf --output {disk}/exported",
        "train": f"train {config('full')} run.dir={disk}/run checkpoint.dir={disk}/checkpoints",
    }


def full_disk():
    with open("/dev/full", "w") as full:
        result = subprocess.run([ATHANOR, "schema"], stdout=full, stderr=subprocess.PIPE, text=True)
    check("a full disk behind the standard output", result.returncode == 74 and "standard output: No space left" in result.stderr,
          result)
    if not has_own_disks():
        return
    disk = HERE / "disk"
    for name, command in writing_commands(disk).items():
        result, left = on_small_disk("16k", f"{ATHANOR} {command}")
        expect(f"{name} on a full disk", result, 74, "No space left on device", str(disk))
        check(f"{name}: nothing half-written", all(file.startswith(("run/", "checkpoints/.writer.lock")) and ".tmp" not in file for file in left), left)

    # It fills up in the middle of a run. What was saved stays good; with space again, the run goes on as if nothing had been.
    train = f"{ATHANOR} train {config('filling')} run.dir={disk}/run checkpoint.dir={disk}/checkpoints"
    result, left = on_small_disk(
        "4m", f"{train} training.stop_after_steps=4",
        f"head -c 16m /dev/zero >{disk}/filler; {train}; test $? -eq 74",
        f"test -z \"$(find {disk} -name '*.tmp*')\" && {ATHANOR} checkpoint verify {disk}/checkpoints && rm {disk}/filler && {train}",
        f"{ATHANOR} checkpoint verify {disk}/checkpoints && cp {disk}/run/metrics.jsonl {HERE}/filled.jsonl")
    expect("a disk that fills up during the run", result, 0, "No space left on device", "step-00000004: good", "step-00000012: good")
    (HERE / "filling").mkdir()
    shutil.move(HERE / "filled.jsonl", HERE / "filling" / "metrics.jsonl")
    check("and the same bits in the end", metrics("filling") == metrics("straight-fp32"), metrics("filling"))
    check("nothing half-written", not [file for file in left if ".tmp" in file], left)


def read_only_directory():
    if not has_own_disks():
        return
    disk, seal = HERE / "disk", f"mount -o remount,ro {HERE}/disk"
    commands = {**writing_commands(disk),
                "train elsewhere, checkpoints here": f"train {config('sealed')} checkpoint.dir={disk}/checkpoints",
                "train on": f"train {config('sealed')} run.dir={disk}/run training.max_steps=20",
                "checkpoint prune": f"checkpoint prune {disk}/run --keep 1"}
    for name, command in commands.items():
        result, left = on_small_disk("8m", f"cp -r {HERE}/straight-fp32 {disk}/run && {seal}", f"{ATHANOR} {command}")
        expect(f"{name} in a read-only directory", result, 73, "Read-only file system", str(disk))
        check(f"{name}: one message", result.stderr.count("error") == 1, result)
    result, left = on_small_disk("8m", f"cp -r {HERE}/straight-fp32 {disk}/run && {seal}",
                                 f"{ATHANOR} generate {disk}/run --prompt one --max-new-tokens 1 && {ATHANOR} checkpoint verify {disk}/run")
    expect("a run that is read only can be used", result, 0, "one", "good")


try:
    for case in (prepare_data, train_and_resume, cut_the_layers, stop_by_signal, stop_early, kill_and_go_on, go_back, change_the_run, use_the_model,
                 without_engine, pipes, console, bad_input, odd_models, bad_exports, long_texts, bad_files, stop_a_writer, full_disk,
                 read_only_directory):
        print(f"-- {case.__name__}", flush=True)
        case()
finally:
    shutil.rmtree(HERE, ignore_errors=True)
print(f"{len(failures)} failed" if failures else "all cases hold")
sys.exit(bool(failures))
