#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that needs no GPU, but for the whole matrix of layouts (label slow).
# Arguments go to ctest (for example -L unit).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/build.sh release
exec ctest --test-dir build/release --output-on-failure --no-tests=error -LE 'gpu|slow' "$@"
