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

provide_own_program "${1:---print}" kstatus
