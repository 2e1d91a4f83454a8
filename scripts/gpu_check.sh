#!/usr/bin/env bash
# Checks Athanor on a machine with a GPU, also on one that holds neither a compiler nor our libraries nor a network.
#
#   scripts/gpu_check.sh pack [BUILD]    where it was built (default build/release): programs, libraries and data that the
#                                        other machine lacks go into .gpu_check/, to travel beside the working tree
#   scripts/gpu_check.sh run [PART...]   on the machine with the GPU: every part, or those named; the verdicts come last.
#                                        Takes the pack when there is one, else build/release (or ATHANOR_BUILD)
#
# Parts:
#   kernels      the CUDA kernels against kernels/reference, and the CPU kernels on this processor
#   golden       every reference model and fixture, on the CPU and on the GPU
#   nccl         collectives over NCCL
#   bench        bench_cuda, bench_kernels, bench_attention_moe_loss
#   train_cuda   the same small run on cpu and cuda: losses side by side, then speed
#   w1           workload W1 on two cores beside transformers on the same two
#   pretrain     pretraining on real text, its curve, and the exported model in transformers
#
# Environment:
#   OUT              where summary.txt, log.txt and results go (default gpu_check_results)
#   ATHANOR_PYTHON   the Python that has torch and transformers (default python3); LibTorch is taken from it
#   PRETRAIN_DATA    for pack: a folder of texts (default ../shared/data); without it pretrain and train_cuda are left out
#   W1_WITHOUT       for run: words in the names of cases of w1 to leave out ("ranks transformers": ours on one rank alone)
#   PRETRAIN_MINUTES, PRETRAIN_SET   for run: wall time of the training (default 3), extra key=value overrides
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly pack_dir=.gpu_check

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

case ${1:-} in
  pack) source scripts/gpu_check/pack.sh; pack_all "${2:-build/release}" ;;
  run) shift; source scripts/gpu_check/run.sh; source scripts/gpu_check/parts.sh; run_parts "$@" ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
