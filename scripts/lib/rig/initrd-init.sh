#!/bin/sh
# /init of the host's initrd (busybox): loads the virtio drivers, mounts the root disk and hands over to systemd.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
  insmod "/modules/$module.ko"
done </modules/order
tries=0
until [ -b /dev/vda ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt 200 ]; then
    echo 'initrd: no disk /dev/vda'
    exec sh
  fi
  sleep 0.05
done
mount -t ext4 -o rw,noatime /dev/vda /root
mount --move /dev /root/dev
mount --move /sys /root/sys
mount --move /proc /root/proc
exec switch_root /root /sbin/init
