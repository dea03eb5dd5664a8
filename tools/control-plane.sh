#!/usr/bin/env bash
# Provides the control plane that tests and the demo run against: kube-apiserver, etcd and kubectl in one folder, whose
# path is the last line of output. Each program is looked for in this order:
#
#   1. KUBEBUILDER_ASSETS   kube-apiserver and etcd as they are: whoever set it chose them; kubectl in our version only
#   2. PATH                 in our versions only
#   3. the cache folder     ${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/control-plane/<version>-<hash>
#   4. the official envtest release, its checksum verified; put into the cache folder
#   5. a build from the Go modules pinned in tools/controlplane; put into the cache folder
#
# Usage: control-plane.sh [--print]   find or make them, then print the folder (progress goes to standard error)
#        control-plane.sh --locate    print the folder if everything is there, fail at once if not

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/controlplane
root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/control-plane
programs=(kube-apiserver etcd kubectl)
. "$here/go-build.sh"

kubernetes_version=$(pinned k8s.io/kubernetes)
etcd_version=$(pinned go.etcd.io/etcd/server/v3)
modules_hash=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -c1-12)
cache=$root/$kubernetes_version-$modules_hash

# --- which program is acceptable -------------------------------------------------------------------------------------

version_of() { # <program> <path>
  case $1 in
    kube-apiserver) timeout 20 "$2" --version | awk '/^Kubernetes/ { print $2 }' ;;
    etcd) timeout 20 "$2" --version | awk '/^etcd Version:/ { print "v" $3 }' ;;
    kubectl) timeout 20 "$2" version --client -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' ;;
  esac 2>/dev/null || true
}

is_pinned() { # <program> <path>
  local want=$kubernetes_version
  [[ $1 == etcd ]] && want=$etcd_version
  [[ $(version_of "$1" "$2") == "$want" ]]
}

# Prints where an acceptable program is; fails if there is none yet.
find_program() { # <program>
  local given=${KUBEBUILDER_ASSETS:-}/$1 on_path
  if [[ -n ${KUBEBUILDER_ASSETS:-} && -x $given ]]; then
    if [[ $1 != kubectl ]] || is_pinned "$1" "$given"; then
      printf '%s\n' "$given"
      return
    fi
  fi
  # What is in the cache came from this script, and asking it for its version costs a tenth of a second.
  if [[ -x $cache/$1 ]]; then
    printf '%s\n' "$cache/$1"
    return
  fi
  on_path=$(type -P "$1" || true)
  if [[ -n $on_path ]] && is_pinned "$1" "$on_path"; then
    printf '%s\n' "$on_path"
    return
  fi
  return 1
}

missing_programs() {
  local program
  for program in "${programs[@]}"; do
    find_program "$program" >/dev/null || printf '%s\n' "$program"
  done
}

# Prints one folder that holds all three. Where they live apart, it is a folder of links.
assets_folder() {
  local program path paths=() folders folder scratch
  for program in "${programs[@]}"; do
    path=$(find_program "$program") || return 1
    paths+=("$path")
  done
  folders=$(for path in "${paths[@]}"; do dirname "$path"; done | sort -u)
  if [[ $(wc -l <<<"$folders") == 1 ]]; then
    printf '%s\n' "$folders"
    return
  fi
  folder=$root/links-$(printf '%s\n' "${paths[@]}" | sha256sum | cut -c1-12)
  if [[ ! -d $folder ]]; then
    mkdir -p "$root"
    scratch=$(mktemp -d "$root/links.XXXXXX")
    for path in "${paths[@]}"; do ln -s "$path" "$scratch/${path##*/}"; done
    # Two at once: the second rename fails because the folder is there, which is just as good.
    mv -T "$scratch" "$folder" 2>/dev/null || rm -rf "$scratch"
  fi
  printf '%s\n' "$folder"
}

# --- making what is missing ------------------------------------------------------------------------------------------

# Puts a finished program into the cache folder. The rename makes it appear whole or not at all.
install_program() { # <program> <path>
  is_pinned "$1" "$2" || [[ $1 == etcd && -n $(version_of "$1" "$2") ]] \
    || die "$1 calls itself '$(version_of "$1" "$2")' instead of $kubernetes_version; not used"
  mkdir -p "$cache"
  chmod 755 "$2"
  mv -f "$2" "$cache/$1"
}

