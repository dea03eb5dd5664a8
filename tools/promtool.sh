#!/usr/bin/env bash
# Provides promtool, which reads alert rules as Prometheus does: found in the cache folder, else built once per machine from the
# pinned module. Its path is the last line of output.
#
# Usage: promtool.sh [--print]   find or build it, then print its path (progress goes to standard error)
#        promtool.sh --locate    print its path if it is there, fail at once if not

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/promtool
root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/promtool
. "$here/go-build.sh"

hash=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -c1-12)
# It reads rules only: what finds targets in clouds is left out.
provide_go_program "${1:---print}" promtool "$root/$hash/promtool" github.com/prometheus/prometheus/cmd/promtool \
  -trimpath -tags remove_all_sd -ldflags '-s -w'
