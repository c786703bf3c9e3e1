# shellcheck shell=bash
# Hosts of a rig: QEMU guests in its namespace. Needs say.sh, namespace.sh and NODE.
#
#   DIR/image            link to the image they boot from
#   DIR/hostN/disk.qcow2, data1.raw, data2.raw   root disk and two empty disks
#   DIR/hostN/console.log, qemu.log, ssh_config, grpc.sock, http.sock

readonly HOST_MEMORY_MB=3072
readonly HOST_DATA_MB=4096
readonly HOST_START_TIMEOUT_S=180
# The TSC is told to be reliable, or a busy machine makes the kernel change to the HPET, where every look at the clock
# is a device access that stops the other processor.
readonly HOST_KERNEL_ARGS='quiet loglevel=4 mitigations=off audit=0 rcupdate.rcu_expedited=1 net.ifnames=0 systemd.show_status=0 clocksource=tsc tsc=reliable'

address_of() { echo "10.99.0.$(($1 + 2))"; }

# start_qemu DIR N DISK [STATE] : DISK is what the root disk is based on; with STATE the host goes on from there.
start_qemu() {
  local dir=$1 number=$2 disk=$3 state=${4:-} run=$1/host$2 data incoming=()
  mkdir -p "$run"
  qemu-img create -q -f qcow2 -F "${disk##*.}" -b "$disk" "$run/disk.qcow2"
  for data in data1 data2; do truncate -s "${HOST_DATA_MB}M" "$run/$data.raw"; done
  [[ -z $state ]] || incoming=(-incoming "exec:cat '$state'")
  # Emulation on every machine: a test then means the same everywhere. The devices are those that can be migrated,
  # and a saved state fits only the very same ones.
  inside "$dir" qemu-system-x86_64 -name "rig$number" -machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max -smp 1 \
    -m "$HOST_MEMORY_MB" -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$dir/image/vmlinuz" -initrd "$dir/image/initrd.gz" \
    -append "root=/dev/vda rw console=ttyS0 $HOST_KERNEL_ARGS systemd.hostname=rig$number rig.host=$number" \
    -drive "file=$run/disk.qcow2,format=qcow2,if=none,id=root,cache=unsafe,discard=unmap" -device virtio-blk-pci,drive=root,serial=root \
    -drive "file=$run/data1.raw,format=raw,if=none,id=data1,cache=unsafe,discard=unmap" -device virtio-blk-pci,drive=data1,serial=data1 \
    -drive "file=$run/data2.raw,format=raw,if=none,id=data2,cache=unsafe,discard=unmap" -device virtio-blk-pci,drive=data2,serial=data2 \
    -netdev "tap,id=net0,ifname=tap$number,script=no,downscript=no" \
    -device "virtio-net-pci,netdev=net0,romfile=,mac=52:54:00:99:00:0$number" \
    -object rng-random,filename=/dev/urandom,id=rng0 -device virtio-rng-pci,rng=rng0 \
    -serial "file:$run/console.log" -qmp "unix:$run/qmp.sock,server=on,wait=off" \
    -pidfile "/run/host$number.pid" -daemonize "${incoming[@]}" </dev/null >"$run/qemu.log" 2>&1 || {
    cat "$run/qemu.log" >&2
    die "QEMU did not start; its messages are in $run/qemu.log"
  }
}

# write_ssh_config DIR N : one connection is kept open (the master), so that a command costs milliseconds.
write_ssh_config() {
  local dir=$1 number=$2
  cat >"$dir/host$number/ssh_config" <<CONFIG
Host rig$number
  HostName $(address_of "$number")
  User root
  IdentityFile $dir/image/id_ed25519
  IdentitiesOnly yes
  BatchMode yes
  LogLevel ERROR
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  ConnectTimeout 5
  ControlPath $dir/host$number/ssh.sock
CONFIG
}

# host_ssh DIR N COMMAND… : like ssh; the exit code is the command's, 255 when the host cannot be reached.
host_ssh() {
  local dir=$1 number=$2
  shift 2
  inside_net "$dir" ssh -F "$dir/host$number/ssh_config" "rig$number" "$@"
}

# host_alive DIR N : whether its QEMU runs.
host_alive() {
  # shellcheck disable=SC2016  # expands in the inner shell
  inside "$1" bash -c 'kill -0 "$(<"$1")"' host-alive "/run/host$2.pid" 2>/dev/null
}

# wait_for_ssh DIR N : until the host lets us in; leaves the master connection behind.
wait_for_ssh() {
  local dir=$1 number=$2 run=$1/host$2 deadline=$((SECONDS + HOST_START_TIMEOUT_S))
  write_ssh_config "$dir" "$number"
  until inside "$dir" timeout 30 ssh -F "$run/ssh_config" -o ControlMaster=yes -o ControlPersist=yes \
    -f -N "rig$number" </dev/null >>"$run/ssh.log" 2>&1; do
    if ((SECONDS >= deadline)) || ! host_alive "$dir" "$number"; then
      tail -n 30 "$run/console.log" "$run/qemu.log" "$run/ssh.log" >&2
      die "host $number does not answer; its console is $run/console.log"
    fi
    sleep 0.1
  done
}

# start_relays DIR N : the agent's two ports as UNIX sockets, which can be reached from outside the namespace.
start_relays() {
  local dir=$1 run=$1/host$2 address
  address=$(address_of "$2")
  inside_daemon "$dir" "$run/relay.log" "$NODE" "$HERE/lib/rig/relay.ts" \
    "unix:$run/grpc.sock" "tcp:$address:9090" "unix:$run/http.sock" "tcp:$address:8080"
}

# start_host DIR N : boots it, or lets it go on from the image's saved state where that is for this host.
start_host() {
  local dir=$1 number=$2 image
  image=$(readlink -f "$1/image")
  if [[ $number == 0 ]]; then
    start_qemu "$dir" 0 "$image/ready.qcow2" "$image/ready.state"
  else
    start_qemu "$dir" "$number" "$image/host.raw"
  fi
}

# finish_host DIR N : waits for a started host and puts its clock right (a saved state has that of its making).
finish_host() {
  local dir=$1 number=$2 state
  wait_for_ssh "$dir" "$number"
  host_ssh "$dir" "$number" "date --set=@$(date +%s.%N) >/dev/null" </dev/null
  state=$(host_ssh "$dir" "$number" systemctl is-system-running --wait </dev/null) || {
    host_ssh "$dir" "$number" systemctl --failed --no-legend </dev/null >&2 || true
    die "systemd of host $number says $state; look around with: $SCRIPT ssh $dir $number"
  }
  start_relays "$dir" "$number"
}
