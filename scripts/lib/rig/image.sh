# shellcheck shell=bash
# The image of the rig's hosts. Needs say.sh, packages.sh, namespace.sh, host.sh and NODE.
#
# A directory of the cache, named after the hash of everything it is made from:
#   host.raw, vmlinuz, initrd.gz   root disk, kernel, initrd
#   ready.qcow2, ready.state       disk and memory of a host 0 that has booted and warmed up: starts in 2 s, not 15
#   id_ed25519(.pub)               root's key to every host
#   manifest.txt                   the Debian packages in it

readonly RIG_RECIPE=$HERE/lib/rig
readonly RIG_SUITE=bookworm
readonly HOST_DISK=8G

rig_entries_of() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$RIG_RECIPE/$1"; }

# The saved state fits one version of QEMU and one speed of the TSC, and Node is part of the image. Kernel and Debian packages may move on
# under an image, as they do under a host that nobody upgrades.
image_hash() {
  {
    cat "$RIG_RECIPE"/{image.sh,host.sh,initrd-init.sh,initrd-modules.list,masked-units.list,rig-identity.sh,rig-identity.service} \
      "$PACKAGES_DIR"/{runtime,rig-host}.list
    "$NODE" --version
    qemu-system-x86_64 --version
    grep -m 1 '^model name' /proc/cpuinfo
  } | sha256sum | cut -d' ' -f1
}

# The machine's own package sources, so that a local mirror or snapshot is used for the image too.
rig_apt_sources() {
  local codename file found=0
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  if [[ $codename == "$RIG_SUITE" ]]; then
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
      if [[ -s $file ]] && grep -Eq '^(deb |Types:)' "$file"; then echo "$file" && found=1; fi
    done
  fi
  [[ $found == 1 ]] || echo "deb http://deb.debian.org/debian $RIG_SUITE main"
}

unpack_debian() {
  local tree=$1 sources includes
  mapfile -t sources < <(rig_apt_sources)
  includes=$(packages_of runtime rig-host | paste -sd,)
  say "unpacking Debian $RIG_SUITE with the packages of a hypervisor host"
  # Its own mount namespace: whatever mmdebstrap mounts is gone with it, even if it is killed.
  unshare --mount --propagation private mmdebstrap --quiet --mode=root --variant=minbase --format=directory \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --include="$includes" "$RIG_SUITE" "$tree" "${sources[@]}" >&2 ||
    die "mmdebstrap failed; its messages are above (is the Debian mirror of /etc/apt reachable?)"
}

# Unpacked rather than installed: that would pull in initramfs-tools and build an initrd in minutes.
unpack_kernel() {
  local tree=$1 work=$2 out=$3 package version
  apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || apt_update
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [[ -n $package ]] || die "apt knows no kernel for linux-image-cloud-amd64; check /etc/apt/sources.list*"
  say "adding the kernel $package"
  (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) ||
    die "cannot download $package; try: apt-get update"
  dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -x -C "$tree" --keep-directory-symlink ./lib/modules ./boot
  version=$(ls "$tree/lib/modules")
  chroot "$tree" depmod "$version"
  mv "$tree/boot/vmlinuz-$version" "$out/vmlinuz"
  find "$tree/boot" -mindepth 1 -delete
}

make_host_initrd() {
  local tree=$1 initrd=$2 out=$3 applet module file
  mkdir -p "$initrd"/{bin,proc,sys,dev,modules,root}
  cp /bin/busybox "$initrd/bin/"
  for applet in sh mount insmod switch_root sleep; do ln -s busybox "$initrd/bin/$applet"; done
  install -m 0755 "$RIG_RECIPE/initrd-init.sh" "$initrd/init"
  rig_entries_of initrd-modules.list >"$initrd/modules/order"
  while read -r module; do
    file=$(find "$tree/lib/modules" -name "$module.ko" -print -quit)
    [[ -n $file ]] || die "the kernel has no module $module; update $RIG_RECIPE/initrd-modules.list"
    cp "$file" "$initrd/modules/"
  done <"$initrd/modules/order"
  (cd "$initrd" && find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -1n) >"$out/initrd.gz"
}

configure_host() {
  local tree=$1 out=$2 unit
  ssh-keygen -q -t ed25519 -N '' -C rig -f "$out/id_ed25519"
  install -d -m 0700 "$tree/root/.ssh"
  install -m 0600 "$out/id_ed25519.pub" "$tree/root/.ssh/authorized_keys"
  rm -f "$tree"/etc/ssh/ssh_host_*
  ssh-keygen -q -t ed25519 -N '' -C rig -f "$tree/etc/ssh/ssh_host_ed25519_key"
  # No PAM: a session of logind per command costs more than the command. MaxSessions: tests run commands side by side.
  printf 'PermitRootLogin prohibit-password\nUseDNS no\nUsePAM no\nMaxSessions 100\n' >"$tree/etc/ssh/sshd_config.d/rig.conf"
  # No name server, and the host knows its own name: otherwise libvirt waits 5 s for DNS at every start of a guest.
  : >"$tree/etc/resolv.conf"
  printf '127.0.0.1 localhost\n127.0.1.1 rig0 rig1 rig2 rig3\n10.99.0.1 servers\n' >"$tree/etc/hosts"
  echo rig >"$tree/etc/hostname"
  echo '/dev/vda / ext4 rw,noatime 0 0' >"$tree/etc/fstab"
  # Made at the first boot.
  : >"$tree/etc/machine-id"
  install -m 0755 "$RIG_RECIPE/rig-identity.sh" "$tree/usr/local/sbin/rig-identity"
  install -m 0644 "$RIG_RECIPE/rig-identity.service" "$tree/etc/systemd/system/"
  mkdir -p "$tree/etc/systemd/system/sysinit.target.wants"
  ln -s ../rig-identity.service "$tree/etc/systemd/system/sysinit.target.wants/"
  while read -r unit; do ln -sf /dev/null "$tree/etc/systemd/system/$unit"; done < <(rig_entries_of masked-units.list)
  # "Install one on PATH": the way of the launcher for hosts without a checkout.
  install -m 0755 "$(readlink -f "$NODE")" "$tree/usr/local/bin/node"
  rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin
}

