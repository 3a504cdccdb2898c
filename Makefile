# Tools are pinned here and run from their modules: nothing needs to be installed.
GO          ?= go
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
# A number and not a time: at the end of a time, go1.26 may say of what found nothing that it
# failed, "context deadline exceeded" (go.dev/issue/75804).
FUZZTIME    ?= 30000x
# Folder of agent runs as StoredEvent lines, for `make traces`.
TRACES      ?= $(ENACT_TRACES)
# Of the logs that bench-reads and bench-cold measure: their size, and a directory to keep
# them in for the next run. Without one they are written each time and removed.
SCALE       ?= 1
BENCH_DIR   ?=
BENCHTIME   ?= 5s
# Records of the log that bench-fsck checks.
RECORDS     ?= 1000000
# Of `make bench`: how often each operation is measured at least. Default: 3 seconds.
ITERATIONS  ?=
# Executions that `make listing` creates.
EXECUTIONS  ?= 100000
# Where `make cluster` keeps its streams, logs and passwords. TLS=1 is for cluster and up,
# MONITORING=1 for up.
CLUSTER_DIR ?= data/cluster
TLS         ?=
MONITORING  ?=
# Modules of their own, for what is too heavy for users of the library.
SUBMODULES  := bench/jsonlib examples/sqlite integration/power

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz bench bench-all newcomer readers bench-reads bench-cold bench-fsck demo codecs traces torn integration long histories listing subscribers modules bench-follow cover sizing

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build everything, the admin program into bin/
	$(GO) build ./...
	$(GO) build -o bin/jetstore-admin ./cmd/jetstore-admin

# The package whose tests take longest comes first: the others go beside it.
PACKAGES = ./jetstore ./...

# The time-outs are for what hangs: a machine may be slow, and busy with other things.
test: ## run the tests that need nothing but Go (under 5 minutes)
	$(GO) test -count=1 -timeout 20m $(PACKAGES)

race: ## the same under the race detector (needs a C compiler; under 12 minutes)
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 40m $(PACKAGES)

lint: ## formatting, vet, staticcheck, and govulncheck where its database can be reached
	@out="$$($(GO) run $(GOFUMPT) -l .)" || exit 1; if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags traces,mounts,long,biglog,subscribers,faults,deployment,readers ./...
	$(GO) run $(STATICCHECK) ./...
	@# Exit code 3 is a vulnerability that is called; any other failure is no answer.
	@out="$$($(GO) run $(GOVULNCHECK) ./... 2>&1)"; rc=$$?; \
	if [ $$rc -ne 0 ] && echo "$$out" | grep -q '^exit status 3$$'; then echo "$$out"; exit 1; fi; \
	if [ $$rc -ne 0 ]; then echo "govulncheck: NOT CHECKED: $$(echo "$$out" | grep -v '^exit status' | tail -1)"; else echo "govulncheck: no vulnerability is called"; fi

# The tests of power need root, and have a target of their own.
TESTED       = $(filter-out integration/power,$(SUBMODULES))

modules: ## vet and test the modules of their own
	@for m in $(SUBMODULES); do echo "vet $$m"; (cd $$m && $(GO) vet ./...) || exit 1; done
	@for m in $(TESTED); do echo "test $$m"; (cd $$m && $(GO) test -count=1 -timeout 1h ./...) || exit 1; done

fuzz: ## run every fuzz test for FUZZTIME executions (default 30000x)
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

# A smoke test of the table writes its page beside the results: its figures say nothing.
RESULTS      = bench/results/$(shell date -u +%Y%m%dT%H%M%S).txt
BENCH_PAGE   = $(if $(ITERATIONS),bench/results/smoke.md,docs/benchmarks.md)

bench: ## the table of docs/benchmarks.md (under 15 minutes; ITERATIONS=1: does it run?)
	@mkdir -p bench/results
	@set -e; out=$(RESULTS); echo "results: $$out"; \
	ENACT_BENCH_SMOKE=$(ITERATIONS) $(GO) test -run '^$$' -bench '^BenchmarkTable$$' \
		-benchtime $(if $(ITERATIONS),$(ITERATIONS)x,3s) -timeout 1h ./bench >$$out 2>&1 || { cat $$out; exit 1; }; \
	$(GO) run ./bench/report -in $$out -out $(BENCH_PAGE); echo "page: $(BENCH_PAGE)"

bench-all: ## run every benchmark
	$(GO) test -run '^$$' -bench . -benchmem -timeout 2h ./...

# Only files with the tag, which need minutes and gigabytes.
BIGLOG = ENACT_BENCH_SCALE=$(SCALE) ENACT_BENCH_DIR="$(abspath $(BENCH_DIR))" $(GO) test -tags biglog -timeout 4h ./bench

bench-reads: ## reads of a log of 2 million records (times SCALE) on one server and three, 7 GB
	$(BIGLOG) -run '^TestMemoryOfAMillionEvents$$' -v
	$(BIGLOG) -run '^$$' -bench '^BenchmarkReads$$' -benchtime $(BENCHTIME)

bench-cold: ## reads of logs that were not used for minutes, beside appends (40 minutes, 5 GB)
	$(BIGLOG) -run '^$$' -bench '^BenchmarkColdReads$$' -benchtime 1x

bench-fsck: ## a check of a log of RECORDS records (default 1000000) beside a raw ordered read
	ENACT_FSCK_RECORDS=$(RECORDS) $(BIGLOG) -run '^$$' -bench '^BenchmarkFsck$$' -benchtime 3x

sizing: ## disk and memory that a log takes (200 000 events three times, times SCALE)
	$(BIGLOG) -count=1 -run '^TestSizing$$' -v

