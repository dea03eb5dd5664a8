#!/usr/bin/env bash
# Runs the official clients of Azure against azure-sim: conformance/, with pytest, in a virtual environment of its own, made once
# per machine and pin. Arguments go to pytest.
#
# Usage: tools/conformance.sh [--with-az] [--with-custodian] [--print] [pytest's arguments]
#
#   --with-az       az too, in an environment of its own (half a gigabyte), some minutes of tests: alone with azure-sim, and where
#                   the built operator runs (KEEP=1 sreg-demo)
#   --with-custodian  Cloud Custodian too, in an environment of its own (half a gigabyte)
#   --print         make the environment if need be, then print its path
#   --pin           write the pinned requirements anew from requirements.in (newest releases of what has no version there)
#   AZURE_SIM=…     the program to ask; otherwise target/debug/azure-sim
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

root=${XDG_CACHE_HOME:-$HOME/.cache}/secure-registry-operator/conformance
az_version=2.91.0
custodian=("c7n==0.9.53" "c7n-azure==0.7.52")

make_environment() { # <path> <what to install>…
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}" >&2
}

pin() { # <file> <what to install>…
  make_environment "$scratch/$1" "${@:2}"
  {
    printf '# Made by `tools/conformance.sh --pin`.\n'
    "$scratch/$1/bin/pip" freeze --disable-pip-version-check
  } >"conformance/$1.new"
  mv "conformance/$1.new" "conformance/$1"
}

# Prints where the environment of pinned requirements is; makes it, once per machine and pin.
provide() { # <file>
  local environment
  environment=$root/$(sha256sum <"conformance/$1" | cut -c1-16)
  mkdir -p "$root"
  exec 9>"$root/lock"
  flock 9
  if [[ ! -e $environment/complete ]]; then
    say "installing the official clients of conformance/$1: a minute or two, once per machine"
    rm -rf "$environment"
    make_environment "$environment" --requirement "conformance/$1"
    touch "$environment/complete"
  fi
  exec 9>&-
  printf '%s\n' "$environment"
}

if [[ ${1:-} == --pin ]]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  pin requirements.txt --requirement conformance/requirements.in
  pin requirements-az.txt "azure-cli==$az_version"
  # Beside it what `requests` needs for a SOCKS proxy.
  pin requirements-custodian.txt "${custodian[@]}" PySocks
  exit
fi

# Nothing of the caller's own Azure may reach the clients: no account, no cloud, no proxy.
program=${AZURE_SIM:-${CARGO_TARGET_DIR:-target}/debug/azure-sim}
with_az=
with_custodian=
demo=
if [[ ${1:-} == --with-az ]]; then
  with_az=$(provide requirements-az.txt)/bin/python
  demo=${CARGO_TARGET_DIR:-target}/debug/sreg-demo
  shift
fi
if [[ ${1:-} == --with-custodian ]]; then
  with_custodian=$(provide requirements-custodian.txt)/bin/custodian
  shift
fi
environment=$(provide requirements.txt)
if [[ ${1:-} == --print ]]; then
  printf '%s\n' "$environment"
  exit
fi
for built in "$program" ${demo:+"$demo"}; do
  [[ -x $built ]] || { say "there is no $built: build first"; exit 1; }
done
if [[ -n $demo ]]; then
  KUBEBUILDER_ASSETS=$(tools/control-plane.sh --print)
  export KUBEBUILDER_ASSETS
fi
for name in $(compgen -e | grep -E '^(AZURE|ARM_|AZUREML_|IDENTITY_|MSI_)' || true); do unset "$name"; done
unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE
export AZURE_SIM=$program AZ_PYTHON=$with_az CUSTODIAN=$with_custodian SREG_DEMO=$demo PYTHONDONTWRITEBYTECODE=1
exec "$environment/bin/python" -m pytest -p no:cacheprovider conformance "$@"
