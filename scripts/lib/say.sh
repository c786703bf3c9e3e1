# shellcheck shell=bash
# Messages of every script: progress and errors go to stderr, so that stdout stays free for results.
# Source it after setting SCRIPT to the script's name.

: "${SCRIPT:=$(basename "$0")}"

# Locks, and answers that hold until the next boot. Users other than root keep theirs elsewhere.
RUN_DIR=/run/limiquantix
[[ $(id -u) -eq 0 ]] || RUN_DIR=${XDG_RUNTIME_DIR:-/tmp}/limiquantix-$(id -u)
# shellcheck disable=SC2034  # for the scripts that source this file
RUN_DIR=${LIMIQUANTIX_RUN_DIR:-$RUN_DIR}

# say TEXT… : one progress line.
say() { printf '%s: %s\n' "$SCRIPT" "$*" >&2; }

# die TEXT… : an error line, then exit 1. The text says what to do about it.
die() {
  printf '%s: error: %s\n' "$SCRIPT" "$*" >&2
  exit 1
}

# need_root WHY : namespaces, mounts and packages all need it.
need_root() {
  [[ $(id -u) -eq 0 ]] || die "must run as root ($1); use: sudo $0"
}

# booted_with_systemd : true when PID 1 is systemd (the test that sd_booted(3) documents).
booted_with_systemd() { [[ -d /run/systemd/system ]]; }

# quietly COMMAND… : runs it without input; its output is shown only when it fails.
quietly() {
  local output status=0
  output=$("$@" 2>&1 </dev/null) || status=$?
  [[ $status == 0 ]] || printf '%s\n' "$output" >&2
  return "$status"
}
