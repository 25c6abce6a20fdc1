# vouchsafe. Everything is built below $(BUILD); `make help` lists the targets.
VERSION := 0.1.0
BUILD ?= build
V ?= 0
SANITIZE ?= 0

# Debian 12 packages: to build, and (more) to test and lint. Installed by `make packages` only where missing.
PACKAGES_BUILD := gcc libc6-dev make pkg-config libmicrohttpd-dev libgnutls28-dev libcurl4-openssl-dev libjansson-dev libssl-dev \
	libsqlite3-dev libpq-dev libxml2-dev libp11-kit-dev softhsm2 openssl curl ca-certificates python3 util-linux procps
PACKAGES_TEST := $(PACKAGES_BUILD) libcmocka-dev libasan8 libubsan1 libtsan2 iproute2 valgrind prometheus haproxy awscli \
	python3-botocore python3-jsonschema python3-yaml shellcheck systemd libseccomp2 postgresql-15
PACKAGES_LINT := $(PACKAGES_TEST) clang-format cppcheck
PACKAGES_FUZZ := $(PACKAGES_BUILD) clang libclang-rt-14-dev
INSTALL := tests/install-packages

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2))

PKGS := libmicrohttpd gnutls libcurl jansson libcrypto sqlite3 libpq libxml-2.0 p11-kit-1
# Read once, and only by targets that compile.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings \
	-Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -Wno-missing-field-initializers -Werror
HARDEN := -fstack-protector-strong -fPIE -fno-strict-aliasing
CFLAGS ?= -O2 -g
ifeq ($(SANITIZE),address)
  HARDEN += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(SANITIZE),thread)
  HARDEN += -fsanitize=thread -fno-omit-frame-pointer
else ifeq ($(SANITIZE),fuzzer)
  CC := clang
  WARNINGS := -w # gcc's are the ones that count
  HARDEN += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
  HARDEN += -D_FORTIFY_SOURCE=2
endif
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(HARDEN) $(WARNINGS) -D_GNU_SOURCE -DVOUCHSAFE_VERSION='"$(VERSION)"' -I. -isystem /usr/include/p11-kit-1 $(PKG_CFLAGS) -pthread
LINK = $(CC) $(CFLAGS) $(HARDEN) -pie -pthread -Wl,-z,relro,-z,now

