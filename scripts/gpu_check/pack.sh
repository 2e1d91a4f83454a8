# shellcheck shell=bash disable=SC2154
# Sourced by scripts/gpu_check.sh: gathers what the machine with the GPU lacks into .gpu_check/.
# Left out is what that machine has: glibc and the compiler's run-time libraries, the driver, LibTorch and CUDA
# (they come with its torch package).

readonly prepared=.cache/pretraining
readonly max_pack_mib=45
readonly not_carried='^(ld-linux-x86-64|linux-vdso|libc|libm|libdl|libpthread|librt|libresolv|libutil|libgcc_s|libstdc\+\+|libgomp|libtorch|libtorch_.*|libc10|libc10_.*|libcu(da|dart|pti|file|rand|blas.*|dnn.*|fft.*|solver.*|sparse.*)|libnv.*|libnccl)\.so'

needed_libraries() {  # FILE...: every shared library that these need, at any depth, and that is carried
  ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $1, $3}' | sort -u |
    awk -v skip="$not_carried" '$1 !~ skip {print $2}'
}
export -f needed_libraries
export not_carried

pack_programs() {  # BUILD TO
  local build=$1 to=$2 program
  mkdir -p "$to/bin" "$to/lib"
  for program in "$build"/bin/{athanor,bench_*,test_kernels*,test_*golden*,test_*cuda*,test_*nccl*,test_fp8*}; do
    [[ -x $program ]] && cp -u "$program" "$to/bin/"
  done
  [[ -x $to/bin/athanor ]] || { echo "gpu_check: error: no athanor in $build/bin: build it first" >&2; exit 66; }
  cp "$build"/lib/*.so "$to/lib/"
  [[ -f $to/lib/libathanor_cuda.so ]] || echo "gpu_check: note: no plugin in $build/lib (nvcc missing?)"
  strip --strip-unneeded "$to"/bin/* "$to"/lib/*.so 2>/dev/null || true
}

# Open MPI opens its plugins by itself, so ldd of the program does not show them. Those for fabrics are left out: they
# bring tens of megabytes of libraries for hardware that one machine does not use.
pack_openmpi() {  # TO
  local prefix=$1/openmpi libdir sub name
  libdir=$(ompi_info --path pkglibdir | awk '{print $2}')
  sub=${libdir#/usr/}
  mkdir -p "$prefix/bin" "$prefix/$sub" "$prefix/share" "$prefix/etc"
  for name in mpirun orted; do cp -L "$(command -v $name)" "$prefix/bin/"; done
  for name in "$libdir"/mca_*.so; do
    [[ $name =~ ofi|ucx|psm|openib|monitoring ]] || cp "$name" "$prefix/$sub/"
  done
  cp -rL "$(ompi_info --path pkgdatadir | awk '{print $2}')" "$prefix/share/openmpi"
}

pack_libraries() {  # TO
  local to=$1
  mkdir -p "$to/libraries"
  find "$to"/bin "$to"/lib "$to"/openmpi -type f \( -perm -u+x -o -name '*.so' \) -print0 | xargs -0 bash -c 'needed_libraries "$@"' _ |
    sort -u | while read -r library; do cp -Lu "$library" "$to/libraries/"; done
  }

pack_texts() {  # TO
  local texts=${PRETRAIN_DATA:-../shared/data} to=$1/pretrain
  if [[ ! -d $texts ]]; then
    echo "gpu_check: note: no texts in $texts: the parts pretrain and train_cuda will be missing"
    return
  fi
  # Prepared once: delete .cache/pretraining after a change of the tokenizer or of the cleaning.
  [[ -f $prepared/counting.json ]] ||
    python3 bench/pretrain/run.py prepare "$2/bin/athanor" "$texts" "$prepared"
  mkdir -p "$to"
  cp "$prepared"/{tokenizer.json,train-00000.h5,validation-00000.h5,counting.json,sample.jsonl} "$to/"
}

# Libraries change seldom and take the longest to compress: kept while the files that would go in are the same.
compress_libraries() {  # FROM
  local facts
  facts=$(cd "$1" && find libraries openmpi -type f -printf '%p %s\n' | sort | sha256sum)
  [[ -f $pack_dir/libraries.tar.xz && $facts == "$(cat "$pack_dir/libraries.sha256" 2>/dev/null)" ]] && return
  tar -C "$1" -cf - libraries openmpi | xz -6 -T0 >"$pack_dir/libraries.tar.xz.partial"
  mv "$pack_dir/libraries.tar.xz.partial" "$pack_dir/libraries.tar.xz"
  echo "$facts" >"$pack_dir/libraries.sha256"
}

pack_all() {  # BUILD
  local build=$1 staging size
  [[ -d $build/bin ]] || { echo "gpu_check: error: no $build/bin: build first (scripts/build.sh)" >&2; exit 66; }
  mkdir -p "$pack_dir"
  staging=$(mktemp -d "${TMPDIR:-/tmp}/athanor-pack.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$staging'" EXIT
  pack_programs "$build" "$staging"
  pack_openmpi "$staging"
  pack_libraries "$staging"
  pack_texts "$staging" "$build"
  git describe --always --dirty >"$staging/commit"
  du -sk "$staging"/* | sort -rn | awk '{printf "  %6.1f MiB  %s\n", $1 / 1024, $2}'
  compress_libraries "$staging"
  # Every program holds the same libraries of ours: xz sees across them, gzip does not.
  tar -C "$staging" --exclude=./libraries --exclude=./openmpi -cf - . | xz -6 -T0 >"$pack_dir/programs.tar.xz"
  size=$(du -sk "$pack_dir" | awk '{printf "%.0f", $1 / 1024}')
  echo "gpu_check: $pack_dir, $size MiB"
  ((size < max_pack_mib)) || { echo "gpu_check: error: more than $max_pack_mib MiB" >&2; exit 73; }
}
