#!/usr/bin/env bash
# Provides cargo-machete (tools/rust-program.sh says from where: always a build, half a minute on two cores) and looks for
# dependencies that no source file names. One that is needed without being named is listed in its manifest, under
# `[package.metadata.cargo-machete]`, with the reason.
#
# Usage: cargo-machete.sh [--check | --print | --locate]

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=cargo-machete
version=0.9.2
says=$version
crate=cargo-machete
. "$here/rust-program.sh"

check() { # <cargo-machete>
  cd "$here/.."
  "$1" --skip-target-dir .
}

serve "$@"
