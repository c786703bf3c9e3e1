# shellcheck shell=bash
# A one-node Ceph for tests: monitor, manager, OSD and MDS on one address, made by hand rather than by cephadm. Needs say.sh.
#
#   DIR/ceph.conf, DIR/<user>.keyring   for clients of the users in lib/ceph/users.list
#   DIR/log/<daemon>.log                what the daemons say
#
# Pools: `rbd` (with the namespace `tenant`), `rbd2`, and the file system `cephfs`. Daemons: mon, mgr, osd, mds.
# Everything runs behind the words of CEPH_INSIDE, which enter the namespaces where the cluster lives (none: here).

CEPH_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")/ceph" && pwd)
readonly CEPH_LIB
CEPH_INSIDE=()
# shellcheck disable=SC2034  # for the script that sources this file
readonly CEPH_DAEMONS=(mon mgr osd mds)
readonly CEPH_READY_S=60

# The locks of the scripts (descriptors 8 and 9) are not for daemons.
ceph_inside() { "${CEPH_INSIDE[@]}" "$@" 8>&- 9>&-; }

# ceph_client DIR PROGRAM ARGUMENT… : ceph, rbd or rados as client.admin of the cluster; they would wait five minutes for a monitor.
ceph_client() { ceph_inside timeout 60 "$2" --conf "$1/ceph.conf" --name client.admin "${@:3}"; }

# ceph_name DAEMON : type and id as Ceph writes them.
ceph_name() {
  case $1 in
    mon) echo mon.a ;;
    mgr) echo mgr.x ;;
    osd) echo osd.0 ;;
    mds) echo mds.a ;;
    *) die "there is no Ceph daemon $1, only ${CEPH_DAEMONS[*]}" ;;
  esac
}

# ceph_pid DIR DAEMON : its pid as the daemon itself sees it; fails when it does not run. No other process has that argument.
ceph_pid() { ceph_inside pgrep -f "^ceph-$2 --conf $1/ceph.conf --id [a-z0-9]$"; }

ceph_start_daemon() {
  local dir=$1 daemon=$2 name
  ceph_pid "$dir" "$daemon" >/dev/null && return
  name=$(ceph_name "$daemon")
  # It goes into the background when it is able to serve.
  quietly ceph_inside "ceph-$daemon" --conf "$dir/ceph.conf" --id "${name#*.}" || {
    tail -n 20 "$dir/log/$name.log" >&2
    die "ceph-$daemon did not start; its log: $dir/log/$name.log"
  }
}