# Boots the image once, lets everything slow happen (first boot, libvirt's probes, module loads, pages of the programs)
# and saves disk and memory. As a migration to a file: the file is then shared by every start, which a snapshot in the
# disk could not be.
save_ready_state() {
  local work=$1 out=$2 dir=$1/warm-up started=$SECONDS
  mkdir "$dir"
  ln -s "$out" "$dir/image"
  start_namespace "$dir" ''
  start_qemu "$dir" 0 "$out/host.raw"
  finish_host "$dir" 0
  say "first boot took $((SECONDS - started)) s; warming up"
  host_ssh "$dir" 0 sh -s >&2 <<'GUEST' || die "the host did not warm up; the messages are above"
set -eu
virsh -q capabilities | grep -q "type='kvm'"
modprobe -a nfs nfsv3 nfsv4 iscsi_tcp ceph rbd dm_mod dm_thin_pool dm_snapshot loop isofs vhost_net tun bridge
node --version
qemu-img --version
systemctl start iscsid.service
iscsiadm -m session || [ $? -eq 21 ]
vgs
genisoimage -version >/dev/null 2>&1
sync
GUEST
  # Its end in the host would wait for ever for a client that is gone.
  inside_net "$dir" ssh -F "$dir/host0/ssh_config" -O exit rig0 2>/dev/null
  # Not stopped before: a state that was saved from a stopped machine would stay stopped.
  qmp "$dir" 0 '{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":10000000000}}' \
    "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:cat >'$out/ready.state'\"}}" >/dev/null
  until [[ $(qmp "$dir" 0 '{"execute":"query-migrate"}') == *'"completed"'* ]]; do
    ((SECONDS - started < HOST_START_TIMEOUT_S)) || die "the host's state could not be saved"
    sleep 0.2
  done
  qmp "$dir" 0 '{"execute":"quit"}' >/dev/null
  end_init "$dir"
  mv "$dir/host0/disk.qcow2" "$out/ready.qcow2"
  # Beside it in the cache, wherever that is.
  qemu-img rebase -q -u -f qcow2 -F raw -b host.raw "$out/ready.qcow2"
  say "a started host is saved, $(du -m "$out/ready.state" | cut -f1) MB"
}

# qmp DIR N COMMAND… : answers of QEMU's monitor, one line each.
qmp() {
  local dir=$1 number=$2
  shift 2
  "$NODE" "$RIG_RECIPE/qmp.ts" "$dir/host$number/qmp.sock" "$@"
}

# build_image TARGET
build_image() {
  local target=$1 work out
  # Left behind by builds that were killed; none runs now, we hold the lock.
  for work in "$(dirname "$target")"/build.*; do
    [[ ! -d $work ]] || discard_build "$work"
  done
  work=$(mktemp -d "$(dirname "$target")/build.XXXXXX")
  # QEMU and ssh go through it, nobody else.
  chmod 0700 "$work"
  # shellcheck disable=SC2064  # the directory is meant as it is now
  trap "discard_build '$work'" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  out=$work/out
  mkdir "$work/tree" "$out"
  unpack_debian "$work/tree"
  unpack_kernel "$work/tree" "$work" "$out"
  make_host_initrd "$work/tree" "$work/initrd" "$out"
  configure_host "$work/tree" "$out"
  dpkg-query --admindir="$work/tree/var/lib/dpkg" -W -f '${Package} ${Version}\n' >"$out/manifest.txt"
  say "making the disk, $(du -sm "$work/tree" | cut -f1) MB of $HOST_DISK"
  mke2fs -q -t ext4 -O ^has_journal -m 0 -E lazy_itable_init=1,root_owner=0:0 -L rig -d "$work/tree" "$out/host.raw" "$HOST_DISK"
  save_ready_state "$work" "$out"
  rm -rf "$target"
  mv "$out" "$target"
  discard_build "$work"
  trap - EXIT INT TERM
}

discard_build() {
  end_init "$1/warm-up"
  rm -rf --one-file-system "$1"
}

# image_directory : the image's directory, built first where it is missing. Nobody else builds meanwhile.
image_directory() {
  local cache=${LIMIQUANTIX_CACHE:-/var/cache/limiquantix}/rig target
  mkdir -p "$cache" || die "cannot make $cache; name another directory in LIMIQUANTIX_CACHE"
  target=$cache/$(image_hash)
  exec 8>"$cache/.lock"
  flock -n 8 || { say "waiting for another build" && flock 8; }
  if [[ ! -s $target/ready.qcow2 ]]; then
    say "building the rig's host image (once per recipe, about two minutes)"
    build_image "$target" >&2
    say "built $target in $SECONDS s"
  fi
  exec 8>&-
  echo "$target"
}
