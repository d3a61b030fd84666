# shellcheck shell=bash
# Shared by the scripts in tools/: where the checkout is, how a step is announced, how a script gives up.
# Sourced, not run.

# shellcheck disable=SC2034  # used by those who source it
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# seconds_since START: with one decimal; START comes from $EPOCHREALTIME.
seconds_since() {
  local now=${EPOCHREALTIME/[.,]/} start=${1/[.,]/}
  local tenths=$(((now - start) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# step TEXT CMD...: one line with the time that CMD took. What CMD prints is shown only when it fails (or with VERBOSE=1).
step() {
  local text=$1 start=$EPOCHREALTIME log status=0
  shift
  printf '%-52s ' "$text"
  log=$(mktemp)
  if [[ ${VERBOSE:-} ]]; then
    printf '\n'
    "$@" || status=$?
  else
    "$@" >"$log" 2>&1 </dev/null || status=$?
  fi
  if ((status == 0)); then
    printf '%8s s\n' "$(seconds_since "$start")"
  else
    printf 'failed after %s s\n' "$(seconds_since "$start")"
    cat "$log"
  fi
  rm -f "$log"
  return "$status"
}

# note TEXT: a line that took no time.
note() { printf '%s\n' "$*"; }

need_root() { ((EUID == 0)) || die "needs root ($1): run it as root, for instance with sudo"; }
