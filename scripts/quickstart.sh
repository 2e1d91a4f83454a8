#!/usr/bin/env bash
# From nothing to a trained mixture-of-experts model: installs what is missing, builds, makes and cleans the sample text,
# trains a tokenizer, cuts token shards, trains the small MoE on two MPI ranks, and lets it write a line.
#
#   QUICKSTART_STEPS   training steps (default 200)
#   QUICKSTART_DIR     where data and run go (default runs/quickstart)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/build.sh release --target athanor
athanor=$PWD/build/release/bin/athanor
dir=${QUICKSTART_DIR:-runs/quickstart}
data=$dir/data
steps=${QUICKSTART_STEPS:-200}
mkdir -p "$data"

say() { printf '\n== %s\n' "$*"; }

if [[ ! -f $data/clean.jsonl ]]; then
  say "sample text: Chinese, English, code and arithmetic, with the dirt that real text has"
  "$athanor" synth --output "$data/raw.jsonl" --bytes 12000000 --seed 7
  say "cleaning"
  "$athanor" clean configs/examples/clean_sample.yaml "clean.inputs.0.path=$data/raw.jsonl" "clean.output=$data/clean.jsonl" \
    "clean.report=$data/clean_report.json"
fi
if [[ ! -f $data/tokenizer.json ]]; then
  say "tokenizer"
  "$athanor" tokenizer train --input "$data/clean.jsonl" --vocab-size 4096 --output "$data/tokenizer.json"
fi
if [[ ! -f $data/train-00000.h5 ]]; then
  say "token shards"
  "$athanor" shards build --input "$data/clean.jsonl" --tokenizer "$data/tokenizer.json" --output "$data/train-00000.h5" \
    --validation-fraction 0.02 --validation-output "$data/validation-00000.h5"
fi

say "training on two ranks, $steps steps"
"$athanor" init quickstart >"$dir/quickstart.yaml"
scripts/mpirun.sh -np 2 "$athanor" train "$dir/quickstart.yaml" "run.dir=$dir/run" "checkpoint.dir=$dir/run/checkpoints" \
  "data.tokenizer=$data/tokenizer.json" "data.train.0.path=$data/train-*.h5" \
  "data.validation.0.path=$data/validation-*.h5" "training.max_steps=$steps"

say "the model writes"
"$athanor" generate "$dir/run" --prompt "从前有" --max-new-tokens 48 --temperature 0.7 --top-p 0.9
