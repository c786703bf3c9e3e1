# The node agent as a container image, for hosts that run it beside libvirt instead of as a systemd unit.
#
# Build (in the checkout):
#   docker build -t limiquantix-node .        or:  buildah build -t limiquantix-node .
#   --build-arg BASE=…          another Debian 12 base image
#
# Run. The agent manages the host, so the host's libvirt, its pools and its network are handed in:
#   docker run -d --name limiquantix-node --restart always --init --network host --pid host --cap-add SYS_ADMIN \
#     --security-opt apparmor=unconfined \
#     -v /etc/limiquantix:/etc/limiquantix:ro \
#     -v /run/libvirt:/run/libvirt \
#     -v /dev:/dev \
#     -v /var/lib/limiquantix:/var/lib/limiquantix:rshared \
#     limiquantix-node
#
#   --network host     guests' consoles and the addresses that the agent reports are the host's.
#   --pid host         lets the agent tell whether a process that it left behind still runs.
#   SYS_ADMIN          mounting pools; leave it out (and the agent says so) when all pools are plain directories.
#   /run/libvirt       the sockets of libvirtd or virtqemud. libvirt and QEMU stay on the host.
#   /var/lib/limiquantix   state, images and the mount points of pools, under the same path inside and outside: paths
#                      in domain definitions are read by QEMU on the host. `rshared` makes mounts travel both ways:
#                      without it QEMU does not see a pool that the agent mounts. The host's directory must lie on a
#                      shared mount (systemd makes / shared; otherwise: mount --make-rshared /).
#   More pools         every local pool directory needs a -v of its own, again with the same path on both sides.
#
# With an image built elsewhere than on the host keep libvirt-clients out: nothing here calls virsh.

ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates npm \
 && rm -rf /var/lib/apt/lists/*
# Behind a proxy that signs TLS itself: the bundle to trust, as a path inside the build container.
ARG NODE_EXTRA_CA_CERTS=
WORKDIR /build
# The packages come in a layer of their own, which stays cached until they change.
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY . .
# npm installed Node 24 for this architecture as a package: it makes the bundle, and goes into the image as one file.
RUN node_modules/node-linux-*/bin/node scripts/build.ts

FROM ${BASE}
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates qemu-utils qemu-block-extra genisoimage bubblewrap gpgv xz-utils zstd bzip2 util-linux nfs-common procps \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/node_modules/node-linux-*/bin/node /usr/local/bin/node
COPY --from=build /build/dist /opt/limiquantix-node/dist
COPY --from=build /build/bin /opt/limiquantix-node/bin
RUN ln -s /opt/limiquantix-node/bin/limiquantix-node /usr/local/bin/limiquantix-node
# No USER: mounts and files of QEMU's user need root. No VOLUME: an anonymous one would hide forgotten -v options.
EXPOSE 9090 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["limiquantix-node"]
CMD ["serve", "--config", "/etc/limiquantix/node.yaml"]
