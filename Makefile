# What a developer runs. `make test` installs what it needs on Debian and Ubuntu, and runs everything.

CARGO ?= cargo

# The agent for routers is built with TLS and without: everything is tested with it, and the agent without it, too.
WITH_TLS = --features whichroom-agent/tls,whichroom-tests/tls
WITHOUT_TLS = -p whichroom-mqtt -p whichroom-agent
# Tests of what `packages` and `release` made.
OF_PACKAGES = -p whichroom-tests --features release,routers

.PHONY: test lint advisories deps binaries packages release sizes test-routers bench-path bench-ingest bench-replay \
	bench-history bench-page bench-score fuzz footprint agent-cost minimum-rust

test: deps binaries
	$(CARGO) nextest run --workspace $(WITH_TLS) --locked --no-fail-fast
	$(CARGO) nextest run $(WITHOUT_TLS) --locked --no-fail-fast

# The end-to-end tests run the real binaries, so these are built first.
binaries:
	$(CARGO) build --workspace --bins $(WITH_TLS) --locked

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets $(WITH_TLS),whichroom-tests/release,whichroom-tests/routers --locked -- -D warnings
	$(CARGO) clippy $(WITHOUT_TLS) --all-targets --locked -- -D warnings
	$(CARGO) deny --locked check bans licenses sources
	shellcheck .ci/run .ci/minimum-rust .ci/deps

# Known faults of what this depends on. Their list is fetched from github.com, so this is for a machine with a way there.
advisories:
	$(CARGO) deny --locked check advisories

deps:
	.ci/deps

# The agent for every kind of access point, as packages and as a feed, in target/packages.
packages: deps
	$(CARGO) run --release --locked --quiet -p whichroom-package -- build

# The server as one file, with the feed of `packages` inside; and what it serves, compared with the feed.
release: packages
	WHICHROOM_FEED=target/packages/feed $(CARGO) build --release --locked -p whichroom
	$(CARGO) nextest run $(OF_PACKAGES) --test release --locked
	@wc -c "$${CARGO_TARGET_DIR:-target}/release/whichroom"

# Bytes of everything that `packages` made: one line a file.
sizes:
	@$(CARGO) run --release --locked --quiet -p whichroom-package -- sizes

# Runs the programs that `packages` made, under qemu where they are of another processor.
test-routers: deps
	$(CARGO) nextest run $(OF_PACKAGES) --test routers --locked --no-fail-fast

# Benchmarks print a table and, as their last line, one JSON object.
bench-path: deps
	$(CARGO) build --release --locked -p whichroom
	$(CARGO) build --profile router --locked -p whichroom-agent
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-path

bench-ingest:
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-ingest

bench-replay:
	$(CARGO) build --release --locked -p whichroom
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-replay

bench-score:
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-score

# Each parser of foreign bytes is given what a fuzzer thinks of, for some seconds; `make fuzz SECONDS=600 FUZZ=recording` one
# for longer. What it finds lies in tests/fuzz/artifacts; once mended, it goes to tests/fuzz/corpus, which the tests read.
# Stable Rust will do: without a sanitizer nothing else is needed. The first build takes minutes.
SECONDS ?= 20
FUZZ ?= $(basename $(notdir $(wildcard tests/fuzz/fuzz_targets/*.rs)))
fuzz:
	$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	cp Cargo.lock tests/fuzz/Cargo.lock
	for name in $(FUZZ); do \
		mkdir -p tests/fuzz/found/$$name; \
		$(CARGO) fuzz run --fuzz-dir tests/fuzz --sanitizer none $$name tests/fuzz/found/$$name tests/fuzz/corpus/$$name -- \
			-max_total_time=$(SECONDS) -max_len=8192 -timeout=5 -rss_limit_mb=1024 -verbosity=0 -print_funcs=0 || exit 1; \
	done

bench-page: deps
	$(CARGO) build --release --locked -p whichroom
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-page

# Import of a week, the report over it, the timeline, the file's size; DAYS=90 for the largest file that the default keeps.
DAYS ?= 7
bench-history:
	$(CARGO) build --release --locked -p whichroom
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin bench-history -- $(DAYS)

footprint: deps
	$(CARGO) build --profile router --locked -p whichroom-agent
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin agent-footprint

# Takes about six minutes: some of what an agent does, it does every five minutes.
agent-cost: deps
	$(CARGO) build --profile router --locked -p whichroom-agent
	$(CARGO) run --release --locked --quiet -p whichroom-tests --bin agent-cost

minimum-rust:
	.ci/minimum-rust
