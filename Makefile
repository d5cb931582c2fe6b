# Needs Go 1.26; the rest is fetched by Go or, by `make test`, by apt-get.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --verify -q HEAD 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# What `make bench` and `make fuzz` run, and for how long.
BENCH    ?= .
COUNT    ?= 1
FUZZTIME ?= 30s

DOCKER ?= docker
TOOL    = go tool -modfile=tools/go.mod

export GOTOOLCHAIN = local

SHELL = /bin/bash
.SHELLFLAGS = -o pipefail -ec

.DEFAULT_GOAL := help
.PHONY: help build lint check test bench fuzz image dashboard dist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/lockd, static
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/lockd ./cmd/lockd

lint: ## gofumpt, vet, staticcheck
	@files=$$($(TOOL) gofumpt -l .) && { [ -z "$$files" ] || { echo "not as gofumpt writes it:" $$files; exit 1; }; }
	go vet ./...
	$(TOOL) staticcheck ./...

check: build lint ## the quick check: build, lint, tests without -race, random ones for shorter
	go test -short -timeout 5m ./...

test: ## everything; as root on Debian it installs what that needs
	@test/run.sh

bench: ## Go benchmarks (BENCH=regexp COUNT=n), kept in bin/bench.txt; as root on Debian it installs what they compare with
	@mkdir -p bin
	@[ "$$(id -u)" != 0 ] || [ ! -e /etc/debian_version ] || test/install-packages.sh
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... | tee bin/bench.txt
	@echo "compare two with COUNT=10: $(TOOL) benchstat OLD NEW"

fuzz: ## each fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) test/fuzz.sh

image: ## build the container image lockd:latest
	DOCKER_BUILDKIT=1 $(DOCKER) build -f deploy/docker/Dockerfile --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg GOPROXY -t lockd:$(VERSION) -t lockd:latest .

dist: ## packages into dist/: deb, rpm and tar.gz, VERSION=1.2.3 or git's
	@VERSION='$(VERSION)' COMMIT='$(COMMIT)' deploy/packages/build.sh dist

dashboard: ## draw docs/dashboard.png anew, from a load of 90 seconds (needs root and Prometheus)
	LOCKD_TEST_FULL=1 go test -count 1 -run '^TestTheDashboardCanBeDrawn$$' ./test/monitoring -draw $(CURDIR)/docs/dashboard.png -draw-for 90s

clean: ## remove what was built
	rm -rf bin dist
