# shellcheck shell=bash
# The PID 1 of a namespace as seen from outside. Its namespace wrote DIR/.init: pid and start time, which tells a reused pid apart. Needs say.sh.

# start_time_of PID : field 22 of its stat; fails for a zombie and where there is no such process.
start_time_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The command name may hold spaces and brackets: cut behind the last one.
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  [[ $1 != Z ]] || return 1
  echo "${20}"
}

# init_pid DIR : its pid; fails when it is gone.
init_pid() {
  local pid start
  read -r pid start 2>/dev/null <"$1/.init" || return 1
  [[ $(start_time_of "$pid") == "$start" ]] || return 1
  echo "$pid"
}

# end_init DIR : everything in a pid namespace ends with its PID 1; waits for that. It may be ending by itself meanwhile (its lifeline broke).
end_init() {
  local pid deadline=$((SECONDS + 20))
  pid=$(init_pid "$1") || return 0
  while init_pid "$1" >/dev/null; do
    ((SECONDS < deadline)) || die "process $pid does not end (stuck on dead storage?); look at /proc/$pid/wchan and try again"
    kill -KILL "$pid" 2>/dev/null || true
    sleep 0.02
  done
}