# ceph_start DIR [DAEMON…] : starts what does not run (all of them without names); waits until the cluster serves once it is complete.
ceph_start() {
  local dir=$1 daemon
  shift
  (($#)) || set -- "${CEPH_DAEMONS[@]}"
  for daemon in "$@"; do ceph_start_daemon "$dir" "$daemon"; done
  for daemon in "${CEPH_DAEMONS[@]}"; do ceph_pid "$dir" "$daemon" >/dev/null || return 0; done
  ceph_wait_ready "$dir"
}

# ceph_signal DIR SIGNAL DAEMON…
ceph_signal() {
  local dir=$1 signal=$2 daemon pid
  shift 2
  for daemon in "$@"; do
    pid=$(ceph_pid "$dir" "$daemon") || die "ceph-$daemon of $dir does not run"
    ceph_inside kill "-$signal" "$pid"
  done
}

# ceph_end DIR SIGNAL [DAEMON…] : TERM or KILL to those that run, and waits until they are gone.
ceph_end() {
  local dir=$1 signal=$2 deadline=$((SECONDS + 20)) daemon
  shift 2
  (($#)) || set -- "${CEPH_DAEMONS[@]}"
  for daemon in "$@"; do
    ceph_pid "$dir" "$daemon" >/dev/null || continue
    # It may end by itself between the look and the signal.
    (ceph_signal "$dir" "$signal" "$daemon") 2>/dev/null || true
    # A frozen one would not hear of it.
    (ceph_signal "$dir" CONT "$daemon") 2>/dev/null || true
    while ceph_pid "$dir" "$daemon" >/dev/null; do
      if ((SECONDS >= deadline)); then
        (ceph_signal "$dir" KILL "$daemon") 2>/dev/null || true
        deadline=$((SECONDS + 20))
      fi
      sleep 0.05
    done
  done
}

# HEALTH_OK may come while placement groups still peer, so each pool has to take an object; the MDS says itself when it is active.
ceph_wait_ready() {
  local dir=$1 pool deadline=$((SECONDS + CEPH_READY_S))
  for pool in rbd rbd2 cephfs.meta cephfs.data; do
    ceph_client "$dir" rados --pool "$pool" put .ready /dev/null 2>/dev/null || ceph_not_ready "$dir"
  done
  until ceph_client "$dir" ceph mds stat 2>/dev/null | grep -q 'up:active'; do
    ((SECONDS < deadline)) || ceph_not_ready "$dir"
    sleep 0.2
  done
}

ceph_not_ready() {
  ceph_client "$1" ceph status >&2 || true
  die "the Ceph cluster does not serve; its logs: $1/log"
}

# --- making one ----------------------------------------------------------------------------------------------------

ceph_make_keyrings() {
  local dir=$1 name mon mgr osd mds options
  ceph-authtool --create-keyring "$dir/mon.keyring" --gen-key --name mon. --cap mon 'allow *'
  while IFS='|' read -r name mon mgr osd mds; do
    options=()
    [[ -z ${mon// /} ]] || options+=(--cap mon "$(ceph_trim "$mon")")
    [[ -z ${mgr// /} ]] || options+=(--cap mgr "$(ceph_trim "$mgr")")
    [[ -z ${osd// /} ]] || options+=(--cap osd "$(ceph_trim "$osd")")
    [[ -z ${mds// /} ]] || options+=(--cap mds "$(ceph_trim "$mds")")
    name=$(ceph_trim "$name")
    ceph-authtool --create-keyring "$dir/$name.keyring" --gen-key --name "$name" "${options[@]}"
    # The monitor knows all users from its first moment.
    ceph-authtool "$dir/mon.keyring" --import-keyring "$dir/$name.keyring"
  done < <(sed -e '/^#/d' -e '/^[[:space:]]*$/d' "$CEPH_LIB/users.list")
  cp "$dir/mon.keyring" "$dir/mon.a.keyring"
}

ceph_trim() { sed -e 's/^ *//' -e 's/ *$//' <<<"$1"; }

# ceph_make DIR ADDRESS : files of a new cluster, with its monitor and OSD initialised and all daemons running.
ceph_make() {
  local dir=$1 address=$2 fsid osd conf=$1/ceph.conf
  fsid=$(</proc/sys/kernel/random/uuid)
  osd=$(</proc/sys/kernel/random/uuid)
  mkdir -p "$dir"/{mon,mgr,osd,mds,run,log,crash}
  sed -e "s|@DIR@|$dir|g" -e "s|@ADDRESS@|$address|g" -e "s|@FSID@|$fsid|" "$CEPH_LIB/ceph.conf.in" >"$conf"
  ceph_make_keyrings "$dir"
  monmaptool --create --addv a "[v2:$address:3300,v1:$address:6789]" --fsid "$fsid" "$dir/monmap"
  ceph_inside ceph-mon --conf "$conf" --mkfs --id a --monmap "$dir/monmap" --keyring "$dir/mon.keyring"
  ceph_start "$dir" mon mgr
  ceph_client "$dir" ceph osd new "$osd" 0
  ceph_inside ceph-osd --conf "$conf" --id 0 --mkfs --osd-uuid "$osd"
  ceph_start_daemon "$dir" osd
  ceph_start_daemon "$dir" mds
  # One run of the client for all of them: it takes longer to start than to ask.
  ceph_client "$dir" ceph <<COMMANDS
osd pool create rbd 8
osd pool create rbd2 8
osd pool create cephfs.meta 8
osd pool create cephfs.data 8
osd pool application enable rbd2 rbd
fs new cephfs cephfs.meta cephfs.data
COMMANDS
  ceph_client "$dir" rbd pool init rbd
  ceph_client "$dir" rbd namespace create rbd/tenant
  touch "$dir/.made"
}

# ceph_up DIR ADDRESS : makes the cluster if there is none, starts what does not run and waits until it serves.
ceph_up() {
  local dir=$1 address=$2
  # An admin socket's path has 108 bytes.
  ((${#dir} <= 80)) || die "the path $dir is too long for UNIX sockets; choose one of at most 80 characters"
  if [[ ! -e $dir/.made ]]; then
    ceph_end "$dir" KILL
    ceph_remove "$dir"
    mkdir -p "$dir"
    quietly ceph_make "$dir" "$address" || die "the Ceph cluster in $dir could not be made; its messages are above"
  fi
  ceph_start "$dir"
}

# ceph_remove DIR : the files of a cluster that does not run.
ceph_remove() {
  rm -rf "${1:?}"/{mon,mgr,osd,mds,run,log,crash,ceph.conf,monmap,.made} "${1:?}"/{mon,mon.a,mgr.x,osd.0,mds.a,client.*}.keyring
}