# ---- what each program is made of; vault/ is two things (DESIGN.md section 1): the client side and the member
FOLDERS := verifier aws policy store server agent cli
$(foreach f,$(FOLDERS),$(eval $(f)_o := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(f)/*.c))))
VAULT_CLIENT := answer checkpoint client client_checkpoint exchange file frame log node_key setup_child setup_client
vault_client_o := $(patsubst %,$(BUILD)/obj/vault/%.o,$(VAULT_CLIENT))
vault_member_o := $(filter-out $(patsubst %,$(BUILD)/obj/vault/%.o,answer client client_checkpoint exchange node_key setup_child setup_client),$(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard vault/*.c)))
server_config_o := $(patsubst %,$(BUILD)/obj/server/%.o,config configured configured_tls access_load client_trust)
server_lib_o := $(filter-out $(BUILD)/obj/server/main.o,$(server_o))
agent_lib_o := $(filter-out $(BUILD)/obj/agent/main.o,$(agent_o))
member_lib_o := $(filter-out $(BUILD)/obj/vault/main.o,$(vault_member_o))
sim_o := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/aws-sim/*.c))

PROGRAMS := vouchsafed vouchsafe-vault vouchsafe-agent vouchsafe
BINARIES := $(PROGRAMS:%=$(BUILD)/%)

vouchsafed_o := $(verifier_o) $(aws_o) $(policy_o) $(store_o) $(vault_client_o) $(server_o)
vouchsafed_l := -lmicrohttpd -lgnutls -lcurl -ljansson -lcrypto -lsqlite3 -lpq -lxml2
vouchsafe-vault_o := $(verifier_o) $(vault_member_o)
vouchsafe-vault_l := -lp11-kit -ljansson -lcrypto -ldl
agent_aws_o := $(patsubst %,$(BUILD)/obj/aws/%.o,http_curl sigv4 regions)
vouchsafe-agent_o := $(verifier_o) $(agent_aws_o) $(agent_o)
vouchsafe-agent_l := -lcurl -ljansson -lcrypto
vouchsafe_o := $(verifier_o) $(aws_o) $(policy_o) $(store_o) $(vault_client_o) $(server_config_o) $(cli_o)
vouchsafe_l := -lcurl -ljansson -lcrypto -lsqlite3 -lpq -lxml2

.PHONY: help all programs tools demo test faults soak attacks mutants coverage check fuzz lint format bench install clean packages packages-test packages-fuzz packages-lint
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

all: programs ## build vouchsafed, vouchsafe-vault, vouchsafe-agent and vouchsafe
programs: $(BINARIES)
tools: $(BUILD)/aws-sim $(BUILD)/bench/load $(BUILD)/fault/shim.so $(BUILD)/fault/pkcs11.so $(BUILD)/attacks/clock.so

define program
$(BUILD)/$(1): $$($(1)_o)
	$$(call say,LINK,$$@)
	$$(Q)$$(LINK) -o $$@ $$($(1)_o) $$($(1)_l)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

$(BUILD)/aws-sim: $(sim_o)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ -lmicrohttpd -ljansson -lcrypto

# The fault shims (tests/fault/) are loaded into programs of the plain build: never with a sanitizer themselves.
SHIM = $(CC) -std=gnu11 -O2 -g -fPIC -shared -fvisibility=hidden $(WARNINGS) -D_GNU_SOURCE -I. -isystem /usr/include/p11-kit-1 -pthread
$(BUILD)/fault/shim.so: tests/fault/shim.c
$(BUILD)/fault/pkcs11.so: tests/fault/pkcs11_shim.c
$(BUILD)/fault/%.so: tests/fault/control.c tests/fault/control.h
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(SHIM) -o $@ $(filter %.c,$^) -ldl

$(BUILD)/attacks/%.so: tests/attacks/%.c
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(SHIM) -o $@ $< -ldl

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# ---- what measures (bench/): a load generator, which tests use too, and the parts of a release alone
bench_load_o := $(patsubst %,$(BUILD)/obj/%.o,bench/load bench/exchange bench/summary agent/pace aws/http_curl verifier/memory)
$(BUILD)/bench/load: $(bench_load_o)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -lcurl -ljansson -lssl -lcrypto

bench_parts_o := $(patsubst %,$(BUILD)/obj/bench/%.o,parts hello commit bare seal) $(filter-out %/freed.o,$(verifier_o)) $(aws_o) \
	$(policy_o) $(store_o) $(vault_client_o) $(filter-out $(vault_client_o),$(member_lib_o)) $(BUILD)/obj/server/tls.o $(server_config_o)
$(BUILD)/bench/parts: $(bench_parts_o)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(UNIT_LIBS)

# ---- unit tests: tests/unit/<folder>_<what>.c, each a program of its own, linked with what its folder may see
UNIT := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*_*.c))
UNIT_BINARIES := $(UNIT:%=$(BUILD)/unit/%)
unit_verifier := $(verifier_o)
unit_policy := $(verifier_o) $(policy_o)
unit_aws := $(verifier_o) $(aws_o)
unit_store := $(verifier_o) $(policy_o) $(store_o)
unit_vault := $(verifier_o) $(policy_o) $(store_o) $(vault_client_o) $(filter-out $(vault_client_o),$(member_lib_o))
unit_agent := $(verifier_o) $(agent_aws_o) $(agent_lib_o)
unit_cli := $(verifier_o) $(aws_o) $(policy_o) $(store_o) $(vault_client_o) $(server_config_o) $(filter-out $(BUILD)/obj/cli/main.o,$(cli_o))
unit_server := $(verifier_o) $(aws_o) $(policy_o) $(store_o) $(vault_client_o) $(server_lib_o)
UNIT_LIBS := -lmicrohttpd -lgnutls -lcurl -ljansson -lcrypto -lsqlite3 -lpq -lxml2 -lp11-kit -ldl -lcmocka

define unit
$(BUILD)/unit/$(1): $(BUILD)/obj/tests/unit/$(1).o $$(unit_$(firstword $(subst _, ,$(1))))
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(LINK) -o $$@ $$^ $$(UNIT_LIBS)
endef
$(foreach u,$(UNIT),$(eval $(call unit,$(u))))
# what `restore --accept` does is the command line's, and is tried beside the set-up that it goes with
$(BUILD)/unit/vault_setup: $(BUILD)/obj/cli/accept.o
unit: $(UNIT_BINARIES)
.PHONY: unit

# ---- fuzz targets: tests/fuzz/fuzz_<what>.c, each with replay.c (a test like the others) and with libFuzzer
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
# What a target needs beside verifier/ and policy/, where it must be said; and what it stands in for.
objects = $(patsubst %,$(BUILD)/obj/%.o,$(1))
fuzz_o := $(verifier_o) $(policy_o)
fuzz_answer_o := $(call objects,agent/request agent/evidence agent/imds agent/pace aws/sigv4 aws/regions)
fuzz_backup_o := $(store_o) $(call objects,cli/backup_file cli/backup_piece cli/backup_seal)
fuzz_backup_l := -lsqlite3 -lpq
fuzz_config_o := $(server_config_o) $(call objects,server/forwarded) $(aws_o)
fuzz_config_l := -lcurl -lxml2
fuzz_document_l := -Wl,--wrap=PKCS7_verify
fuzz_client_certificate_o := $(server_config_o) $(call objects,server/certificate_rule server/forwarded) $(aws_o)
fuzz_client_certificate_l := -lcurl -lxml2
fuzz_ec2_o := $(aws_o)
fuzz_ec2_l := -lcurl -lxml2
fuzz_forwarded_o := $(call objects,server/forwarded)
fuzz_frame_o := $(call objects,vault/answer vault/frame vault/request)
fuzz_head_state_o := $(call objects,vault/head)
fuzz_iam_o := $(aws_o)
fuzz_head_o := $(call objects,server/head server/forwarded)
fuzz_head_l := -lmicrohttpd
fuzz_iam_l := -lcurl -lxml2
fuzz_key_o := $(call objects,agent/key agent/files)
fuzz_metadata_o := $(call objects,agent/evidence agent/imds agent/metadata agent/pace aws/sigv4 aws/regions)
fuzz_open_o := $(call objects,agent/open vault/cms_seal)
fuzz_payload_o := $(call objects,vault/payload)
fuzz_pin_o := $(call objects,vault/pin)
fuzz_proxy_header_o := $(call objects,server/proxy_header)
fuzz_query_o := $(call objects,server/audit_parameters)
fuzz_row_o := $(store_o)
fuzz_row_l := -lsqlite3 -lpq
fuzz_setup_o := $(call objects,vault/answer) $(member_lib_o)
fuzz_setup_l := -lp11-kit -ldl
fuzz_sts_o := $(aws_o)
fuzz_sts_l := -lcurl -lxml2
fuzz_keys_o := $(aws_o)
fuzz_keys_l := -lcurl -lxml2
fuzz_trail_o := $(call objects,cli/trail)
fuzz_vault_file_o := $(call objects,vault/file)
fuzz_xml_o := $(aws_o)
fuzz_xml_l := -lcurl -lxml2

define fuzz
$(BUILD)/unit/fuzz_$(1): $(BUILD)/obj/tests/fuzz/fuzz_$(1).o $(BUILD)/obj/tests/fuzz/replay.o $$(fuzz_o) $$(fuzz_$(1)_o)
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(LINK) -o $$@ $$^ $$(fuzz_$(1)_l) -ljansson -lcrypto
$(BUILD)/fuzz_$(1): $(BUILD)/obj/tests/fuzz/fuzz_$(1).o $$(fuzz_o) $$(fuzz_$(1)_o)
	$$(call say,LINK,$$@)
	$$(Q)$$(LINK) -fsanitize=fuzzer -o $$@ $$^ $$(fuzz_$(1)_l) -ljansson -lcrypto
endef
$(foreach f,$(FUZZ),$(eval $(call fuzz,$(f))))
unit: $(FUZZ:%=$(BUILD)/unit/fuzz_%)

# ---- what people type
demo: packages ## from nothing to the whole story on screen; KEEP=1 leaves it running
	@$(MAKE) --no-print-directory -s programs tools
	@BUILD=$(BUILD) KEEP=$(KEEP) tests/demo

test: packages-test ## install what is missing, build with sanitizers, run everything
	@$(MAKE) --no-print-directory -j2 programs tools
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)/asan SANITIZE=address CFLAGS='-O1 -g' programs tools unit
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS='-O1 -g' $(BUILD)/tsan/vouchsafed
	@BUILD=$(BUILD)/asan PLAIN=$(BUILD) TSAN=$(BUILD)/tsan tests/run

TARGET ?= $(FUZZ)
SECONDS ?= 60
RUNS ?= -1
fuzz: packages-fuzz ## clang's libFuzzer; TARGET=document (default: all) SECONDS=60 (each; RUNS=100000: or so many)
	@$(MAKE) --no-print-directory -s -j2 BUILD=$(BUILD)/fuzz SANITIZE=fuzzer CFLAGS='-O1 -g' $(TARGET:%=$(BUILD)/fuzz/fuzz_%)
	@BUILD=$(BUILD)/fuzz tests/fuzz/run $(SECONDS) $(RUNS) $(TARGET)

faults: packages-test ## every call on a release's way fails once, and what came of it; ONLY=words narrows it
	@$(MAKE) --no-print-directory -j2 programs tools
	@tests/fault/run $(BUILD) $(ONLY)

soak: packages-test ## rounds of faults on three nodes, each judged: ROUNDS=20 SEED=1; SOAK=sqlite, async or reading
	@$(MAKE) --no-print-directory -s -j2 programs tools >/dev/null
	@ROUNDS=$(ROUNDS) SEED=$(SEED) SOAK=$(SOAK) tests/once/soak $(BUILD)

attacks: packages-test ## one row for each attack of the catalogue: what was sent, expected, came; ONLY="4 12" narrows it
	@$(MAKE) --no-print-directory -s -j2 programs tools >/dev/null
	@$(MAKE) --no-print-directory -s -j2 BUILD=$(BUILD)/asan SANITIZE=address CFLAGS='-O1 -g' programs tools unit >/dev/null
	@BUILD=$(BUILD)/asan PLAIN=$(BUILD) tests/attacks/run $(ONLY)

mutants: packages-test ## breaks one defence after the other in a copy: its attack's tests have to notice; ONLY=words narrows it
	@tests/attacks/mutants $(BUILD)/mutants $(ONLY)

coverage: packages-test ## branches of verifier/ and policy/ that their unit tests take
	@$(MAKE) --no-print-directory -s -j2 BUILD=$(BUILD)/coverage CFLAGS='-O0 -g --coverage' \
		$(patsubst %,$(BUILD)/coverage/unit/%,$(filter verifier_% policy_%,$(UNIT)))
	@BUILD=$(BUILD)/coverage tests/coverage

lint: packages-lint ## formatting, cppcheck, the include table, shellcheck
	@tests/lint

format: ## lay out the source as .clang-format says
	clang-format -i $$(git ls-files '*.c' '*.h')

bench: packages-test ## what releases cost, in storms too, held against the design; ONLY="storm waiting" AGENTS=10000
	@$(MAKE) --no-print-directory -s -j2 programs tools $(BUILD)/bench/parts
	@BUILD=$(BUILD) bench/bench $(ONLY)

packages:
	@$(INSTALL) $(PACKAGES_BUILD)
packages-test:
	@$(INSTALL) $(PACKAGES_TEST)
packages-fuzz:
	@$(INSTALL) $(PACKAGES_FUZZ)
packages-lint:
	@$(INSTALL) $(PACKAGES_LINT)

DESTDIR ?=
prefix ?= /usr/local
install: all ## programs to $(prefix), example configuration to share/doc
	install -d $(DESTDIR)$(prefix)/bin $(DESTDIR)$(prefix)/sbin $(DESTDIR)$(prefix)/share/doc/vouchsafe/systemd
	install -m 755 $(BUILD)/vouchsafe $(BUILD)/vouchsafe-agent $(DESTDIR)$(prefix)/bin
	install -m 755 $(BUILD)/vouchsafed $(BUILD)/vouchsafe-vault $(DESTDIR)$(prefix)/sbin
	install -m 644 README.md docs/*.md conf/*.json $(DESTDIR)$(prefix)/share/doc/vouchsafe
	install -m 644 conf/systemd/* $(DESTDIR)$(prefix)/share/doc/vouchsafe/systemd

clean: ## remove build/
	rm -rf $(BUILD)

-include $(shell [ -d $(BUILD)/obj ] && find $(BUILD)/obj -name '*.d')
