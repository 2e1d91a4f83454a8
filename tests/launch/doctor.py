"""`athanor doctor`: what it prints is complete and plausible; nothing is held against a time.

    doctor.py ATHANOR MPIRUN        exit code 1 when a case fails
"""
import json
import os
import subprocess
import sys
import tempfile

ATHANOR, MPIRUN = sys.argv[1:3]
failures = []


def run(*args, ranks=0):
    command = [MPIRUN, "-np", str(ranks)] if ranks else []
    return subprocess.run([*command, ATHANOR, "doctor", *map(str, args)], capture_output=True, text=True, timeout=240)


def check(name, holds, detail=""):
    print(("ok    " if holds else "FAILED ") + name, flush=True)
    if not holds:
        failures.append(name)
        print("       " + str(detail)[-2000:], flush=True)


with tempfile.TemporaryDirectory() as directory:
    result = run("--json", "--dir", directory)
    facts = json.loads(result.stdout) if result.returncode == 0 else {}
    check("the machine", facts and facts["matmul_flops"]["fp32"]["flops_per_second"] > 1e8 and
          facts["matmul_flops"]["bf16"]["kernel"] and facts["memory_copy_bytes_per_second"] > 1e8 and
          0 < facts["usable_cores"] <= facts["cores"] and facts["memory_bytes"] > facts["available_memory_bytes"] > 0 and
          facts["disk"]["write_bytes_per_second"] > 1e5 and facts["disk"]["error"] == "" and facts["mpi"] and
          facts["libtorch"] == "2.11.0" and (facts["gpus"] > 0 or facts["gpu_note"]), result.stdout + result.stderr)
    check("no file is left behind", not os.listdir(directory))
    result = run("--dir", directory + "/none")
    check("a directory that is not there is named in the table", result.returncode == 0 and "/none" in result.stdout and
          "GFLOP/s" in result.stdout, result.stdout + result.stderr)

result = run("--network", "--json", "--tensor", 2, "--expert", 2, ranks=4)
facts = json.loads(result.stdout) if result.returncode == 0 else {"axes": []}
axes = {(row["axis"], row["degree"], row["call"]) for row in facts["axes"]}
check("every axis and call", axes >= {(axis, 2, call) for axis in ("data", "tensor", "expert") for call in
                                      ("all_gather", "exchange", "reduce_scatter", "all_reduce")}, result.stdout + result.stderr)
check("every row is measured", all(row["seconds"] > 0 and row["bytes_per_second"] > 0 for row in facts["axes"]), facts)
result = run("--network", ranks=2)
check("as a table", result.returncode == 0 and "data" in result.stdout and "GB/s" in result.stdout, result.stdout + result.stderr)
result = run("--network", "--tensor", 3, ranks=2)
check("degrees that do not fit are refused", result.returncode == 78 and "tensor 3" in result.stderr, result.stderr)
result = run("--network")
check("one process has no axis", result.returncode == 0 and "mpirun" in result.stdout, result.stdout + result.stderr)
print(f"{len(failures)} failed" if failures else "all cases hold")
sys.exit(bool(failures))
