#!/usr/bin/env bash
# mpirun as the tests and examples use it: more ranks than cores are welcome, root (as in containers) is allowed,
# and nothing but shared memory and loopback is used on one machine.
set -euo pipefail
options=(--oversubscribe --bind-to none --mca btl self,vader --mca btl_vader_single_copy_mechanism none
         --mca mpi_yield_when_idle 1)
((EUID == 0)) && options+=(--allow-run-as-root)
exec mpirun "${options[@]}" "$@"
