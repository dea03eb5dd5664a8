#!/usr/bin/env bash
# Runs the official clients of Azure against azure-sim: conformance/, with pytest, in a virtual environment of its own, made once
# per machine and pin. Arguments go to pytest.
#
# Usage: tools/conformance.sh [--print] [pytest's arguments]
#
#   --print         make the environment if need be, then print its path
#   --pin           write requirements.txt anew from requirements.in (newest releases of what has no version there)
#   AZURE_SIM=…     the program to ask; otherwise target/debug/azure-sim
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

pins=conformance/requirements.txt
root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/conformance
environment=$root/$(sha256sum <"$pins" | cut -c1-16)

make_environment() { # <path> <requirements>
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" >&2
}

if [[ ${1:-} == --pin ]]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  make_environment "$scratch/environment" conformance/requirements.in
  {
    echo '# Made from requirements.in by `tools/conformance.sh --pin`.'
    "$scratch/environment/bin/pip" freeze --disable-pip-version-check
  } >"$pins.new"
  mv "$pins.new" "$pins"
  exit
fi

mkdir -p "$root"
exec 9>"$root/lock"
flock 9
if [[ ! -e $environment/complete ]]; then
  say "making the environment of the official clients: a minute or two, once per machine"
  rm -rf "$environment"
  make_environment "$environment" "$pins"
  touch "$environment/complete"
fi
exec 9>&-

if [[ ${1:-} == --print ]]; then
  printf '%s\n' "$environment"
  exit
fi
export AZURE_SIM=${AZURE_SIM:-${CARGO_TARGET_DIR:-target}/debug/azure-sim}
[[ -x $AZURE_SIM ]] || { say "there is no $AZURE_SIM: build first"; exit 1; }
# Nothing of the caller's own Azure may reach the clients: no account, no cloud, no proxy.
for name in $(compgen -e | grep -E '^(AZURE_|ARM_|AZUREML_|IDENTITY_|MSI_)' || true); do
  [[ $name == AZURE_SIM ]] || unset "$name"
done
unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE
export PYTHONDONTWRITEBYTECODE=1
exec "$environment/bin/python" -m pytest -p no:cacheprovider conformance "$@"
