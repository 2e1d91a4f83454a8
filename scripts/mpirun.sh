#!/usr/bin/env bash
# mpirun as the tests and examples use it, with Open MPI 4 or 5: more ranks than cores are welcome, root (as in
# containers) is allowed, and nothing but shared memory and loopback is used on one machine.
#
#   MPIRUN_SINGLE_COPY=cma   copy from process to process, as Open MPI does by default; containers often forbid it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/open_mpi.sh"
single_copy=${MPIRUN_SINGLE_COPY:-none}
options=(--bind-to none --mca pml ob1 --mca mpi_yield_when_idle 1)
if is_open_mpi_5; then
  options+=(--map-by :OVERSUBSCRIBE --mca btl self,sm)
  [[ $single_copy == none ]] && options+=(--mca smsc ^cma,knem,xpmem)
else
  options+=(--oversubscribe --mca btl self,vader --mca btl_vader_single_copy_mechanism "$single_copy")
fi
((EUID == 0)) && options+=(--allow-run-as-root)
exec mpirun "${options[@]}" "$@"
