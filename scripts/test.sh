#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that needs no GPU.
# Arguments go to ctest (for example -L unit, or -LE layouts to leave out the longest).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/build.sh release
exec ctest --test-dir build/release --output-on-failure --no-tests=error -LE gpu "$@"
