# What a developer runs. `make test` installs what it needs on Debian and Ubuntu, and runs everything.

CARGO ?= cargo

# TLS is off unless asked for.
WITH_TLS = -p whichroom-mqtt -p whichroom-agent --features whichroom-mqtt/v5,whichroom-agent/tls

.PHONY: test lint deps binaries bench-path bench-ingest footprint minimum-rust

test: deps binaries
	$(CARGO) nextest run --workspace --locked --no-fail-fast
	$(CARGO) nextest run $(WITH_TLS) --locked --no-fail-fast -E 'test(tls) | binary(tls)'

# The end-to-end tests run the real binaries, so these are built first.
binaries:
	$(CARGO) build --workspace --bins --locked

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy $(WITH_TLS) --all-targets --locked -- -D warnings
	shellcheck .ci/run .ci/minimum-rust .ci/deps

deps:
	.ci/deps

# Benchmarks print a table and, as their last line, one JSON object.
bench-path: deps
	$(CARGO) build --release --locked -p whichroom
	$(CARGO) build --profile router --locked -p whichroom-agent
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-path

bench-ingest:
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-ingest

footprint: deps
	$(CARGO) build --profile router --locked -p whichroom-agent
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin agent-footprint

minimum-rust:
	.ci/minimum-rust
