# What people run, and what CI runs. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.PHONY: FORCE help run demo-backends test test-deps lint test-rust test-deploy test-e2e parity bench bench-peers bench-report bench-instructions

INSTALL := tests/backends/install.sh
STEP = @printf '\n=== %s\n'

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

run: ## build and start the agent on config/demo.yaml with a generator of agent-task traces; Ctrl-C stops both
	cargo build --release -p forebay
	@tests/backends/demo.sh alone

demo-backends: ## the same in front of a real Jaeger and Zipkin (installed on first use), and Tempo where there is one
	$(INSTALL) jaeger zipkin
	cargo build --release -p forebay
	@tests/backends/demo.sh backends

test: test-deps lint test-rust test-deploy test-e2e bench-instructions ## install what the tests need (cached), then lint and run every test
	$(STEP) 'all tests passed'

test-deps: ## install the real backends, the Python SDK, Chromium and kubeconform (pinned, cached outside the repository)
	$(STEP) 'what the tests need'
	$(INSTALL) python zipkin jaeger kubeconform k8s-schemas chromium

lint: ## formatting and lints
	$(STEP) 'cargo fmt --check'
	cargo fmt --all --check
	$(STEP) 'cargo clippy'
	cargo clippy --workspace --all-targets --locked -- -D warnings

test-rust: ## unit, property and integration tests
	$(STEP) 'cargo test'
	cargo test --workspace --locked

target/debug/forebay: FORCE
	cargo build --locked -p forebay
FORCE:

test-deploy: target/debug/forebay ## the example pipelines, and the Kubernetes manifests against the strict schemas
	$(STEP) 'example pipelines and Kubernetes manifests'
	for example in config/*.yaml; do $< validate --config "$$example"; done
	@. tests/backends/versions.sh && deploy/kubernetes/check.sh "$$(tool_dir kubeconform)/kubeconform" "$$(k8s_schemas)" $<

test-e2e: target/debug/forebay ## end to end: real SDK, real backends, real processes (needs test-deps once)
	$(STEP) 'end to end'
	@. tests/backends/versions.sh && cd tests/e2e && "$$(tool_dir python)/bin/python" -m pytest $(PYTEST_ARGS)

parity: target/debug/forebay ## tail_sampling beside the Go collector that OTELCOL_BIN names (docs/parity.md)
	cargo run --locked -p forebay-parity -- $(PARITY_ARGS)

bench: ## CPU and memory per million spans, every case (BENCH_ARGS='--case benches/cases/held --rounds 5')
	cargo build --release --locked -p forebay -p forebay-bench
	target/release/forebay-bench run --agents forebay $(BENCH_ARGS)

bench-peers: ## the same beside the Go collector (OTELCOL_BIN, or one on PATH, or built on first use) and every other peer there is
	cargo build --release --locked -p forebay -p forebay-bench
	@[ -n "$${OTELCOL_BIN:-}" ] || command -v otelcol >/dev/null || $(INSTALL) otelcol
	@. tests/backends/versions.sh && use_otelcol && target/release/forebay-bench run $(BENCH_ARGS)

bench-report: ## put the last run's tables into docs/performance.md
	cargo run --release --locked -p forebay-bench -- report --into docs/performance.md

bench-instructions: ## count the hot paths' instructions (callgrind) and fail when one grew by more than 5 %; RECORD=1 records
	$(STEP) 'instructions of the hot paths'
	@$(INSTALL) valgrind
	@. tests/backends/versions.sh && use_valgrind && cargo test --workspace --locked --config benches/instructions/profile.toml \
		--bench instructions -- check $(if $(RECORD),--record)
