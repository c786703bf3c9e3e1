# shellcheck shell=bash
# Node 24 and the npm packages of the checkout. Needs say.sh and ROOT (the checkout's directory).
#
# The host's own npm only fetches Node 24 and the npm that wrote package-lock.json, both through the registry; these
# then install. Older ones would do it differently without a word: npm 9 leaves out optional packages that a test
# runner consists of, and the link to Node.

readonly NPM_VERSION=11.19.1

# Node's name for this machine's architecture.
node_arch() {
  case $(uname -m) in
    x86_64) echo x64 ;;
    aarch64) echo arm64 ;;
    *) die "no Node.js for $(uname -m) in the registry; supported are x86_64 and aarch64" ;;
  esac
}

# fetch_npm : prints a directory with Node 24 and npm below node_modules; fetched once.
fetch_npm() {
  local arch version tools temp
  arch=$(node_arch)
  version=$(sed -n "s/.*\"node-linux-$arch\": \"\([^\"]*\)\".*/\1/p" "$ROOT/package.json")
  [[ $(id -u) -eq 0 ]] && tools=/var/cache/limiquantix || tools=${XDG_CACHE_HOME:-$HOME/.cache}/limiquantix
  tools=${LIMIQUANTIX_CACHE:-$tools}/npm-$NPM_VERSION-node-$version-$arch
  if [[ ! -d $tools ]]; then
    command -v npm >/dev/null || die "npm is not installed; use: apt-get install npm"
    say "fetching Node $version and npm $NPM_VERSION through the registry"
    mkdir -p "$(dirname "$tools")"
    temp=$(mktemp -d "$tools.XXXXXX")
    npm --prefix "$temp" install --no-audit --no-fund --no-save --loglevel=error \
      "node-linux-$arch@$version" "npm@$NPM_VERSION" </dev/null >&2 ||
      { rm -rf "$temp"; die "npm could not fetch Node; check the network and the registry (npm config get registry)"; }
    chmod 0755 "$temp"
    # Somebody else may have been faster.
    mv -T "$temp" "$tools" 2>/dev/null || rm -rf "$temp"
  fi
  echo "$tools"
}

# npm_ci : installs the packages of package-lock.json, exactly.
npm_ci() {
  local tools node
  tools=$(fetch_npm) || return 1
  node=$(echo "$tools"/node_modules/node-linux-*/bin/node)
  PATH=$(dirname "$node"):$PATH "$node" "$tools/node_modules/npm/bin/npm-cli.js" --prefix "$ROOT" ci \
    --no-audit --no-fund --loglevel=error </dev/null >&2
}

# use_checkout_node : installs the npm packages when package-lock.json changed, puts Node 24 first on PATH and
# names it in NODE.
use_checkout_node() {
  local stamp=$ROOT/node_modules/.limiquantix-stamp want
  mkdir -p "$RUN_DIR"
  exec 7>"$RUN_DIR/npm-$(printf %s "$ROOT" | sha256sum | cut -c1-16).lock"
  flock 7
  want=$(cat "$ROOT/package.json" "$ROOT/package-lock.json" | sha256sum | cut -d' ' -f1)-$(uname -m)-npm-$NPM_VERSION
  if [[ $(cat "$stamp" 2>/dev/null) != "$want" ]]; then
    say "npm ci (package-lock.json is new or changed)"
    npm_ci 7>&- || die "npm ci failed; check the network and the registry (npm config get registry)"
    echo "$want" >"$stamp"
  fi
  exec 7>&-
  NODE=$ROOT/node_modules/.bin/node
  [[ -x $NODE ]] || die "npm ci did not bring Node for $(uname -m); supported are x86_64 and aarch64 (delete node_modules and try again)"
  [[ $("$NODE" -p 'process.versions.node.split(".")[0] >= 24') == true ]] ||
    die "$NODE is $("$NODE" --version), but 24 or newer is needed; delete node_modules and try again"
  export NODE PATH="$ROOT/node_modules/.bin:$PATH"
}
