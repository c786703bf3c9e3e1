# shellcheck shell=bash
# The namespace of a rig: one net, mount and pid namespace that holds every server and host of it. Needs say.sh, init-pid.sh.
#
#   DIR/.init   pid and start time of the namespace's PID 1 (the start time tells a reused pid apart)
#
# Ending PID 1 ends everything inside, mounts and network devices included: there is nothing else to clean up.

readonly RIG_GATEWAY=10.99.0.1
readonly RIG_MAX_HOSTS=4

require_init() { init_pid "$1" || die "the rig $1 is not up; start it with: $SCRIPT up $1"; }

# inside DIR COMMAND… : runs a command in the rig's namespaces, with a clean environment and without our locks.
inside() {
  local pid
  pid=$(require_init "$1")
  shift
  nsenter --target "$pid" --net --mount --pid -- env -i PATH="$PATH" LC_ALL=C HOME=/root "$@" 8>&- 9>&-
}

# inside_daemon DIR LOG COMMAND… : starts one that stays; what it prints goes to LOG. Nothing of it stays out here.
inside_daemon() {
  local dir=$1 log=$2
  shift 2
  # shellcheck disable=SC2016  # expands in the inner shell
  inside "$dir" bash -c 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &' start-daemon "$log" "$@" </dev/null
}

# inside_net DIR COMMAND… : only the network of the rig; the command stays a child of ours, with our terminal and pid.
inside_net() {
  local pid
  pid=$(require_init "$1")
  shift
  nsenter --target "$pid" --net -- "$@"
}

# Runs as PID 1 of the new namespaces. LIFELINE is a descriptor whose end of file ends the rig (empty: none).
namespace_init() {
  local dir=$1 lifeline=$2 outer number
  # /proc still belongs to the outer pid namespace here, so "self" is our pid as the outside sees it.
  read -r outer _ </proc/self/stat
  trap 'exit 0' TERM
  mount -t proc -o nosuid,nodev,noexec proc /proc
  # Sockets and pid files of the servers; the host's own daemons are out of sight.
  mount -t tmpfs -o mode=0755,size=64m tmpfs /run
  mkdir -m 1777 /run/lock
  ip link set lo up
  ip link add br0 type bridge
  ip address add "$RIG_GATEWAY/24" dev br0
  ip link set br0 up
  for ((number = 0; number < RIG_MAX_HOSTS; number++)); do
    ip tuntap add dev "tap$number" mode tap
    ip link set "tap$number" master br0 up
  done
  # Rules of `servers DIR drop` go into this table.
  nft 'table inet rig { set dropped { type inet_service; flags interval; }; chain input { type filter hook input priority 0; tcp dport @dropped drop; udp dport @dropped drop; }; }'
  # A client outside this process keeps the other end open for as long as it lives.
  if [[ -n $lifeline ]]; then (
    read -r _ <&"$lifeline" || true
    kill -TERM 1
  ) & fi
  printf '%s %s\n' "$outer" "$(start_time_of 1)" >"$dir/.init.new"
  mv "$dir/.init.new" "$dir/.init"
  # bash collects every child that is handed to it, also those it did not start.
  while :; do
    sleep 86400 &
    wait
  done
}

# start_namespace DIR LIFELINE
start_namespace() {
  local dir=$1 lifeline=$2 log=$1/namespace.log deadline=$((SECONDS + 20))
  rm -f "$dir/.init" "$dir/.init.new"
  setsid unshare --net --mount --pid --fork --propagation private \
    bash "$HERE/rig" __init "$dir" "$lifeline" </dev/null >"$log" 2>&1 8>&- 9>&- &
  until [[ -s $dir/.init ]]; do
    if ((SECONDS >= deadline)) || ! kill -0 $! 2>/dev/null; then
      cat "$log" >&2
      die "cannot make the namespaces; this needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, and /dev/net/tun (in a container: --privileged)"
    fi
    sleep 0.02
  done
}
