#!/usr/bin/env bash
# Installs what is missing and builds a preset (default: release). Extra arguments go to the build:
#   scripts/build.sh                  everything
#   scripts/build.sh release --target athanor
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:-release}
(($#)) && shift
scripts/setup.sh
[[ -f build/$preset/build.ninja ]] || cmake --preset "$preset" >"build-$preset.log" 2>&1 || { cat "build-$preset.log"; exit 1; }
rm -f "build-$preset.log"
cmake --build "build/$preset" -j "${ATHANOR_BUILD_JOBS:-2}" "$@"
