"""Jobs in which a rank is late, stopped, killed, or disagrees: the right rank and call are named in time.

    faults.py ATHANOR MPIRUN FAULT_PROGRAM [CASE ...]      prints every case; exit code 1 when one fails

Every case is a job of real processes under mpirun. What is held against it: the exit code, that exactly one
report comes out, what it names, that it comes within twice the deadline of the fault, and that every rank has
a flight record that can be read.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone

ATHANOR, MPIRUN, FAULT_PROGRAM, *CASES = sys.argv[1:]
HERE = pathlib.Path(tempfile.mkdtemp(prefix="athanor-faults-"))
DEADLINE = 1.0
RANKS = 4
failures, jobs = [], []


def check(name, holds, detail=""):
    print(("ok    " if holds else "FAILED ") + name, flush=True)
    if not holds:
        failures.append(name)
        print("       " + str(detail)[-3000:].replace("\n", "\n       "), flush=True)


class Job:
    """A job under mpirun whose output is collected in a file, so that nobody waits for a pipe."""

    def __init__(self, name, *command, ranks=RANKS):
        self.dir = HERE / name
        self.dir.mkdir()
        self.path = self.dir / "output"
        self.fault_time = None
        jobs.append(self)
        with open(self.path, "w") as output:
            self.process = subprocess.Popen([MPIRUN, "-np", str(ranks), *map(str, command)], stdout=output, stderr=subprocess.STDOUT)

    def output(self):
        return self.path.read_text(errors="replace")

    def wait_until(self, what, holds, timeout=60):
        begin = time.time()
        while not holds():
            if time.time() - begin > timeout or self.process.poll() is not None:
                raise RuntimeError(f"never {what}:\n{self.output()}")
            time.sleep(0.02)

    def wait_for(self, text):
        self.wait_until(f"printed {text!r}", lambda: text in self.output())

    def pid_of_rank(self, rank):
        """The process that has this rank below mpirun, which is below the script that starts it."""
        parent = lambda pid: int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if not entry.name.isdigit() or f"OMPI_COMM_WORLD_RANK={rank}" not in (entry / "environ").read_text().split("\0"):
                    continue
                if parent(parent(entry.name)) == self.process.pid:
                    return int(entry.name)
            except OSError:
                continue
        raise RuntimeError(f"no process of rank {rank}")

    def send(self, rank, number):
        self.fault_time = time.time()
        os.kill(self.pid_of_rank(rank), number)

    def end(self, timeout=60):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the job did not end:\n{self.output()}")

    def stop(self):
        """Leaves nobody behind, also when a rank does not listen: the second request is an order."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(3)
                except subprocess.TimeoutExpired:
                    pass

    def report_times(self):
        stamps = re.findall(r"(\d{4}-\d\d-\d\dT[\d:.]+)Z error", self.output())
        return [datetime.fromisoformat(stamp).replace(tzinfo=timezone.utc).timestamp() for stamp in stamps]


def flights(directory):
    """Each rank's record, as parsed lines."""
    return {int(path.name[7:12]): [json.loads(line) for line in path.read_text().splitlines()]
            for path in directory.glob("flight-*.json")}


def expect_report(name, job, parts, codes=(76,), deadline=DEADLINE, directory=None, ranks=RANKS, flies=True):
    code = job.end()
    text = job.output()
    check(f"{name}: exit code {code} is one of {codes}", code in codes, text)
    times = job.report_times()
    check(f"{name}: one report", len(times) == 1, text)
    missing = [part for part in parts if not re.search(part, text)]
    check(f"{name}: names rank and call", not missing, f"missing {missing} in\n{text}")
    stated = re.search(r"fault at ([\d.]+)", text)
    fault_time = job.fault_time or (stated and float(stated[1]))
    late = times[0] - fault_time if times and fault_time else float("inf")
    check(f"{name}: after {late:.2f} s, within twice the deadline of {deadline} s", late < 2 * deadline, text)
    if flies:
        records = flights(directory or job.dir)
        check(f"{name}: a flight record of every rank", sorted(records) == list(range(ranks)), records.keys())
        check(f"{name}: the records tell the last calls",
              all(len(lines) > 1 and lines[0]["rank"] == rank and lines[-1]["verb"] for rank, lines in records.items()))
    return text


def start_faulty(kind, *extra, rank=2, ranks=RANKS, name=None):
    name = name or kind
    return Job(name, FAULT_PROGRAM, "--fault", kind, "--rank", rank, "--timeout", DEADLINE, "--flights", HERE / name, *extra,
               ranks=ranks)


# ---- a reduced job -------------------------------------------------------------------------------------------


