# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by scripts/gpu_check.sh: what each part runs. `program` and `check` are explained in run.sh.

readonly all_parts=(kernels golden nccl train_cuda bench w1 pretrain)

part_kernels() {
  program kernels test_kernels_cuda 180
  programs kernels 180 'test_kernels_*' 'golden|cuda'
}

part_golden() {
  programs golden 120 'test_*golden*' 'cuda'
  ATHANOR_TEST_DEVICE=cuda program golden_on_cuda test_trainer_golden 180
  ATHANOR_TEST_DEVICE=cuda program golden_on_cuda test_kernels_fp8_golden 60
  programs golden 180 'test_*cuda*' '^test_kernels_cuda$|nccl'
}

# Two ranks share the one GPU, which NCCL takes from 2.30 on: an older one must refuse at once, and say why.
part_nccl() {
  local ranks
  [[ -x $prefix/bin/test_nccl ]] || { verdict MISSING nccl/test_nccl 0 "not in $prefix/bin"; return; }
  for ranks in 1 2; do
    check "nccl/test_nccl, ranks: $ranks" 120 env LD_LIBRARY_PATH="$library_path" ATHANOR_EXPECTED_WORLD_SIZE="$ranks" \
      scripts/mpirun.sh -np "$ranks" "$prefix/bin/test_nccl"
  done
}

part_bench() {
  programs bench 180 'bench_*cuda*'
  program bench bench_kernels 120 1
  program bench bench_attention_moe_loss 120 1
}

# The first processor of each of two cores: two threads of one core would halve both programs' speed.
two_cores() { lscpu -p=CPU,CORE | grep -v '^#' | sort -t, -k2,2n -u | head -2 | cut -d, -f1 | paste -sd,; }

part_w1() {
  check w1/compare 240 taskset -c "$(two_cores)" "$python" bench/w1/compare.py "$work/bin/athanor" scripts/mpirun.sh --python "$python" \
    --steps 6 --rounds 1 --without "full recomputation" ${W1_WITHOUT:-}
  sed -n '/^##### w1/,$p' "$out/log.txt" | grep -E '^\{|^athanor on' || true
}

prepared_texts() {  # PART
  [[ -f $work/pretrain/counting.json ]] && return
  verdict MISSING "$1" 0 "no prepared texts: pack where PRETRAIN_DATA is"
  return 1
}

part_train_cuda() {
  prepared_texts train_cuda || return 0
  check train_cuda/same_losses 150 "$python" bench/pretrain/cpu_and_cuda.py "$work/bin/athanor" "$work/pretrain" "$work/train_cuda"
  sed -n '/^##### train_cuda/,$p' "$out/log.txt" | grep -E '^\{' || true
}

part_pretrain() {
  prepared_texts pretrain || return 0
  local minutes=${PRETRAIN_MINUTES:-3} run=$work/pretrain_run
  check pretrain/train $((minutes * 60 + 90)) "$python" bench/pretrain/run.py train "$work/bin/athanor" "$work/pretrain" "$run" \
    --minutes "$minutes" --curve "$out/pretraining.svg" ${PRETRAIN_SET:+--set $PRETRAIN_SET}
  cp "$run/run/metrics.jsonl" "$out/pretraining_metrics.jsonl" 2>/dev/null || true
  cp "$run/result.json" "$out/pretraining.json" 2>/dev/null || true
  check pretrain/export 60 "$work/bin/athanor" export "$run/run" --format hf --output "$run/exported"
  check pretrain/transformers 90 "$python" bench/pretrain/compare_with_transformers.py "$work/bin/athanor" "$run/exported" \
    "$work/pretrain/sample.jsonl"
  check pretrain/generate 60 "$work/bin/athanor" generate "$run/run" --prompt "却说宝玉" --max-new-tokens 48 --temperature 0.7 --top-p 0.9
}
