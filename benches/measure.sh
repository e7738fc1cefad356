# Shared by the benchmarks: a release build, the peers on PATH, and hyperfine's medians as a table of ratios.
# shellcheck shell=bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_DIR=${LAB_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/msctl-lab}
export LAB_DIR
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
eval "$("$root/benches/rivals" env)"

release() { # builds msctl and prints its path; MSCTL names one that is built already
  if [ -n "${MSCTL:-}" ]; then echo "$MSCTL"; return; fi
  (cd "$root" && cargo build --release --locked >&2)
  echo "${CARGO_TARGET_DIR:-$root/target}/release/msctl"
}
need() { # NAME...: the peers that are there; says which are not
  local n
  for n in "$@"; do
    if command -v "$n" >/dev/null; then echo "$n"; else echo "benches: no $n here (benches/rivals installs it)" >&2; fi
  done
}
timed() { # FILE HYPERFINE-ARGS...: its JSON into FILE, or what it printed
  local to=$1; shift
  hyperfine -N --export-json "$to" "$@" >"$work/hyperfine.log" 2>&1 || { tail -20 "$work/hyperfine.log" >&2; return 1; }
}
ratios() { # FILE: hyperfine's JSON; the first command is the one compared
  jq -r '.results as $r | ($r[0].median) as $own | $r[] |
    [(.command | .[0:60]), (.median * 1000 | . * 10 | round / 10), (.min * 1000 | round), (.max * 1000 | round),
     ((.user + .system) * 1000 | . * 10 | round / 10), ((.median / $own) * 100 | round / 100)] | @tsv' "$1" |
    { printf 'command\tmedian ms\tmin\tmax\tCPU ms\ttimes msctl\n'; cat; } | column -t -s "$(printf '\t')"
}