def no_fault():
    job = start_faulty("none")
    check("no fault: exit code 0 and no report", job.end() == 0 and not job.report_times() and not flights(job.dir), job.output())


def late_within_the_deadline():
    job = start_faulty("sleep", "--seconds", 0.6 * DEADLINE, name="slow")
    check("a slow rank is not reported", job.end() == 0 and not job.report_times(), job.output())


def sleeping():
    job = start_faulty("sleep", "--seconds", 30 * DEADLINE)
    expect_report("a sleeping rank", job, [
        r"late: world rank 2 .* is sleeping; step 3, block 1, forward", r"last call all_gather #9 on axis data",
        r"waiting: world ranks 0-1, 3 in all_gather #10 on axis data \(64 bytes\) .*: for world rank 2"])
    records = flights(job.dir)
    check("a sleeping rank: its record ends before the call, those of the others wait in it",
          [records[r][-1]["number"] for r in range(4)] == [10, 10, 9, 10] and
          [records[r][-1]["state"] for r in range(4)] == ["waiting", "waiting", "done", "waiting"], records)


# On a loaded machine not every rank has come to the call when the difference is reported.
OTHERS = r"world ranks? [0-9, -]+ made "


def other_shapes():
    expect_report("another shape in a gather", start_faulty("shape"), [
        r"all_gather #10 on axis data", r"first mismatching call: .*world rank 2 made all_gather #10 on axis data \(68 bytes\)",
        OTHERS + r"all_gather #10 on axis data \(64 bytes\)"])
    expect_report("another shape in a reduction", start_faulty("reduce_shape"), [
        OTHERS + r"all_reduce #3 on axis expert \(16 bytes, sum\)", r"world rank 2 made all_reduce #3 on axis expert \(24 bytes, sum\)"])
    expect_report("another shape in a broadcast", start_faulty("broadcast_shape"), [
        r"world rank 2 made broadcast #\d+ on axis world \(20 bytes from rank 0\)",
        OTHERS + r"broadcast #\d+ on axis world \(16 bytes from rank 0\)"])


def skipped_collectives():
    expect_report("a skipped gather", start_faulty("skip"), [
        r"first call at different places: .*world rank 2 made all_gather #10 on axis data \(64 bytes\) in step 3, block 2, forward.*left out",
        OTHERS + r"all_gather #10 on axis data \(64 bytes\) in step 3, block 1, forward",
        r"first mismatching call: .*world rank 2 made all_to_all #11 on axis data"])
    expect_report("a skipped reduction", start_faulty("skip_reduce"), [
        r"waiting: world ranks 0-1, 3 in all_reduce #3 on axis expert .*: for world rank 2",
        r"waiting: world rank 2 in broadcast #\d+ on axis world"])


def another_order_of_axes():
    expect_report("another order of axes", start_faulty("order"), [
        r"the ranks wait for each other", r"waiting: world ranks 0-1, 3 in all_to_all #12 on axis data",
        r"waiting: world rank 2 in all_reduce #3 on axis expert"])


def failing_by_itself():
    job = start_faulty("throw")
    expect_report("a rank that fails", job, [r"error .*\[rank 2\] a shard is damaged"], codes=(65,), flies=False)


def stopped():
    job = start_faulty("none", "--steps", 100000, name="stopped")
    job.wait_for("step 5")
    job.send(3, signal.SIGSTOP)
    expect_report("SIGSTOP", job, [r"late: world rank 3 .* is stopped by a signal", r"waiting: world ranks 0-2 in \w+ #\d+ on axis"])


# mpirun itself notices a process that is killed, ends the job a second later and gives 128 + 9; the report is
# there before.
def killed():
    job = start_faulty("none", "--steps", 100000, name="killed")
    job.wait_for("step 5")
    job.send(1, signal.SIGKILL)
    expect_report("kill -9", job, [r"world rank 1 on .* lost", r"late: world rank 1 .* is gone"], codes=(76, 137))


def ending_early():
    expect_report("a rank that ends", start_faulty("exit"), [r"world rank 2 on .* lost", r"late: world rank 2 .* is gone"],
                  codes=(76, 3))


# Ranks 0-1 and 2-3 count as two machines: the report gathers both boards.
def on_two_machines():
    job = start_faulty("sleep", "--seconds", 30 * DEADLINE, "--ranks-per-machine", 2, rank=3, name="machines")
    expect_report("a sleeping rank on another machine", job, [
        r"late: world rank 3 .* is sleeping; step 3, block 1", r"waiting: world ranks 0-2 in all_gather #10"])


# ---- the program itself --------------------------------------------------------------------------------------

