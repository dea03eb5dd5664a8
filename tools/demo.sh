#!/usr/bin/env bash
# Runs the demo. What it runs is built first, and nothing else: three programs of the workspace, and the control plane, side by
# side where both are missing. Every few seconds it says how much is left.
#
# Programs are chosen with --workspace, so that cargo resolves the same features for them as for the tests, and what one has
# built the other finds (tests/tests/feature_sets.rs).
#
# Usage: demo.sh           build, then run
#        demo.sh --build   build only
# KEEP=1 leaves the demo up to look around.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
target=${CARGO_TARGET_DIR:-target}/debug
build=("${CARGO:-cargo}" build --workspace --bin secure-registry-operator --bin azure-sim --bin sreg-demo)

say() { printf '%s\n' "$*" >&2; }
elapsed() { printf '%d min %02d s' $((SECONDS / 60)) $((SECONDS % 60)); }

scratch=
cargo=
plane=
cleanup() {
  local running
  for running in $cargo $plane; do
    kill "$running" 2>/dev/null || true
    wait "$running" 2>/dev/null || true
  done
  [[ -z $scratch ]] || rm -rf "$scratch"
}

# The last that cargo's progress bar said: `[=====>   ] 212/466: serde, tokio`.
cargo_progress() {
  local done total
  if ! kill -0 "$cargo" 2>/dev/null; then
    echo 'built'
    return
  fi
  read -r done total < <(tr '\r' '\n' <"$scratch/cargo" | sed -nE 's/.*\] +([0-9]+)\/([0-9]+).*/\1 \2/p' | tail -n 1) || true
  if [[ -n ${total:-} ]] && ! tail -c 400 "$scratch/cargo" | grep -q 'Downloading crates'; then
    echo "$((total - done)) of $total parts left"
  else
    echo 'fetching crates'
  fi
}

plane_progress() {
  if kill -0 "$plane" 2>/dev/null; then
    tail -n 1 "$scratch/plane" | sed -E 's/^ *[0-9]+ min [0-9]+ s +//'
  else
    echo 'ready'
  fi
}

# Waits for one of the two, which has a log; what went wrong is its end.
ended() { # <process> <log> <what>
  local status=0
  wait "$1" || status=$?
  if ((status != 0)); then
    tr '\r' '\n' <"$2" | grep -v '^ *Building \[' | tail -n 40 >&2
    say "$3 failed with exit code $status after $(elapsed)"
    exit 1
  fi
}

build_both() {
  local every=5 last=$SECONDS
  [[ -t 2 ]] || every=15
  scratch=$(mktemp -d)
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  say 'building the demo and its control plane side by side: once per machine, some minutes'
  tools/control-plane.sh --print >"$scratch/assets" 2>"$scratch/plane" &
  plane=$!
  CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 CARGO_TERM_COLOR=never \
    "${build[@]}" >"$scratch/cargo" 2>&1 &
  cargo=$!
  while kill -0 "$cargo" 2>/dev/null || kill -0 "$plane" 2>/dev/null; do
    sleep 1
    # One that has failed ends both.
    kill -0 "$cargo" 2>/dev/null || ended "$cargo" "$scratch/cargo" 'the build of the programs'
    kill -0 "$plane" 2>/dev/null || ended "$plane" "$scratch/plane" 'the build of the control plane'
    if ((SECONDS - last >= every)); then
      last=$SECONDS
      say "  $(elapsed)  programs: $(cargo_progress); control plane: $(plane_progress)"
    fi
  done
  ended "$cargo" "$scratch/cargo" 'the build of the programs'
  ended "$plane" "$scratch/plane" 'the build of the control plane'
  cargo= plane=
  assets=$(tail -n 1 "$scratch/assets")
  cleanup
  trap - EXIT INT TERM
}

case ${1:-} in
  '' | --build) ;;
  *)
    say "unknown argument '$1'; usage: demo.sh [--build]"
    exit 2
    ;;
esac
if assets=$(tools/control-plane.sh --locate 2>/dev/null); then
  "${build[@]}"
else
  build_both
fi
[[ ${1:-} == --build ]] || KUBEBUILDER_ASSETS=$assets exec "$target/sreg-demo"