machine() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# Takes what is missing from the official envtest archive. Fails quickly where there is no way to the internet.
download() { # <missing programs…>
  local archive url want got program path
  command -v curl >/dev/null || return 1
  archive=envtest-$kubernetes_version-linux-$(machine).tar.gz
  url=https://github.com/kubernetes-sigs/controller-tools/releases/download/envtest-$kubernetes_version/$archive
  say "looking for the official archive $archive"
  curl -fsSL --connect-timeout 5 --max-time 20 -o "$scratch_folder/sha512" "$url.sha512" 2>/dev/null || return 1
  with_progress "downloading $archive" "$scratch_folder/log" \
    curl -fSL --no-progress-meter --connect-timeout 5 --max-time 600 -o "$scratch_folder/$archive" "$url" || return 1
  want=$(awk '{ print $1; exit }' "$scratch_folder/sha512")
  got=$(sha512sum "$scratch_folder/$archive" | awk '{ print $1 }')
  # Not a reason to build instead: somebody should look at it.
  [[ $want == "$got" ]] || die "checksum of $url is $got, expected $want: not used"
  mkdir "$scratch_folder/archive"
  tar -xzf "$scratch_folder/$archive" -C "$scratch_folder/archive"
  for program in "$@"; do
    path=$(find "$scratch_folder/archive" -type f -name "$program" -print -quit)
    [[ -n $path ]] || return 1
    install_program "$program" "$path"
  done
}

build() { # <missing programs…>
  local program package version=k8s.io/component-base/version number ldflags
  number=${kubernetes_version#v}
  ldflags="-s -w -X $version.gitVersion=$kubernetes_version -X $version.gitMajor=${number%%.*}"
  number=${number#*.}
  ldflags+=" -X $version.gitMinor=${number%%.*}"
  find_go
  say "building $* with $("$go" env GOVERSION): about 6 minutes on 2 cores with cold caches, once per machine"
  for program in "$@"; do
    case $program in
      etcd) package=go.etcd.io/etcd/server/v3 ;;
      *) package=k8s.io/kubernetes/cmd/$program ;;
    esac
    build_go "$program" "$scratch_folder/$program" "$package" -trimpath -ldflags "$ldflags"
    install_program "$program" "$scratch_folder/$program"
    say "  $(elapsed)  $program $(version_of "$program" "$cache/$program") is ready"
  done
}

provide() {
  local missing
  mkdir -p "$root"
  exec 9>"$root/lock"
  until flock -w 5 9; do say "  $(elapsed)  waiting: another checkout is providing the same programs"; done
  mapfile -t missing < <(missing_programs)
  if ((${#missing[@]} > 0)); then
    # We hold the lock, so what lies here was left by a run that was killed.
    rm -rf "$root"/scratch.*
    scratch_folder=$(mktemp -d "$root/scratch.XXXXXX")
    if ! download "${missing[@]}"; then
      say "no official archive to be had"
      mapfile -t missing < <(missing_programs)
      build "${missing[@]}"
    fi
  fi
  exec 9>&-
}

main() {
  local mode=${1:---print}
  # Tests run in folders of their own: a relative path would mean something else to them.
  if [[ -d ${KUBEBUILDER_ASSETS:-} ]]; then KUBEBUILDER_ASSETS=$(cd "$KUBEBUILDER_ASSETS" && pwd); fi
  case $mode in
    --locate)
      assets_folder || die "not there: $(missing_programs | tr '\n' ' ')(kubernetes $kubernetes_version); run \`make tools\`"
      ;;
    --print)
      trap cleanup EXIT
      trap 'exit 130' INT
      trap 'exit 143' TERM
      [[ -z $(missing_programs) ]] || provide
      assets_folder || die "cannot find the programs that were just provided in $cache"
      ;;
    *) die "unknown argument '$mode'; usage: control-plane.sh [--print | --locate]" ;;
  esac
}

main "$@"
