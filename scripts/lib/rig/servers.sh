# shellcheck shell=bash
# The storage servers of a rig: programs of this machine in the rig's network, at 10.99.0.1. Needs say.sh, namespace.sh, ceph.sh.
#
#   DIR/nfs/export/<name>    what the NFS server exports; DIR/nfs/exports.list says how (lib/rig/nfs-exports.list)
#   DIR/iscsi/<target>-<lun>.img   what the iSCSI server serves, by DIR/iscsi/targets.list (lib/rig/iscsi-targets.list)
#   DIR/ceph/                a cluster of one node (lib/ceph.sh), made when it is started for the first time

# shellcheck disable=SC2034  # for the script that sources this file
readonly SERVER_NAMES=(nfs iscsi ceph)
# What `up` starts. Ceph takes 15 s and 400 MB, so it is for those who ask for it.
# shellcheck disable=SC2034
readonly INITIAL_SERVERS=(nfs iscsi)
# Parts of a server, for the same commands.
# shellcheck disable=SC2034
readonly SERVER_PARTS=("${CEPH_DAEMONS[@]/#/ceph-}")
readonly SERVER_TIMEOUT_S=20

ports_of() {
  case $1 in
    nfs) echo 2049 ;;
    iscsi) echo 3260 ;;
    ceph) echo 3300, 6789, 6800-7300 ;;
    ceph-mon) echo 3300, 6789 ;;
    *) die "$1 has no ports of its own; drop and pass: nfs, iscsi, ceph, ceph-mon" ;;
  esac
}

program_of() {
  case $1 in
    nfs) echo ganesha.nfsd ;;
    iscsi) echo tgtd ;;
  esac
}

# server_pids DIR NAME : pids inside the namespace; fails when nothing of it runs. No other process there has its name.
server_pids() {
  case $2 in
    ceph*) ceph_pids "$@" ;;
    *) inside "$1" pgrep -x "$(program_of "$2")" ;;
  esac
}

# --- NFS -----------------------------------------------------------------------------------------------------------

# ganesha_exports LIST EXPORTS_DIR : the EXPORT blocks. Each has an id of its own for its file system, as exports of
# different disks have: the kernel would otherwise share one mount's options among all.
ganesha_exports() {
  local name directory access squash id=0
  while read -r name directory access squash; do
    id=$((id + 1))
    mkdir -p "$2/$directory"
    printf 'EXPORT { Export_Id = %d; Filesystem_Id = %d.%d; Path = %s; Pseudo = /%s; Access_Type = %s; Squash = %s; SecType = sys; Protocols = 3, 4; Transports = TCP; FSAL { Name = VFS; } }\n' \
      "$id" "$((100 + id))" "$((100 + id))" "$2/$directory" "$name" "$access" "$squash"
  done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1")
}

start_nfs() {
  local dir=$1 nfs=$1/nfs deadline=$((SECONDS + SERVER_TIMEOUT_S))
  mkdir -p "$nfs/state" "$nfs/export"
  [[ -e $nfs/exports.list ]] || cp "$HERE/lib/rig/nfs-exports.list" "$nfs/exports.list"
  {
    sed "s|@STATE@|$nfs/state|" "$HERE/lib/rig/ganesha.conf.in"
    ganesha_exports "$nfs/exports.list" "$nfs/export"
  } >"$nfs/ganesha.conf"
  # NFSv3 clients ask it for the port of mountd.
  inside "$dir" pgrep -x rpcbind >/dev/null || inside "$dir" rpcbind -w
  : >"$nfs/log"
  inside_daemon "$dir" "$nfs/output" ganesha.nfsd -F -f "$nfs/ganesha.conf" -L "$nfs/log" -p /run/ganesha.pid
  until grep -q 'NFS SERVER INITIALIZED' "$nfs/log"; do
    ((SECONDS < deadline)) || {
      tail -n 20 "$nfs/log" "$nfs/output" >&2
      die "the NFS server did not start; its log: $nfs/log"
    }
    sleep 0.05
  done
}

# --- iSCSI ---------------------------------------------------------------------------------------------------------

tgt_admin() { inside "$1" tgtadm --lld iscsi "${@:2}"; }

