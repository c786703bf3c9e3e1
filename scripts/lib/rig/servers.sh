# shellcheck shell=bash
# The storage servers of a rig: programs of this machine in the rig's network, at 10.99.0.1. Needs say.sh, namespace.sh.
#
#   DIR/nfs/export/<name>    what the NFS server exports; DIR/nfs/exports.list says how (lib/rig/nfs-exports.list)
#   DIR/iscsi/<target>-<lun>.img   what the iSCSI server serves, by DIR/iscsi/targets.list (lib/rig/iscsi-targets.list)

# shellcheck disable=SC2034  # for the script that sources this file
readonly SERVER_NAMES=(nfs iscsi)
readonly SERVER_TIMEOUT_S=20

port_of() {
  case $1 in
    nfs) echo 2049 ;;
    iscsi) echo 3260 ;;
  esac
}

program_of() {
  case $1 in
    nfs) echo ganesha.nfsd ;;
    iscsi) echo tgtd ;;
  esac
}

# server_pid DIR NAME : pid inside the namespace; fails when it does not run. No other process there has its name.
server_pid() { inside "$1" pgrep -x "$(program_of "$2")"; }

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

# --- commands on one server ----------------------------------------------------------------------------------------

# signal_server DIR NAME SIGNAL
signal_server() {
  local pid
  pid=$(server_pid "$1" "$2") || die "the $2 server does not run; start it with: $SCRIPT servers $1 start $2"
  inside "$1" kill "-$3" "$pid"
}

end_server() {
  local dir=$1 name=$2 signal=$3 deadline=$((SECONDS + SERVER_TIMEOUT_S))
  server_pid "$dir" "$name" >/dev/null || return 0
  # A frozen one would not hear of it.
  signal_server "$dir" "$name" "$signal"
  (signal_server "$dir" "$name" CONT) 2>/dev/null || true
  while server_pid "$dir" "$name" >/dev/null; do
    if ((SECONDS >= deadline)); then
      signal_server "$dir" "$name" KILL
      deadline=$((SECONDS + SERVER_TIMEOUT_S))
    fi
    sleep 0.05
  done
}

# server_command DIR VERB NAME
server_command() {
  local dir=$1 verb=$2 name=$3
  case $verb in
    start) server_pid "$dir" "$name" >/dev/null || "start_$name" "$dir" ;;
    stop) end_server "$dir" "$name" TERM ;;
    kill) end_server "$dir" "$name" KILL ;;
    freeze) signal_server "$dir" "$name" STOP ;;
    thaw) signal_server "$dir" "$name" CONT ;;
    drop) inside "$dir" nft add element inet rig dropped "{ $(port_of "$name") }" ;;
    # Deleting an element that is not there is an error, flushing none is not.
    pass) inside "$dir" nft "add element inet rig dropped { $(port_of "$name") }; delete element inet rig dropped { $(port_of "$name") }" ;;
    *) die "servers cannot $verb; they start, stop, kill, freeze, thaw, drop and pass" ;;
  esac
}
