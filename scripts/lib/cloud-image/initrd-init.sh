#!/bin/sh
# /init of the image's initrd (busybox): loads the disk drivers, mounts the root file system and hands over to systemd.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
  [ ! -f "/modules/$module.ko" ] || insmod "/modules/$module.ko" 2>/dev/null
done </modules/order
tries=0
until root=$(findfs LABEL=debian-root 2>/dev/null); do
  tries=$((tries + 1))
  if [ "$tries" -gt 200 ]; then
    echo 'initrd: no disk with a file system labelled debian-root; a shell for you:'
    exec sh
  fi
  sleep 0.05
done
mount -t ext4 -o ro "$root" /root
mount --move /dev /root/dev
mount --move /sys /root/sys
mount --move /proc /root/proc
exec switch_root /root /sbin/init
