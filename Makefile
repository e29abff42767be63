# Every target explains itself: make help.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help deps build demo demo-ha test test-nbd test-etcd test-etcd-overwrite test-crash \
  test-cluster test-cluster-moosefs simulate test-simulation test-model lint format bench-etcd-store \
  xen-lab test-xen xen-demo xen-shell bench bench-plot bench-allocations bench-profile soak install uninstall clean

PREFIX ?= /usr/local
LIBDIR := $(PREFIX)/lib/tapdisk-ts
# Where systemd and libxl look.
UNITDIR ?= $(PREFIX)/lib/systemd/system
XEN_SCRIPTS ?= /etc/xen/scripts

# ffi-napi 4.0.3 compiles against Node 20's and 22's headers only with this flag.
export CXXFLAGS += -DNODE_API_EXPERIMENTAL_NOGC_ENV_OPT_OUT

# Headers that came with this Node, where they did, so that node-gyp need not fetch any.
NODE_HOME := $(shell node -p "require('path').resolve(process.execPath, '../..')" 2>/dev/null)
ifneq ($(wildcard $(NODE_HOME)/include/node/node_api.h),)
export npm_config_nodedir := $(NODE_HOME)
endif

SOURCES := $(shell find lib native-bindings test -name '*.ts' -not -path '*/build/*' 2>/dev/null)
ADDON_SOURCES := $(wildcard native-bindings/addon/*.c native-bindings/addon/*.h native-bindings/addon/binding.gyp)

help: ## Show what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 18

deps: node_modules/.installed ## Install what is missing: Debian's g++ and python3, npm packages

node_modules/.installed: package.json package-lock.json
	@.ci/need-debian g++:g++ python3:python3
	# Not `npm ci`: it refuses a lock file that leaves other platforms' optional packages out.
	npm install --no-save --no-fund --no-audit --loglevel=error
	@touch $@

build: dist/.built ## Compile the TypeScript and the addon

dist/.built: node_modules/.installed tsconfig.json $(SOURCES) native-bindings/addon/build/.built
	npx tsc -p tsconfig.json
	@touch $@

# Without the addon everything works through ffi-napi, slower: a failure is told, not fatal.
native-bindings/addon/build/.built: node_modules/.installed $(ADDON_SOURCES)
	npx node-gyp rebuild -C native-bindings/addon --loglevel=error \
	  || echo 'The addon was not built; tapdisk-ts falls back to ffi-napi (see tapdisk-ts doctor).'
	@mkdir -p $(@D) && touch $@

demo: build ## A real guest's trace; then 20,000 requests to a tapdisk by its pipes, kill -9 amid them
	@node dist/test/demo/demo.js

demo-ha: build ## Three etcd members, two hosts: the owner is killed under load, the other goes on
	@.ci/need-debian etcd:etcd-server etcdctl:etcd-client
	@node dist/test/demo/demo-ha.js

test: build ## Unit and end-to-end tests that need neither root nor minutes; prints coverage
	npx jest --coverage

test-nbd: build ## The NBD server before qemu's, libnbd's and fio's clients (installs them)
	@.ci/need-debian qemu-img:qemu-utils nbdinfo:libnbd-bin nbdsh:python3-libnbd fio:fio openssl:openssl
	npx jest test/interop

test-etcd: build ## The etcd client on real clusters: its contract, and members that die or hang
	@.ci/need-debian etcd:etcd-server etcdctl:etcd-client openssl:openssl
	TAPDISK_TS_TEST_ETCD=1 npx jest test/etcd --runInBand

test-etcd-overwrite: build ## One chunk in etcd overwritten 20,000 times: what the database grows to (minutes)
	@.ci/need-debian etcd:etcd-server etcdctl:etcd-client
	TAPDISK_TS_TEST_ETCD=1 OVERWRITES=20000 npx jest test/etcd/chunk-store -t overwritten

bench-etcd-store: build ## The etcd store beside raw puts and gets by the same client, on three members
	@.ci/need-debian etcd:etcd-server etcdctl:etcd-client
	node dist/test/bench/etcd-store.js

test-crash: build ## 200 kills at random instants under load (SEED=n repeats the choices; minutes)
	node dist/test/crash/crash-test.js

SEEDS ?= 1000
SEED ?= 1

simulate: build ## SEEDS histories of owners, etcd and faults from SEED on; a failing one is told
	SEEDS=$(SEEDS) SEED=$(SEED) node dist/test/simulation/simulate.js

test-simulation: build ## 10,000 seeds of the simulation, and each planted bug found within them (minutes)
	SEEDS=10000 node dist/test/simulation/simulate.js
	SEEDS=10000 BUGS=1 node dist/test/simulation/simulate.js

test-model: build ## The protocol's model explored further than make test does (minutes, some GB)
	MODEL=full NODE_OPTIONS=--max-old-space-size=6144 npx jest test/model --runInBand

CLUSTER_PROGRAMS := etcd:etcd-server etcdctl:etcd-client ip:iproute2 iptables:iptables nsenter:util-linux

test-cluster: build ## Three hosts, three etcd members, real faults (root; CASE=name SEED=n; minutes)
	@.ci/need-debian $(CLUSTER_PROGRAMS) openssl:openssl
	[ -n "$$CASE" ] || TAPDISK_TS_TEST_ETCD=1 npx jest test/etcd/contract.test.ts test/etcd/coordination.test.ts --runInBand
	node dist/test/cluster/cluster-test.js

test-cluster-moosefs: build ## The same over a real distributed file system, MooseFS (root; installs it)
	@.ci/need-debian $(CLUSTER_PROGRAMS) mfsmaster:moosefs-master \
	  mfschunkserver:moosefs-chunkserver mfsmount:moosefs-client
	node dist/test/cluster/moosefs-test.js

XEN_LAB_PROGRAMS := qemu-system-x86_64:qemu-system-x86 gcc:gcc readelf:binutils cpio:cpio depmod:kmod xz:xz-utils \
  dpkg-deb:dpkg mke2fs:e2fsprogs

xen-lab: build ## Build what the Xen lab boots, from Debian packages, in .xen-lab (docs/xen-lab.md)
	@PATH=$$PATH:/sbin:/usr/sbin .ci/need-debian $(XEN_LAB_PROGRAMS)
	@PATH=$$PATH:/sbin:/usr/sbin node dist/test/xen/images/build.js

test-xen: xen-lab ## Real guests on a real Xen in QEMU (CASE=name; KEEP=1 leaves it running; minutes)
	@PATH=$$PATH:/sbin:/usr/sbin node dist/test/xen/xen-test.js

xen-demo: xen-lab ## To watch: a guest on a real Xen uses a volume, live figures beside it (a minute)
	@PATH=$$PATH:/sbin:/usr/sbin node dist/test/xen/xen-demo.js

xen-shell: xen-lab ## Boot the Xen lab on this terminal, with a shell in dom0
	@node dist/test/xen/lab/shell.js

lint: node_modules/.installed ## Lint, formatting, and the import direction between rooms
	npm run --silent lint

format: node_modules/.installed ## Format every source file
	npm run --silent format

BENCH_PEERS := etcd:etcd-server etcdctl:etcd-client fio:fio qemu-nbd:qemu-utils nbdkit:nbdkit nbdcopy:libnbd-bin

bench: build ## Rings, NBD, growth and etcd beside fio, qemu-nbd, nbdkit; BENCH='ring nbd' runs some
	@.ci/need-debian $(BENCH_PEERS)
	node dist/test/bench/bench.js $(BENCH)

bench-plot: build ## Draw the last bench's results against their goals: docs/performance.svg
	node dist/test/bench/plot.js

bench-allocations: build ## Bytes that each request makes the serving process allocate, by function
	@.ci/need-debian fio:fio
	node dist/test/bench/bench-profile.js allocations

bench-profile: build ## Microseconds of each request in the serving process, by function
	@.ci/need-debian fio:fio
	node dist/test/bench/bench-profile.js time

soak: build ## A million verified requests through a ring and NBD at once (SEED=n; minutes)
	@.ci/need-debian fio:fio
	node dist/test/bench/soak.js

install: build ## Install below PREFIX (/usr/local): programs, systemd unit, and Xen's hotplug script
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)
	rm -rf $(DESTDIR)$(LIBDIR)/dist
	cp -r bin dist docs package.json package-lock.json .npmrc LICENSE README.md $(DESTDIR)$(LIBDIR)/
	rm -rf $(DESTDIR)$(LIBDIR)/dist/test
	install -d $(DESTDIR)$(LIBDIR)/native-bindings/addon/build/Release
	-install -m 644 native-bindings/addon/build/Release/*.node \
	  $(DESTDIR)$(LIBDIR)/native-bindings/addon/build/Release/
	cd $(DESTDIR)$(LIBDIR) && npm install --no-save --omit=dev --no-fund --no-audit --loglevel=error
	ln -sf $(LIBDIR)/bin/tapdisk-ts $(DESTDIR)$(PREFIX)/bin/tapdisk-ts
	ln -sf $(LIBDIR)/bin/tapdisk $(DESTDIR)$(PREFIX)/bin/tapdisk
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(XEN_SCRIPTS)
	sed 's|@BINDIR@|$(PREFIX)/bin|; s|@LIBDIR@|$(LIBDIR)|' share/tapdisk-ts.service \
	  > $(DESTDIR)$(UNITDIR)/tapdisk-ts.service
	install -m 755 share/block-tapdisk-ts $(DESTDIR)$(XEN_SCRIPTS)/block-tapdisk-ts

uninstall: ## Remove what install put there
	rm -rf $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PREFIX)/bin/tapdisk-ts $(DESTDIR)$(PREFIX)/bin/tapdisk
	rm -f $(DESTDIR)$(UNITDIR)/tapdisk-ts.service $(DESTDIR)$(XEN_SCRIPTS)/block-tapdisk-ts

clean: ## Remove everything that was built or installed here
	rm -rf node_modules dist .coverage .bench .xen-lab native-bindings/addon/build
