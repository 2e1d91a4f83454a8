# shellcheck shell=bash disable=SC2154,SC2016
# Sourced by scripts/gpu_check.sh: finds programs and LibTorch, runs checks under time limits, keeps the verdicts.

readonly python=${ATHANOR_PYTHON:-python3}
out=$(realpath -m "${OUT:-gpu_check_results}")
work=$(mktemp -d "${TMPDIR:-/tmp}/athanor-gpu-check.XXXXXX")
readonly out work
trap 'rm -rf "$work"' EXIT
library_path=
prefix=  # where bin/, lib/ and, in a pack, openmpi/, libraries/ and pretrain/ lie

say() { echo "$*" | tee -a "$out/log.txt"; }

find_programs() {
  local archive
  if [[ -f $pack_dir/programs.tar.xz ]]; then
    prefix=$work/pack
    mkdir "$prefix"
    for archive in programs.tar.xz libraries.tar.xz; do  # by Python: the machine may lack xz
      "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$pack_dir/$archive" "$prefix" 2>/dev/null ||
        tar -C "$prefix" -xf "$pack_dir/$archive"
    done
    library_path=$prefix/libraries
  else
    prefix=$(realpath -m "${ATHANOR_BUILD:-build/release}")
    [[ -x $prefix/bin/athanor ]] || { echo "gpu_check: error: neither $pack_dir/programs.tar.xz nor $prefix/bin/athanor" >&2; exit 66; }
    [[ -d .cache/pretraining ]] && ln -sfn "$PWD/.cache/pretraining" "$work/pretrain"
  fi
  [[ -d $prefix/pretrain ]] && ln -sfn "$prefix/pretrain" "$work/pretrain"
  return 0
}

find_libtorch() {
  local torch folder
  torch=$("$python" -c 'import torch; print(torch.__path__[0])' 2>/dev/null) || torch=${ATHANOR_TORCH_DIR:-}
  if [[ -z $torch ]]; then
    say "note: $python has no torch; the programs find LibTorch where they were built, or not at all"
    return
  fi
  library_path+=${library_path:+:}$torch/lib
  for folder in "${torch%/*}"/nvidia/*/lib; do
    [[ -d $folder ]] && library_path+=:$folder
  done
  return 0
}

# The libraries are for our programs alone: Python must not see them, so each program that Python or mpirun starts is
# a small script that sets them.
make_launchers() {
  mkdir -p "$work/bin"
  launcher athanor "$prefix/bin/athanor"
  if [[ -d $prefix/openmpi ]]; then
    launcher mpirun "$prefix/openmpi/bin/mpirun" "export OPAL_PREFIX='$prefix/openmpi' PMIX_MCA_pcompress_base_silence_warning=1"
    launcher orted "$prefix/openmpi/bin/orted" "export OPAL_PREFIX='$prefix/openmpi'"
  fi
  export PATH=$work/bin:$PATH
}

launcher() {  # NAME PROGRAM [LINE]
  printf '#!/bin/sh\n%s\nexport LD_LIBRARY_PATH="%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\nexec "%s" "$@"\n' \
    "${3:-}" "$library_path" "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

facts() {
  echo "date      $(date -u +%FT%TZ)"
  echo "system    $(. /etc/os-release && echo "$PRETTY_NAME"), kernel $(uname -r), $(ldd --version | head -1)"
  echo "processor $(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo), $(nproc) processors ($(lscpu | sed -n 's/^Thread(s) per core: *//p') per core), $(awk '/MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo)"
  echo "vector    $(grep -om1 '^flags.*' /proc/cpuinfo | tr ' ' '\n' | grep -E '^(avx2|avx512f|avx512_bf16|avx512_fp16|avx512_vnni|amx_.*)$' | tr '\n' ' ')"
  echo "gpu       $(nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null || echo none)"
  "$python" - <<'PYTHON' 2>/dev/null || echo "python    $python lacks torch or transformers"
