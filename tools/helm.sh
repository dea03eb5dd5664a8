#!/usr/bin/env bash
# Provides Helm, in the versions that the chart is tested with: found in the cache folder, else built once per machine from the
# pinned module. Its path is the last line of output.
#
# Usage: helm.sh [--print] [4 | 3]   find or build it, then print its path (progress goes to standard error)
#        helm.sh --locate [4 | 3]    print its path if it is there, fail at once if not

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
major=${2:-4}
module=$here/helm/v$major
root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/helm
. "$here/go-build.sh"
[[ -d $module ]] || die "there is no Helm $major here; usage: helm.sh [--print | --locate] [4 | 3]"

version=$(pinned "helm.sh/helm/v$major")
hash=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -c1-12)
# Without this it calls itself by no version.
named="-X helm.sh/helm/v$major/internal/version.version=$version"
provide_go_program "${1:---print}" helm "$root/$version-$hash/helm" "helm.sh/helm/v$major/cmd/helm" -trimpath -ldflags "-s -w $named"
