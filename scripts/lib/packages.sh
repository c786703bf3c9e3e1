# shellcheck shell=bash
# Debian packages by purpose: the lists are data, in lib/packages/<purpose>.list.
# Needs say.sh. Only what is missing is installed, after one `apt-get update` per script.

PACKAGES_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/packages" && pwd)
packages_updated=0

# packages_of PURPOSE… : the names in the lists.
packages_of() {
  local purpose
  for purpose in "$@"; do
    [[ -r $PACKAGES_DIR/$purpose.list ]] || die "there is no package list $PACKAGES_DIR/$purpose.list"
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$PACKAGES_DIR/$purpose.list"
  done | sort -u
}

# missing_packages NAME… : those that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || echo "$name"
  done
}

# apt_update : fetches the package lists, once.
apt_update() {
  [[ $packages_updated == 0 ]] || return 0
  say "apt-get update"
  quietly apt-get -qq -o DPkg::Lock::Timeout=300 update ||
    die "apt-get update failed; check the network and /etc/apt/sources.list*"
  packages_updated=1
}

# units_of NAME… : units that these packages would start at installation although only our scripts use their programs.
units_of() {
  local name
  for name in "$@"; do awk -v name="$name" '$1 == name { for (i = 2; i <= NF; i++) print $i }' "$PACKAGES_DIR/unwanted-units.list"; done
}

# install_packages PURPOSE… : makes sure that everything in the lists is there. Servers for tests start nothing of this machine.
install_packages() {
  local missing wanted units=()
  command -v dpkg-query >/dev/null || die "this is not a Debian system; install by hand what $PACKAGES_DIR/*.list name"
  mapfile -t wanted < <(packages_of "$@")
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  ((${#missing[@]})) || return 0
  need_root "it installs the packages ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  # apt has its own lock; ours keeps two scripts from updating the lists under each other's feet.
  mkdir -p "$RUN_DIR"
  exec 8>"$RUN_DIR/apt.lock"
  flock 8
  apt_update
  if booted_with_systemd; then mapfile -t units < <(units_of "${missing[@]}"); fi
  ((${#units[@]} == 0)) || quietly systemctl mask --runtime "${units[@]}"
  quietly env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 --no-install-recommends install "${missing[@]}" 8>&- ||
    die "apt-get could not install: ${missing[*]}"
  if ((${#units[@]})); then
    quietly systemctl unmask --runtime "${units[@]}"
    quietly systemctl disable "${units[@]}" || true
  fi
  exec 8>&-
}
