#!/usr/bin/env bash
# Installs what Athanor needs to build and run: Debian/Ubuntu packages (asks for root only when one is missing)
# and the pinned LibTorch, taken from the PyPI wheel without its CUDA dependencies. Idempotent; prints what it installs.
#
#   ATHANOR_TORCH_DIR   use this LibTorch (a directory holding include/ and lib/) instead of fetching one
#   ATHANOR_CACHE_DIR   where the unpacked wheels go (default: ~/.cache/athanor), shared by every clone
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache mold clang-format pkg-config git unzip python3 python3-pip
  libopenmpi-dev openmpi-bin libhdf5-dev libyaml-cpp-dev libgtest-dev libgmock-dev
  libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libsimdjson-dev libpcre2-dev libutf8proc-dev libicu-dev
  libxxhash-dev libzstd-dev zlib1g-dev libhwy-dev prometheus-cpp-dev
)

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

missing=()
for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
if ((${#missing[@]})); then
  echo "setup: installing ${missing[*]}"
  as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "setup: error: not root and no sudo; install by hand: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

[[ -n ${ATHANOR_TORCH_DIR:-} ]] && { echo "setup: using LibTorch in $ATHANOR_TORCH_DIR"; exit 0; }

cache=${ATHANOR_CACHE_DIR:-$HOME/.cache/athanor}
site=$cache/torch-2.11.0
wheels=(torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
[[ -f $site/.complete ]] && exit 0

echo "setup: fetching ${wheels[*]} into $site"
mkdir -p "$cache"
staging=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$staging"' EXIT
# The platform is pinned so that any python3 picks the same files.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
  --implementation cp --abi cp311 --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
  --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --dest "$staging" "${wheels[@]}"
for wheel in "$staging"/*.whl; do
  # Left out: the Python side, and the fmt and protobuf headers, which would shadow the system's.
  unzip -q "$wheel" 'torch/include/*' 'torch/lib/libtorch_cpu.so' 'torch/lib/libc10.so' 'torch/lib/libgomp*' \
    'torch/lib/libtorch_cuda.so' 'torch/lib/libc10_cuda.so' 'nvidia/cu13/lib/*' \
    -x 'torch/include/fmt/*' 'torch/include/google/*' -d "$staging/site" 2>/dev/null || [[ $? -le 11 ]]
done
[[ -f $staging/site/torch/lib/libtorch_cpu.so ]] || { echo "setup: error: the torch wheel held no libtorch_cpu.so" >&2; exit 1; }
touch "$staging/site/.complete"
rm -rf "$site"
mv "$staging/site" "$site"
