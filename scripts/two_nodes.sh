#!/usr/bin/env bash
# Two nodes on one machine: starts a program with `mpirun --hostfile` as on a cluster, only that the remote shell by
# which mpirun reaches a node is this script. What a program sees differs by node as it would there: host name, local
# rank and size, scratch and session folder, shared memory; traffic between the nodes goes over TCP, within a node
# over shared memory.
#
#   scripts/two_nodes.sh [-np N] PROGRAM [ARGUMENT ...]     N ranks (default 4), half of them on each node
#
# Where the kernel allows it (root, as in most containers and CI), each node is a set of namespaces: a network of its
# own behind a bridge, a host name, mounts. Elsewhere both share this machine's loopback and names come from
# ATHANOR_HOST; Open MPI 5 cannot do that: exit code 77. TWO_NODES_ISOLATION=auto|namespaces|none picks; the first line
# on standard error says which it is. TWO_NODES_RATE=200mbit limits what a node sends, where each has a network of its own.
set -euo pipefail
self=$(realpath "${BASH_SOURCE[0]}")
source "${self%/*}/open_mpi.sh"
nodes=(node1 node2)
network=10.213.77

# ---- the remote shell: two_nodes.sh --agent NODE COMMAND ..., as mpirun calls it -------------------------------
if [[ ${1:-} == --agent ]]; then
  node=$2
  shift 2
  export TMPDIR=$TWO_NODES_DIR/$node/tmp OMPI_MCA_btl_vader_backing_directory=$TWO_NODES_DIR/$node/shm \
    OMPI_MCA_btl_sm_backing_directory=$TWO_NODES_DIR/$node/shm
  if [[ $TWO_NODES_MODE == namespaces ]]; then
    exec nsenter --target "$(<"$TWO_NODES_DIR/$node/pid")" --net --uts --mount --ipc --wd="$PWD" bash -c "$*"
  fi
  export ATHANOR_HOST=$node
  exec bash -c "$*"
fi

num_ranks=4
if [[ ${1:-} == -np ]]; then
  num_ranks=$2
  shift 2
fi
(($#)) || { sed -n '2,13s/^# \{0,1\}//p' "$self" >&2; exit 2; }

can_isolate() {
  command -v ip nsenter >/dev/null && unshare --net --uts --mount --ipc true 2>/dev/null &&
    unshare --net bash -c 'ip link add name sw0 type bridge && ip link add name cable0 type veth peer name cable1' 2>/dev/null
}

# ---- outside: choose, and enter the namespaces of the head node, with which everything in them ends ------------
if [[ -z ${TWO_NODES_DIR:-} ]]; then
  mode=${TWO_NODES_ISOLATION:-auto}
  if [[ $mode == auto ]]; then can_isolate && mode=namespaces || mode=none; fi
  if [[ $mode == none && -n ${TWO_NODES_RATE:-} ]]; then
    echo "two_nodes.sh: TWO_NODES_RATE=$TWO_NODES_RATE needs a network per node, which this kernel or user does not allow; leave it out" >&2
    exit 2
  fi
  if [[ $mode == none ]] && is_open_mpi_5; then
    echo "two_nodes.sh: not run: Open MPI 5 connects no two nodes over loopback; it needs a network per node (namespaces)" >&2
    exit 77
  fi
  export TWO_NODES_MODE=$mode TWO_NODES_DIR
  TWO_NODES_DIR=$(mktemp -d)
  trap 'rm -rf "$TWO_NODES_DIR"' EXIT
  echo "two nodes: ${nodes[*]}, $([[ $mode == namespaces ]] && echo "namespaces with a bridge between them" ||
    echo "one network, told apart by name and folders")" >&2
  for node in "${nodes[@]}"; do
    mkdir -p "$TWO_NODES_DIR/$node/tmp" "$TWO_NODES_DIR/$node/shm"
    echo "$node slots=$(((num_ranks + 1) / 2))" >>"$TWO_NODES_DIR/hosts"
  done
  enter=()
  [[ $mode == namespaces ]] && enter=(unshare --net --uts --mount --ipc)
  status=0
  "${enter[@]}" "$self" -np "$num_ranks" "$@" || status=$?
  exit $status
fi

# ---- inside: lay the cables, then mpirun ------------------------------------------------------------------------
holders=()
stop_nodes() { ((${#holders[@]})) && kill "${holders[@]}" 2>/dev/null; true; }
trap stop_nodes EXIT

start_node() { # NODE NUMBER
  local place=$TWO_NODES_DIR/$1
  unshare --net --uts --mount --ipc bash -c "hostname $1; mount -t tmpfs tmpfs /dev/shm; mount --bind '$place/tmp' /var/tmp
    ip link set lo up; echo \$\$ >'$place/pid.new'; mv '$place/pid.new' '$place/pid'; exec sleep infinity" &
  holders+=($!)
  while [[ ! -f $place/pid ]]; do sleep 0.02; done
  ip link add name "cable$2" type veth peer name eth0 netns "$(<"$place/pid")"
  ip link set "cable$2" master switch up
  nsenter --target "$(<"$place/pid")" --net bash -c "ip addr add $network.$((10 + $2))/24 dev eth0; ip link set eth0 up"
  [[ -z ${TWO_NODES_RATE:-} ]] || nsenter --target "$(<"$place/pid")" --net tc qdisc add dev eth0 root tbf rate "$TWO_NODES_RATE" burst 256kb latency 50ms
}

if [[ $TWO_NODES_MODE == namespaces ]]; then
  hostname head
  mount --make-rprivate /
  printf '127.0.0.1 localhost\n%s.1 head\n%s.11 node1\n%s.12 node2\n' $network $network $network >"$TWO_NODES_DIR/names"
  mount --bind "$TWO_NODES_DIR/names" /etc/hosts
  ip link set lo up
  ip link add name switch type bridge
  ip addr add $network.1/24 dev switch
  ip link set switch up
  for ((i = 0; i < ${#nodes[@]}; ++i)); do start_node "${nodes[i]}" $((i + 1)); done
  interfaces=$network.0/24
else
  interfaces=127.0.0.0/8
fi

options=(--hostfile "$TWO_NODES_DIR/hosts" -np "$num_ranks" --bind-to none -x TWO_NODES_DIR -x TWO_NODES_MODE
  --mca pml ob1 --mca btl_tcp_if_include $interfaces --mca mpi_yield_when_idle 1)
if is_open_mpi_5; then
  options+=(--map-by slot:OVERSUBSCRIBE --prtemca plm ssh --prtemca plm_ssh_agent "$self --agent"
    --prtemca plm_ssh_no_tree_spawn 1 --prtemca prte_if_include $interfaces --mca btl self,sm,tcp --mca smsc ^cma,knem,xpmem)
else
  options+=(--map-by slot --oversubscribe --mca plm rsh --mca plm_rsh_agent "$self --agent" --mca plm_rsh_no_tree_spawn 1
    --mca oob_tcp_if_include $interfaces --mca btl self,vader,tcp --mca btl_vader_single_copy_mechanism none)
fi
((EUID == 0)) && options+=(--allow-run-as-root)
mpirun "${options[@]}" "$@"