start_iscsi() {
  local dir=$1 iscsi=$1/iscsi deadline=$((SECONDS + SERVER_TIMEOUT_S)) iqn sizes user password size tid=0 lun image
  mkdir -p "$iscsi"
  [[ -e $iscsi/targets.list ]] || cp "$HERE/lib/rig/iscsi-targets.list" "$iscsi/targets.list"
  inside_daemon "$dir" "$iscsi/log" tgtd --foreground
  until tgt_admin "$dir" --op show --mode target >/dev/null 2>&1; do
    ((SECONDS < deadline)) || {
      tail -n 20 "$iscsi/log" >&2
      die "the iSCSI server did not start; its log: $iscsi/log"
    }
    sleep 0.05
  done
  while read -r iqn sizes user password; do
    tid=$((tid + 1)) lun=0
    tgt_admin "$dir" --op new --mode target --tid "$tid" --targetname "$iqn"
    for size in ${sizes//,/ }; do
      lun=$((lun + 1)) image=$iscsi/${iqn##*:}-$lun.img
      [[ -e $image ]] || truncate -s "${size}M" "$image"
      tgt_admin "$dir" --op new --mode logicalunit --tid "$tid" --lun "$lun" --backing-store "$image"
    done
    if [[ -n $user ]]; then
      # A second target may have the same user.
      tgt_admin "$dir" --op new --mode account --user "$user" --password "$password" 2>/dev/null || true
      tgt_admin "$dir" --op bind --mode account --tid "$tid" --user "$user"
    fi
    tgt_admin "$dir" --op bind --mode target --tid "$tid" --initiator-address ALL
  done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$iscsi/targets.list")
}

# --- Ceph ----------------------------------------------------------------------------------------------------------

# ceph_daemons NAME : those of the server or part.
ceph_daemons() { if [[ $1 == ceph ]]; then printf '%s\n' "${CEPH_DAEMONS[@]}"; else echo "${1#ceph-}"; fi; }

ceph_pids() {
  local dir=$1 daemon found=1
  CEPH_INSIDE=(inside "$dir")
  for daemon in $(ceph_daemons "$2"); do ceph_pid "$dir/ceph" "$daemon" && found=0; done
  return "$found"
}

start_ceph() {
  local dir=$1 name=$2
  CEPH_INSIDE=(inside "$dir")
  if [[ $name == ceph ]]; then
    ceph_up "$dir/ceph" "$RIG_GATEWAY"
    touch "$dir/ceph/.wanted"
  else
    [[ -e $dir/ceph/.made ]] || die "there is no Ceph cluster; make it with: $SCRIPT servers $dir start ceph"
    ceph_start "$dir/ceph" "${name#ceph-}"
  fi
}

# --- commands on one server ----------------------------------------------------------------------------------------

# signal_server DIR NAME SIGNAL
signal_server() {
  local pids
  mapfile -t pids < <(server_pids "$1" "$2")
  ((${#pids[@]})) || die "the $2 server does not run; start it with: $SCRIPT servers $1 start $2"
  inside "$1" kill "-$3" "${pids[@]}"
}

# start_server DIR NAME : does nothing for what runs.
start_server() {
  case $2 in
    ceph*) start_ceph "$@" ;;
    *) server_pids "$@" >/dev/null || "start_$2" "$1" ;;
  esac
}

pass_server() {
  local ports
  ports=$(ports_of "$2")
  # Deleting an element that is not there is an error, flushing none is not.
  inside "$1" nft "add element inet rig dropped { $ports }; delete element inet rig dropped { $ports }"
}

# heal_server DIR NAME : reachable, running and answering, whatever was done to it. A Ceph that nobody started, or that was
# asked to end, stays away.
heal_server() {
  pass_server "$@"
  [[ $2 != ceph || -e $1/ceph/.wanted ]] || return 0
  (signal_server "$@" CONT) 2>/dev/null || true
  [[ $2 == ceph && $(server_pids "$@" | wc -l) == "${#CEPH_DAEMONS[@]}" ]] || start_server "$@"
}

end_server() {
  local dir=$1 name=$2 signal=$3 deadline=$((SECONDS + SERVER_TIMEOUT_S))
  server_pids "$dir" "$name" >/dev/null || return 0
  # It may end by itself between the look and the signal.
  (signal_server "$dir" "$name" "$signal") 2>/dev/null || true
  # A frozen one would not hear of it.
  (signal_server "$dir" "$name" CONT) 2>/dev/null || true
  while server_pids "$dir" "$name" >/dev/null; do
    if ((SECONDS >= deadline)); then
      (signal_server "$dir" "$name" KILL) 2>/dev/null || true
      deadline=$((SECONDS + SERVER_TIMEOUT_S))
    fi
    sleep 0.05
  done
}

# server_command DIR VERB NAME
server_command() {
  local dir=$1 verb=$2 name=$3
  case $verb in
    start) start_server "$dir" "$name" ;;
    stop)
      [[ $name != ceph ]] || rm -f "$dir/ceph/.wanted"
      end_server "$dir" "$name" TERM
      ;;
    kill) end_server "$dir" "$name" KILL ;;
    freeze) signal_server "$dir" "$name" STOP ;;
    thaw) signal_server "$dir" "$name" CONT ;;
    drop) inside "$dir" nft add element inet rig dropped "{ $(ports_of "$name") }" ;;
    pass) pass_server "$dir" "$name" ;;
    heal) heal_server "$dir" "$name" ;;
    *) die "servers cannot $verb; they start, stop, kill, freeze, thaw, drop, pass and heal" ;;
  esac
}