import torch
nccl = ".".join(map(str, torch.cuda.nccl.version())) if torch.cuda.is_available() else "no device"
print(f"torch     {torch.__version__}, CUDA {torch.version.cuda}, NCCL {nccl}, in {torch.__path__[0]}")
import transformers
print(f"peers     transformers {transformers.__version__}")
PYTHON
  echo "programs  $prefix, commit $(cat "$prefix/commit" 2>/dev/null || git describe --always --dirty 2>/dev/null || echo unknown)"
}

# check PART/NAME SECONDS COMMAND...: runs it under a time limit; the whole output goes to log.txt, the verdict and, of
# a failure, the last lines to the terminal.
check() {
  local name=$1 limit=$2 log=$work/current.log started=$EPOCHREALTIME code=0 seconds
  shift 2
  printf '\n##### %s: %s\n' "$name" "$*" >>"$out/log.txt"
  timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null || code=$?
  cat "$log" >>"$out/log.txt"
  seconds=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}')
  case $code in
    0) verdict "$(green_or_skipped "$log")" "$name" "$seconds" "$(remark "$log")" ;;
    124 | 137) verdict TIMEOUT "$name" "$seconds" "limit $limit s" ;;
    *) verdict FAILED "$name" "$seconds" "exit code $code; $(remark "$log")" ;;
  esac
  ((code == 0)) || { grep -aE '^\[  FAILED|Failure$|rror:' "$log" | head -12; tail -n 12 "$log" | cut -c1-300; } | sed 's/^/    | /'
  return 0
}

# A test program whose tests were all skipped has shown nothing.
green_or_skipped() { grep -aqE '^\[  PASSED  \] 0 tests' "$1" && echo SKIPPED || echo ok; }

remark() {  # what GoogleTest counted, or the last line
  local passed skipped
  passed=$(grep -aoE '^\[  PASSED  \] [0-9]+' "$1" | grep -oE '[0-9]+$' | tail -1)
  skipped=$(grep -aoE '^\[  SKIPPED \] [0-9]+' "$1" | grep -oE '[0-9]+$' | tail -1)
  if [[ -n $passed ]]; then echo "$passed tests passed${skipped:+, $skipped skipped}"; else tail -n 1 "$1" | cut -c1-150; fi
}

verdict() { printf '%-8s %-38s %7s s  %s\n' "$@" | tee -a "$out/summary.txt"; }

# program PART NAME SECONDS [ARGUMENT...]: one of our own programs; a missing one is said to be missing.
program() {
  local part=$1 name=$2 limit=$3
  shift 3
  if [[ -x $prefix/bin/$name ]]; then
    check "$part/$name" "$limit" env LD_LIBRARY_PATH="$library_path" "$prefix/bin/$name" "$@"
  else
    verdict MISSING "$part/$name" 0 "not in $prefix/bin"
  fi
}

# programs PART SECONDS GLOB [EXCEPT]: all of our programs whose names match, except those matching a pattern.
programs() {
  local path found=
  for path in "$prefix"/bin/$3; do
    [[ -x $path && ! ${path##*/} =~ ${4:-^$} ]] || continue
    found=yes
    program "$1" "${path##*/}" "$2"
  done
  [[ -n $found ]] || verdict MISSING "$1/$3" 0 "not in $prefix/bin"
}

run_parts() {
  local parts=("$@") part
  ((${#parts[@]})) || parts=("${all_parts[@]}")
  for part in "${parts[@]}"; do
    [[ " ${all_parts[*]} " == *" $part "* ]] || { echo "gpu_check: error: no part '$part'; parts: ${all_parts[*]}" >&2; exit 2; }
  done
  mkdir -p "$out"
  : >"$out/log.txt"
  : >"$out/summary.txt"
  find_programs
  find_libtorch
  make_launchers
  export ATHANOR_REFERENCE_DIR=${ATHANOR_REFERENCE_DIR:-$PWD/tests/reference}
  facts | tee -a "$out/log.txt" "$out/facts.txt"
  for part in "${parts[@]}"; do
    printf '\n== %s\n' "$part"
    "part_$part"
  done
  printf '\n== summary (%s s)\n' "$SECONDS"
  cat "$out/summary.txt"
  ! grep -qvE '^ok ' "$out/summary.txt"
}
