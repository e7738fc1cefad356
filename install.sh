#!/bin/sh
# Installs msctl with its completions and man pages.
#
#   ./install.sh                          from this checkout: builds with cargo
#   ./install.sh --archive FILE           from a release archive beside its FILE.sha256; FILE may be an https address
#   options: --prefix DIR (default /usr/local when writable, else ~/.local), --uninstall, --help
#
# Everything is in functions and the last line calls main: a download cut short does nothing.
set -eu

say() { printf '%s\n' "install: $*" >&2; }
die() { say "$*"; exit 1; }

usage() {
  sed -n '2,7s/^# \{0,1\}//p' "$0"
}

default_prefix() {
  if [ -w /usr/local/bin ]; then echo /usr/local; else echo "${HOME:?set HOME or give --prefix}/.local"; fi
}

# Checks FILE against the checksum in FILE.sha256; refuses without one.
verify() {
  [ -f "$1" ] || die "$1: no such archive"
  [ -f "$1.sha256" ] || die "$1.sha256 is missing: the archive cannot be checked, so nothing is installed"
  wanted=$(cut -d' ' -f1 <"$1.sha256")
  if command -v sha256sum >/dev/null; then found=$(sha256sum "$1"); else found=$(shasum -a 256 "$1"); fi
  found=${found%% *}
  [ "$wanted" = "$found" ] || die "$1: checksum is $found, should be $wanted: the download is damaged or altered"
}

fetch() { # URL FOLDER: the archive and its checksum, as FOLDER/archive
  command -v curl >/dev/null || die "$1: fetching needs curl"
  for part in '' .sha256; do
    curl -fsSL -o "$2/archive$part" "$1$part" || die "$1$part: cannot be fetched"
  done
}

from_archive() { # FILE FOLDER: unpacks into FOLDER
  case $1 in
  http://* | https://*) mkdir "$2/fetched" && fetch "$1" "$2/fetched" && set -- "$2/fetched/archive" "$2" ;;
  esac
  verify "$1"
  tar -xf "$1" -C "$2" || die "$1: cannot be unpacked"
  if [ ! -x "$2/msctl" ]; then
    inner=$(find "$2" -mindepth 2 -maxdepth 2 -name msctl -type f | head -n 1)
    [ -n "$inner" ] || die "$1: holds no msctl"
    mv "$(dirname "$inner")"/* "$2/"
  fi
}

from_checkout() { # FOLDER
  here=$(cd "$(dirname "$0")" && pwd)
  # Piped into a shell there is no script, and the folder is anybody's.
  grep -qs '^name = "msctl"' "$here/Cargo.toml" || die "neither --archive nor a checkout of msctl beside this script"
  command -v cargo >/dev/null || die "building needs cargo (Rust 1.95 or newer); or give --archive FILE"
  say "building msctl (a few minutes the first time)"
  (cd "$here" && cargo build --release --locked) >&2 || die "the build failed"
  target=${CARGO_TARGET_DIR:-$here/target}
  cp "$target/release/msctl" "$1/msctl"
}

put() { # FILE TARGET MODE: atomically, so that a running msctl is never half-replaced
  mkdir -p "$(dirname "$2")" || die "cannot create $(dirname "$2"); choose another place with --prefix"
  { cp "$1" "$2.new.$$" && chmod "$3" "$2.new.$$" && mv -f "$2.new.$$" "$2"; } ||
    die "cannot write $2"
}

install_from() { # FOLDER PREFIX
  msctl=$1/msctl
  "$msctl" --version >/dev/null || die "the program does not start on this machine"
  mkdir "$1/made" && "$msctl" man "$1/made"
  "$msctl" completions bash >"$1/made/bash"
  "$msctl" completions zsh >"$1/made/zsh"
  "$msctl" completions fish >"$1/made/fish"
  put "$msctl" "$2/bin/msctl" 755
  for page in "$1"/made/*.1; do put "$page" "$2/share/man/man1/$(basename "$page")" 644; done
  put "$1/made/bash" "$2/share/bash-completion/completions/msctl" 644
  put "$1/made/zsh" "$2/share/zsh/site-functions/_msctl" 644
  put "$1/made/fish" "$2/share/fish/vendor_completions.d/msctl.fish" 644
  say "installed $("$2/bin/msctl" --version) in $2/bin"
  case ":$PATH:" in *":$2/bin:"*) ;; *) say "$2/bin is not on PATH: add it" ;; esac
}

uninstall() { # PREFIX
  rm -f "$1/bin/msctl" "$1"/share/man/man1/msctl.1 "$1"/share/man/man1/msctl-*.1 \
    "$1/share/bash-completion/completions/msctl" "$1/share/zsh/site-functions/_msctl" \
    "$1/share/fish/vendor_completions.d/msctl.fish"
  say "removed msctl from $1"
}

main() {
  prefix='' archive='' remove=''
  while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --archive) [ $# -ge 2 ] || die "$1 needs a value" ;;
    esac
    case $1 in
    --prefix) prefix=$2; shift ;;
    --archive) archive=$2; shift ;;
    --uninstall) remove=1 ;;
    --help | -h) usage; return ;;
    *) usage >&2; die "unknown option: $1" ;;
    esac
    shift
  done
  [ -n "$prefix" ] || prefix=$(default_prefix)
  if [ -n "$remove" ]; then uninstall "$prefix"; return; fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  if [ -n "$archive" ]; then from_archive "$archive" "$work"; else from_checkout "$work"; fi
  install_from "$work" "$prefix"
}

main "$@"
