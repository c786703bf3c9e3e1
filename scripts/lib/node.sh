# shellcheck shell=bash
# Node 24 and the npm packages of the checkout. Needs say.sh and ROOT (the checkout's directory).
#
# Whatever Node the host has runs npm only: the dependency node-linux-<arch> carries Node 24 through the registry,
# so that after `npm ci` it is node_modules/.bin/node, first on the PATH of every npm script.

# npm 9 (Debian 12) drops the link again when it removes the other architecture's package, which has the same one.
link_node() {
  local package
  for package in "$ROOT"/node_modules/node-linux-*; do
    if [[ -x $package/bin/node ]] && "$package/bin/node" --version >/dev/null 2>&1; then
      ln -sfn "../${package##*/}/bin/node" "$ROOT/node_modules/.bin/node"
    fi
  done
}

# use_checkout_node : installs the npm packages when package-lock.json changed, puts Node 24 first on PATH and
# names it in NODE.
use_checkout_node() {
  local stamp=$ROOT/node_modules/.limiquantix-stamp want
  command -v npm >/dev/null || die "npm is not installed; use: apt-get install npm"
  mkdir -p "$RUN_DIR"
  exec 7>"$RUN_DIR/npm-$(printf %s "$ROOT" | sha256sum | cut -c1-16).lock"
  flock 7
  want=$(cat "$ROOT/package.json" "$ROOT/package-lock.json" | sha256sum | cut -d' ' -f1)-$(uname -m)
  if [[ $(cat "$stamp" 2>/dev/null) == "$want" ]]; then
    [[ -e $ROOT/node_modules/.bin/node ]] || link_node
  else
    say "npm ci (package-lock.json is new or changed)"
    # --force: the host's own Node may be too old for packages that run on Node 24 later; npm would leave out those that
    # are optional, such as native parts of the test runner, without a word.
    npm --prefix "$ROOT" ci --force --no-audit --no-fund --loglevel=error </dev/null >&2 7>&- ||
      die "npm ci failed; check the network and the registry (npm config get registry)"
    link_node
    echo "$want" >"$stamp"
  fi
  exec 7>&-
  NODE=$ROOT/node_modules/.bin/node
  [[ -x $NODE ]] || die "npm ci did not bring Node for $(uname -m); supported are x86_64 and aarch64 (delete node_modules and try again)"
  [[ $("$NODE" -p 'process.versions.node.split(".")[0] >= 24') == true ]] ||
    die "$NODE is $("$NODE" --version), but 24 or newer is needed; delete node_modules and try again"
  export NODE PATH="$ROOT/node_modules/.bin:$PATH"
}