newcomer: ## the README's path to a first append in a program of one's own
	.ci/newcomer.sh

readers: ## readers of the log in other languages (needs python3)
	$(GO) test -count=1 -timeout 1h -tags readers ./examples/readers

demo: ## show the log at work
	$(GO) run ./cmd/jetstore-admin demo

codecs: ## measure the codecs on the agent runs in TRACES, else on the samples
	ENACT_TRACES="$(abspath $(TRACES))" $(GO) test -run '^$$' -bench 'Codec|ZstdLevel' ./bench

traces: ## import, restart, export the agent runs in TRACES and compare
	ENACT_TRACES="$(abspath $(TRACES))" $(GO) test -count=1 -timeout 1h -tags traces -run Traces ./cmd/jetstore-admin

torn: ## tests that fill a small file system (needs root, to mount it)
	$(GO) test -count=1 -timeout 1h -tags mounts -run Torn ./integration

# Rounds and seed of integration; 0 rounds are as many as each fault needs, seed 0 is the time.
# CLUSTERS run side by side, three servers and eight client processes each.
ROUNDS   ?= 0
SEED     ?= 0
CLUSTERS ?= 2
REPORT   ?=

integration: ## clusters under faults, with history checkers (needs root, to mount; ROUNDS, SEED, REPORT)
	ENACT_FAULT_ROUNDS=$(ROUNDS) ENACT_FAULT_REPORT="$(abspath $(REPORT))" $(GO) test -count=1 -tags faults -timeout 3h -parallel $(CLUSTERS) -v \
		-run '^Test(Faults|DeposedLeader|ReadsAfterAnElection|WritersOnACluster|SubscribersOnACluster)' ./integration -seed $(SEED)

long: ## the integration tests with ten times the rounds
	$(GO) test -count=1 -tags long -timeout 2h -v ./integration
	$(GO) test -count=1 -tags long -run Replica ./fsck

histories: ## the checks of concurrent histories and random faults in the numbers that are promised
	$(GO) test -count=1 -timeout 1h -v -run '^Test(Linearizable|ReadAfterAcknowledge|RandomFaults)$$' ./jetstore -args -full
	$(GO) test -count=1 -timeout 1h -run '^TestFaultsInAHistory$$' ./jetstore -args -full
	$(GO) test -count=1 -timeout 1h -run '^TestOneFaultIsFound$$' ./fsck -args -full
	$(GO) test -count=1 -timeout 1h -v -run '^TestKilledServer$$' ./integration -args -full

listing: ## processes create EXECUTIONS (default 100000), some are killed, and lists are compared
	ENACT_LISTING_EXECUTIONS=$(EXECUTIONS) $(GO) test -count=1 -timeout 2h -v -run TestListsOfManyCreators ./integration

subscribers: ## subscribers while connections are cut, consumers deleted, leaders restarted (some minutes)
	$(GO) test -count=1 -tags subscribers -timeout 20m -v -run Subscribers ./integration

.PHONY: cluster up down ps compose-check deploy-test power

deploy-test: ## start the servers that deploy/nats configures, with and without TLS, and lose one
	$(GO) test -count=1 -tags deployment -timeout 1h -v ./internal/deployment ./internal/cmd/deploy

power: ## servers and clusters lose power (needs root, to mount through FUSE; 1 minute)
	cd integration/power && $(GO) test -count=1 -parallel 8 -timeout 1h -v ./...

DEPLOY := $(GO) run ./internal/cmd/deploy

cluster: ## three servers without Docker, until Ctrl-C; TLS=1 with TLS
	$(DEPLOY) cluster --dir "$(CLUSTER_DIR)" $(if $(TLS),--tls)

COMPOSE  := docker compose -f docker-compose.yml $(if $(TLS),-f deploy/docker-compose.tls.yml) --profile monitoring
SERVICES := n1 n2 n3 $(if $(MONITORING),exporter-n1 exporter-n2 exporter-n3 prometheus)

up: ## the same with docker compose; TLS=1 with TLS, MONITORING=1 with Prometheus
	$(DEPLOY) secrets .env
	$(if $(TLS),$(DEPLOY) certificates deploy/certificates)
	$(COMPOSE) up --detach --wait $(SERVICES)
	$(COMPOSE) run --rm --build streams

down: ## stop what make up has started; the volumes stay
	$(COMPOSE) down

ps: ## what of it runs
	$(COMPOSE) ps

compose-check: ## let docker compose read the files, where it is at hand
	@if docker compose version >/dev/null 2>&1; then \
		env="$$(mktemp)" && trap 'rm -f "$$env"' EXIT && $(DEPLOY) secrets "$$env" && \
		docker compose --env-file "$$env" --profile monitoring config --quiet && \
		docker compose --env-file "$$env" -f docker-compose.yml -f deploy/docker-compose.tls.yml config --quiet && \
		echo "docker compose accepts the files"; \
	else echo "not checked: there is no docker compose here"; fi

# Events that `make bench-follow` follows.
EVENTS      ?= 1000000

bench-follow: ## follow EVENTS stored events (default 1000000) beside a raw ordered consumer
	ENACT_BENCH_FOLLOW=$(EVENTS) $(GO) test -run '^$$' -bench '^BenchmarkFollow$$' -benchtime 1x -timeout 2h ./bench

cover: ## test coverage: of each package by its own tests, and in all by those of all
	$(GO) test -timeout 20m -cover ./... | grep -v 'no test files'
	$(GO) test -timeout 20m -coverpkg=./... -coverprofile=cover.out ./... >/dev/null
	@$(GO) tool cover -func=cover.out | awk '/^total:/ { print "in all: " $$NF " of statements" }'
