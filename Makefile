# The words people type; CI types the same (.ci/run). A fresh machine needs Rust, make, and either Go or Python: what else
# is missing, `make tools` fetches or builds once, into the user's cache folder.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)/debug
# What the operator writes of itself, and what is rendered from the chart.
GENERATED := crds policies editor rbac
RENDERED := base agent monitoring
CHART := charts/secure-registry-operator

# Always with --workspace: any other selection of packages resolves other features, and cargo would build half of the
# dependencies a second time. Programs alone find built what tests were built from, and the other way round
# (tests/tests/feature_sets.rs).
BUILD := $(CARGO) build --workspace

.PHONY: help
help: ## Show these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: tools
tools: ## Provide kube-apiserver, etcd, kubectl, kstatus, argohealth, Helm, promtool, cargo-deny, cargo-machete and typos (found, downloaded or built; cached for every checkout)
	@tools/control-plane.sh --print
	@tools/kstatus.sh --print
	@tools/argohealth.sh --print
	@tools/helm.sh --print 4
	@tools/helm.sh --print 3
	@tools/promtool.sh --print
	@tools/cargo-deny.sh --print
	@tools/cargo-machete.sh --print
	@tools/typos.sh --print

.PHONY: build
build: ## Build the programs and the tests
	$(BUILD) --bins --tests

.PHONY: demo
demo: ## Secure a registry before your eyes, building what that takes; KEEP=1 leaves it up to look around
	@exec tools/demo.sh

.PHONY: generate
generate: ## Write the generated files: deploy/, the chart's templates that follow from code, and tables
	$(BUILD) --bin secure-registry-operator
	$(TARGET)/secure-registry-operator crd --out deploy
	$(TARGET)/secure-registry-operator crd --chart $(CHART)
	tools/render-deploy.sh deploy
	@tools/helm.sh --print 3 >/dev/null
	SREG_UPDATE=1 $(CARGO) test --workspace --test chart -- render:: values::
	SREG_UPDATE=1 $(CARGO) test --workspace --test breaks table
	SREG_UPDATE=1 $(CARGO) test --workspace --test roles
	SREG_UPDATE=1 $(CARGO) test --workspace --test goldens reasons::

.PHONY: check
check: check-format check-words check-dependencies check-lints check-generated check-layers check-breaks ## Format, typos, dependencies (licences, advisories, unused ones), lints, generated files, layers and circles of modules: nothing is run for long

.PHONY: check-format
check-format:
	$(CARGO) fmt --all -- --check

.PHONY: check-words
check-words:
	@tools/typos.sh --check

.PHONY: check-dependencies
check-dependencies:
	@tools/cargo-deny.sh --check
	@tools/cargo-machete.sh --check

.PHONY: check-lints
check-lints:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: check-generated
check-generated:
	$(BUILD) --bin secure-registry-operator
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT
	$(TARGET)/secure-registry-operator crd --out "$$fresh"
	differs() { echo 'generated files differ: run `make generate`' >&2; exit 1; }
	for folder in $(GENERATED); do
	  diff -ru "deploy/$$folder" "$$fresh/$$folder" || differs
	done
	$(TARGET)/secure-registry-operator crd --chart "$$fresh/chart"
	for folder in $(GENERATED); do
	  diff -ru "$(CHART)/templates/$$folder" "$$fresh/chart/templates/$$folder" || differs
	done
	tools/render-deploy.sh "$$fresh"
	for folder in $(RENDERED); do
	  # The kustomization beside them is written by hand.
	  diff -ru --exclude kustomization.yaml "deploy/$$folder" "$$fresh/$$folder" || differs
	done
	$(CARGO) test --workspace --test roles
	$(CARGO) test --workspace --test goldens reasons::

.PHONY: check-layers
check-layers:
	$(CARGO) test --workspace --test layering --test feature_sets --test module_circles

.PHONY: check-breaks
check-breaks:
	$(CARGO) test --workspace --test breaks

.PHONY: test
test: build ## Run every test, on a real control plane and the built programs
	@KUBEBUILDER_ASSETS=$$(tools/control-plane.sh --print); export KUBEBUILDER_ASSETS
	tools/kstatus.sh --print >/dev/null
	tools/argohealth.sh --print >/dev/null
	tools/helm.sh --print 4 >/dev/null
	tools/helm.sh --print 3 >/dev/null
	tools/promtool.sh --print >/dev/null
	# Whole-binary tests mostly wait for servers and clocks: twice as many at once as there are cores leave neither idle.
	export RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(nproc)))}
	$(CARGO) test --workspace --no-fail-fast

.PHONY: chart
chart: ## Lint the Helm chart, compare what it renders, install and upgrade it on a real API server, with Helm 4 and 3
	@KUBEBUILDER_ASSETS=$$(tools/control-plane.sh --print); export KUBEBUILDER_ASSETS
	tools/helm.sh --print 4 >/dev/null
	tools/helm.sh --print 3 >/dev/null
	tools/promtool.sh --print >/dev/null
	$(BUILD) --bin secure-registry-operator
	$(CARGO) test --workspace --test chart

# The clients are installed once per machine, then it takes half a minute beside the build. ARGS='-k private_dns' picks tests, ARGS=--with-az
# adds az.
.PHONY: conformance
conformance: build ## Ask azure-sim with the official Azure clients, unchanged: what they see is what Azure would show them
	tools/conformance.sh $(ARGS)

# Numbers are worth something on an otherwise idle machine; REGISTRIES=1000 makes the world smaller.
.PHONY: scale
scale: ## Measure azure-sim with a world of 10,000 registries: start, reads, memory
	$(BUILD) --bin azure-sim
	AZURE_SIM=$(TARGET)/azure-sim $$(tools/conformance.sh --print)/bin/python conformance/scale.py $(REGISTRIES)

# The model's deeper configuration first, where there is one; then every plan of the campaign, whose count is the last line.
# SREG_CAMPAIGN_ONLY='rollback/crash-after-effect/' runs those plans whose name contains that.
.PHONY: chaos
chaos: ## Tell every story of the campaign with everything that can go wrong at each of its writes, reads and events
	@export SREG_CAMPAIGN=full RUST_BACKTRACE=0
	said=$$(mktemp); trap 'rm -f "$$said"' EXIT
	ended=0
	$(CARGO) test --profile chaos --workspace --test lockdown --test election -- --nocapture || ended=$$?
	$(CARGO) test --profile chaos --workspace --test passes -- campaign:: --nocapture | tee "$$said" || ended=$$?
	grep -E '^[0-9]+ plans, [0-9]+ violations$$' "$$said" || ended=1
	grep -qE '^[1-9][0-9]* plans, 0 violations$$' "$$said" || ended=$$((ended > 0 ? ended : 1))
	exit $$ended

# SREG_BREAK='break-glass' breaks those invariants only whose name contains that.
.PHONY: break
break: ## Break every invariant of docs/safety.md on purpose, in a copy, and see who notices (about an hour)
	$(CARGO) test --workspace --test breaks -- --ignored --nocapture

.ONESHELL:
