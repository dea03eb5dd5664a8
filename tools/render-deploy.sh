#!/usr/bin/env bash
# Renders the chart into the kustomize bases: one file for each template, with the chart's default values. What follows from code
# (CRDs, policies, RBAC) comes from `secure-registry-operator crd --out` and is not rendered here.
#
# Usage: render-deploy.sh FOLDER

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
chart=$here/../charts/secure-registry-operator
helm=$("$here/helm.sh" --print)

render() { # <file> <template> <values as --set…>
  local file=$1 template=$2 rendered
  shift 2
  rendered=$("$helm" template secure-registry-operator "$chart" --namespace secure-registry-system --show-only "templates/$template" "$@")
  mkdir -p "${file%/*}"
  # shellcheck disable=SC2016
  printf '%s\n' '# Rendered from charts/secure-registry-operator by `make generate`; change the chart, not this file.' "$rendered" >"$file"
}

for part in namespace service-account deployment disruption-budget; do
  render "$1/base/$part.yaml" "operator/$part.yaml" --set namespace.create=true
done
# In its place stands the name of a vantage point of yours (deploy/README.md).
for part in namespace service-account deployment; do
  render "$1/agent/$part.yaml" "agents/$part.yaml" \
    --set-json 'vantagePoints=[{"name": "secure-registry-agents", "spec": {"network": "OnPremises"}}]'
done
for part in service-monitor prometheus-rule dashboards; do
  render "$1/monitoring/$part.yaml" "monitoring/$part.yaml" \
    --set metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboards.enabled=true
done