CONFIG = """
run: {name: faults, dir: DIR, seed: 7}
task: pretrain
model: {architecture: deepseek_v3, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
        n_routed_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 16, kv_lora_rank: 16, qk_nope_head_dim: 8,
        qk_rope_head_dim: 8, v_head_dim: 16, max_position_embeddings: 256}
data: {tokenizer: HERE/tokenizer.json, sequence_length: 64, train: [{path: HERE/train-*.h5}]}
training: {global_batch_size: 4, micro_batch_size: 1, max_steps: 100000, precision: fp32}
parallel: {zero: 3, timeout: 2}
checkpoint: {every: 100000}
"""


def prepare_data():
    for command in (("synth", "--output", HERE / "raw.jsonl", "--bytes", 100000, "--seed", 3),
                    ("tokenizer", "train", "--input", HERE / "raw.jsonl", "--vocab-size", 400, "--output", HERE / "tokenizer.json"),
                    ("shards", "build", "--input", HERE / "raw.jsonl", "--tokenizer", HERE / "tokenizer.json",
                     "--output", HERE / "train-00000.h5")):
        result = subprocess.run([ATHANOR, *map(str, command)], capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(result.stdout + result.stderr)


def config(name):
    path = HERE / f"{name}.yaml"
    path.write_text(CONFIG.replace("DIR", str(HERE / name / "run")).replace("HERE", str(HERE)))
    return path


def training_stopped_and_killed():
    for name, number, codes, part in (("train-stop", signal.SIGSTOP, (76,), r"late: world rank 2 .* is stopped by a signal.*; step \d+"),
                                      ("train-kill", signal.SIGKILL, (76, 137), r"late: world rank 2 .* is gone.*; step \d+")):
        job = Job(name, ATHANOR, "train", config(name))
        metrics = HERE / name / "run" / "metrics.jsonl"
        job.wait_until("made 5 steps", lambda: metrics.exists() and metrics.read_text().count("\n") >= 5)
        job.send(2, number)
        text = expect_report(name, job, [part], codes=codes, deadline=2.0, directory=HERE / name / "run" / "logs")
        log = "".join(path.read_text() for path in (HERE / name / "run" / "logs").glob("rank-*.log"))
        check(f"{name}: the report is in a log too", re.search(part, log), text)


# Rank 3 runs another command than the others. (`mpirun ... : ...` crashes in Open MPI 5.0.7.)
def but_rank_3(usual, other):
    return "bash", "-c", f'[ "$OMPI_COMM_WORLD_RANK" = 3 ] && exec {other}; exec {usual}'


def another_configuration():
    good = config("config")
    usual = f"{ATHANOR} train {good}"
    job = Job("config", *but_rank_3(usual, f"{usual} optimizer.learning_rate=0.5 training.max_steps=12"))
    job.fault_time = time.time()
    expect_report("another configuration", job, [
        r"world rank 3 on \S+: optimizer.learning_rate is 0.5 \(world rank 0: 0.0003\), training.max_steps is 12 \(world rank 0: 100000\)"],
        codes=(78,), deadline=30, flies=False)


def another_program():
    """A copy of the program, whose file or whose engine differs in a few bytes."""
    good = config("program")
    for part in ("bin/athanor", "lib/libathanor_engine.so"):
        other = HERE / pathlib.Path(part).stem
        for file in ("bin/athanor", "lib/libathanor_engine.so"):
            (other / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pathlib.Path(ATHANOR).parents[1] / file, other / file)
        with open(other / part, "ab") as file:
            file.write(b"another build")
        job = Job(f"other-{other.name}", *but_rank_3(f"{ATHANOR} train {good}", f"{other}/bin/athanor train {good}"))
        job.fault_time = time.time()
        expect_report(f"another {part}", job, [r"the ranks run different programs", r"world rank 3 on \S+ has the program [0-9a-f]{32}"],
                      codes=(78,), deadline=30, flies=False)


ALL = (no_fault, late_within_the_deadline, sleeping, other_shapes, skipped_collectives, another_order_of_axes, failing_by_itself,
       stopped, killed, ending_early, on_two_machines, prepare_data, training_stopped_and_killed, another_configuration,
       another_program)
try:
    begin = time.time()
    for case in ALL:
        if CASES and case.__name__ not in CASES and case is not prepare_data:
            continue
        print(f"-- {case.__name__} ({time.time() - begin:.0f} s)", flush=True)
        try:
            case()
        except (RuntimeError, OSError, KeyError, IndexError) as error:
            check(case.__name__, False, error)
        finally:
            for job in jobs:
                job.stop()
finally:
    shutil.rmtree(HERE, ignore_errors=True)
print(f"{len(failures)} failed" if failures else "all cases hold")
sys.exit(bool(failures))
