#!/usr/bin/env bash
# Provides typos (tools/rust-program.sh says from where) and looks for mistyped words in all files and their names, by _typos.toml.
#
# Usage: typos.sh [--check | --print | --locate]

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=typos
# The newest that our oldest Rust can build.
version=1.42.3
says="typos-cli $version"
crate=typos-cli
package=typos
declare -A checksums=(
  [x86_64]=28b9e5e6adb41d99f33f22049f8076992c80e5fae55b949129b9d679bef2e993
  [aarch64]=93c80f69e6398913e314acc3ea732508dfe09f8ac42ab870619f2dfce83c3ae9
)
. "$here/rust-program.sh"

check() { # <typos>
  cd "$here/.."
  "$1" --sort
}

serve "$@"
