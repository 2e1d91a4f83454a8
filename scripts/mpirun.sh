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

# Told to end (SIGTERM, Ctrl-C), mpirun kills its ranks a second later: too soon for a checkpoint. So it runs in a process
# group of its own, and the first such signal reaches it as SIGUSR1, which it passes on to the ranks; the next one as SIGTERM.
set -m
setpriv --pdeathsig TERM mpirun "${options[@]}" "$@" <&0 &
job=$!
has_ranks() { [[ -n $(cat /proc/"$job"/task/*/children 2>/dev/null) ]]; }
ask_to_stop() {  # nothing is passed on to ranks that mpirun has yet to start
  local tries
  for ((tries = 0; tries < 100; ++tries)); do
    has_ranks && break
    kill -0 "$job" 2>/dev/null || return 0
    sleep 0.05
  done
  ((SECONDS > 2)) || sleep 0.2
  kill -s USR1 "$job" 2>/dev/null || true
}
kill_job() { kill -s TERM "$job" 2>/dev/null || true; }
trap 'interrupted=yes; trap "interrupted=yes; kill_job" TERM INT HUP; ask_to_stop' TERM INT HUP
interrupted=yes
while [[ $interrupted ]]; do  # a signal ends `wait` before the job ends
  interrupted=
  wait "$job" && code=0 || code=$?
done
exit "$code"
