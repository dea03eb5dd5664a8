#!/usr/bin/env bash
# Provides the program of tools/argohealth, which runs a health check as Argo CD does: found in the cache folder, else built once
# per machine. Its path is the last line of output.
#
# Usage: argohealth.sh [--print]   find or build it, then print its path (progress goes to standard error)
#        argohealth.sh --locate    print its path if it is there, fail at once if not

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/argohealth
root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/argohealth
. "$here/go-build.sh"

provide_own_program "${1:---print}" argohealth
