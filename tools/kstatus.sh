#!/usr/bin/env bash
# Provides the program of tools/kstatus, which reads objects as Flux does: found in the cache folder, else built once per
# machine. Its path is the last line of output.
#
# Usage: kstatus.sh [--print]   find or build it, then print its path (progress goes to standard error)
#        kstatus.sh --locate    print its path if it is there, fail at once if not

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/kstatus
root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/kstatus
. "$here/go-build.sh"

hash=$(cat "$module/go.mod" "$module/go.sum" "$module/main.go" | sha256sum | cut -c1-12)
program=$root/$hash/kstatus

build() {
  mkdir -p "$root"
  exec 9>"$root/lock"
  flock 9
  if [[ -x $program ]]; then return; fi
  scratch_folder=$(mktemp -d "$root/scratch.XXXXXX")
  find_go
  build_go kstatus "$scratch_folder/kstatus" . -trimpath -ldflags '-s -w'
  mkdir -p "$root/$hash"
  # The rename makes it appear whole or not at all.
  mv -f "$scratch_folder/kstatus" "$program"
  exec 9>&-
}

case ${1:---print} in
  --locate) [[ -x $program ]] || die 'kstatus is not there; run `make tools`' ;;
  --print)
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [[ -x $program ]] || build
    ;;
  *) die "unknown argument '$1'; usage: kstatus.sh [--print | --locate]" ;;
esac
printf '%s\n' "$program"
