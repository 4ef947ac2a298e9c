# Tests speak TAP.  To add one, add one line:
#
#   unit_tests += %D%/unit/test_x       a C program from tests/unit/test_x.c with "unit/tap.h"
#   script_tests += %D%/cli/x.sh        a shell script; $SWITCHYARD is the program, $srcdir the tree
#   script_tests += %D%/lua/x.lua       a Lua file, run by `switchyard -E`
#
# SY_TEST_FAST=1 in the environment leaves out what takes long (tap_fast() in C);
# SY_TEST_TIMEOUT is the limit of one test in seconds.

#
# A test with threads is named once more in threaded_tests: `make check-threads` runs these alone, for
# ThreadSanitizer.

threaded_tests = %D%/unit/test_pool %D%/unit/test_rng %D%/unit/test_mem %D%/unit/test_trainer \
    %D%/unit/test_store %D%/unit/test_checkpoint %D%/unit/test_source %D%/unit/test_panel \
    %D%/screens/live.sh

check-threads:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(threaded_tests)'
.PHONY: check-threads

# 2,000 kills; `make check` has 200.
check-kills:
	SY_KILLS=2000 SY_TEST_TIMEOUT=7200 $(MAKE) $(AM_MAKEFLAGS) check TESTS='%D%/fault/test_kill'
.PHONY: check-kills

check_LIBRARIES += libtap.a
libtap_a_SOURCES = %D%/unit/tap.c %D%/unit/tap.h %D%/unit/kern_sets.h
test_libs = libtap.a
AM_CPPFLAGS += -I$(top_srcdir)/tests

script_tests += %D%/layers.sh
script_tests += %D%/globals.sh
unit_tests += %D%/unit/test_scroll
script_tests += %D%/screens/verbs.sh
script_tests += %D%/screens/keys.sh %D%/screens/terminal.sh %D%/screens/live.sh %D%/screens/gone.sh
EXTRA_DIST += %D%/screens/lib.sh
EXTRA_DIST += %D%/layers.txt
EXTRA_DIST += %D%/peers/tokenizer.py %D%/peers/layouts.py %D%/peers/huggingface.py
script_tests += %D%/lua/reroute.lua
script_tests += %D%/lua/verbs.lua %D%/lua/token_rules.lua
script_tests += %D%/lua/vocab.lua
script_tests += %D%/cli/short.sh
script_tests += %D%/peers/layouts.lua %D%/peers/huggingface.lua %D%/lua/tokenizer.lua
# Made by `tests/peers/layouts.py --golden`.
EXTRA_DIST += %D%/tokenizers
script_tests += %D%/lua/fixtures.lua
script_tests += %D%/lua/forms.lua
script_tests += %D%/lua/capacity.lua
script_tests += %D%/lua/routers_own_ops.lua
script_tests += %D%/lua/padding.lua
script_tests += %D%/lua/routers_numbers.lua
script_tests += %D%/lua/routers_options.lua
script_tests += %D%/lua/mix_live.lua %D%/lua/encdec_numbers.lua
script_tests += %D%/lua/identities_encdec.lua
script_tests += %D%/lua/alarms.lua
script_tests += %D%/lua/probe.lua
script_tests += %D%/lua/specialization.lua
script_tests += %D%/lua/lint.lua
script_tests += %D%/lua/trace.lua %D%/lua/trace_file.lua
script_tests += %D%/lua/ablation.lua
script_tests += %D%/lua/synthetic.lua
script_tests += %D%/lua/trace_series.lua
script_tests += %D%/lua/upcycle.lua
script_tests += %D%/lua/distill.lua
script_tests += %D%/lua/copy_from.lua
script_tests += %D%/lua/routers.lua
script_tests += %D%/lua/routers_balance.lua
script_tests += %D%/lua/routers_refused.lua
script_tests += %D%/lua/routers_runs.lua
EXTRA_DIST += %D%/lua/own_routers.lua
EXTRA_DIST += %D%/lua/identity_cases.lua
EXTRA_DIST += %D%/lua/lint_cases.lua
EXTRA_DIST += %D%/fixtures %D%/fixtures/0.1/code/make.lua \
    %D%/fixtures/format-1/code/old.lua %D%/fixtures/format-2/code/old.lua
EXTRA_DIST += %D%/peers/parity.py
EXTRA_DIST += %D%/peers/peers.lua
script_tests += %D%/lists.sh %D%/keys_page.sh
script_tests += %D%/symbols.sh
script_tests += %D%/lua/docs.lua %D%/lua/show.lua %D%/lua/complete.lua %D%/cli/examples.sh
script_tests += %D%/lua/data.lua %D%/lua/files.lua %D%/lua/model_file.lua
script_tests += %D%/peers/parity.lua
script_tests += %D%/lua/exact.lua %D%/lua/run.lua %D%/lua/memory.lua
script_tests += %D%/lua/spike.lua
script_tests += %D%/lua/draws.lua
script_tests += %D%/cli/readme.sh
script_tests += %D%/screens/stored.sh %D%/screens/apart.sh
script_tests += %D%/lua/experts_per_token.lua
script_tests += %D%/lua/strict.lua
unit_tests += %D%/unit/test_events
unit_tests += %D%/unit/test_checkpoint_fields
# The program with rows more in its table of hyper-parameters: all that sees the table is made again.
script_tests += %D%/rows/one_row.sh
EXTRA_DIST += %D%/rows/rows.lua
check_PROGRAMS += %D%/rows/switchyard
%C%_rows_switchyard_SOURCES = $(switchyard_SOURCES) $(libbind_a_SOURCES) $(libtrain_a_SOURCES) %D%/rows/rows.h
nodist_%C%_rows_switchyard_SOURCES = $(nodist_libbind_a_SOURCES)
%C%_rows_switchyard_CPPFLAGS = $(AM_CPPFLAGS) $(LUA_CFLAGS) -include $(srcdir)/tests/rows/rows.h
%C%_rows_switchyard_CFLAGS = $(base_cflags) -O0 -w
%C%_rows_switchyard_LDADD = $(all_libs)
script_tests += %D%/lua/enum.lua
script_tests += %D%/lua/observe.lua
script_tests += %D%/lua/health.lua
script_tests += %D%/lua/router_health.lua
script_tests += %D%/lua/start.lua
script_tests += %D%/lua/compare.lua
script_tests += %D%/lua/bakeoff.lua
script_tests += %D%/lua/fields.lua
script_tests += %D%/lua/batch.lua
script_tests += %D%/lua/attention.lua
script_tests += %D%/lua/encdec.lua
script_tests += %D%/lua/encdec_runs.lua
script_tests += %D%/peers/encdec.lua
EXTRA_DIST += %D%/peers/encdec.py
script_tests += %D%/lua/objectives.lua
script_tests += %D%/lua/fill.lua
script_tests += %D%/lua/tensor.lua %D%/lua/state.lua %D%/lua/names.lua
script_tests += %D%/lua/foreign.lua %D%/lua/compose.lua
script_tests += %D%/lua/order.lua %D%/lua/loss.lua
EXTRA_DIST += %D%/lua/tap.lua %D%/scratch.sh
EXTRA_DIST += %D%/lua/small.lua %D%/until.sh
script_tests += %D%/cli/options.sh %D%/cli/fifty.sh %D%/cli/prompt.sh %D%/cli/typed.sh
script_tests += %D%/cli/train.sh
script_tests += %D%/lua/hostile.lua %D%/cli/escapes.sh %D%/cli/limits.sh %D%/cli/streams.sh
script_tests += %D%/cli/fifo.sh
script_tests += %D%/cli/runs.sh
script_tests += %D%/cli/tree.sh %D%/cli/kill.sh %D%/cli/resume.sh %D%/lua/rewind.lua
script_tests += %D%/lua/who.lua
script_tests += %D%/lua/disk.lua
script_tests += %D%/lua/schedule.lua
EXTRA_DIST += %D%/cli/lib.sh %D%/cli/catalogues.sh %D%/cli/prompt.pty %D%/cli/live.pty
EXTRA_DIST += %D%/cli/jobs.pty %D%/cli/jobs.lua
# A person at a terminal, for cli/*.pty.
check_PROGRAMS += %D%/cli/pty
tests_cli_pty_SOURCES = %D%/cli/pty.c
tests_cli_pty_LDADD = -lutil
# A client of `switchyard serve`.
check_PROGRAMS += %D%/cli/socket
tests_cli_socket_SOURCES = %D%/cli/socket.c
tests_cli_socket_LDADD =
script_tests += %D%/cli/serve.sh %D%/cli/sql.sh
# Keys at random; `make check-keys` types 200,000, best where the sanitizers are on.
script_tests += %D%/cli/fuzz_keys.sh
check_PROGRAMS += %D%/cli/keys
tests_cli_keys_SOURCES = %D%/cli/keys.c
tests_cli_keys_LDADD = -lutil
CHECK_KEYS = 200000

check-keys:
	SY_KEYS=$(CHECK_KEYS) SY_TEST_TIMEOUT=7200 $(MAKE) $(AM_MAKEFLAGS) check TESTS='%D%/cli/fuzz_keys.sh'
.PHONY: check-keys
unit_tests += %D%/unit/test_tap
unit_tests += %D%/unit/test_graph
unit_tests += %D%/unit/test_io
unit_tests += %D%/unit/test_checkpoint
unit_tests += %D%/fault/test_faults %D%/fault/test_kill
%C%_fault_test_kill_SOURCES = %D%/fault/test_kill.c %D%/unit/tiny_run.c %D%/unit/tiny_run.h
%C%_fault_test_faults_SOURCES = %D%/fault/test_faults.c %D%/unit/tiny_run.c %D%/unit/tiny_run.h
%C%_unit_test_checkpoint_SOURCES = %D%/unit/test_checkpoint.c %D%/unit/tiny_run.c %D%/unit/tiny_run.h
unit_tests += %D%/unit/test_pyramid %D%/unit/test_source %D%/unit/test_grid %D%/unit/test_plot \
    %D%/unit/test_panel
# Screens of the panel; made anew by  SY_SCREENS=write tests/unit/test_panel  (look at each of them)
EXTRA_DIST += %D%/screens/120x40.txt %D%/screens/20-runs.txt %D%/screens/200x60.txt
EXTRA_DIST += %D%/screens/20x5.txt %D%/screens/40x12.txt %D%/screens/60x15.txt
EXTRA_DIST += %D%/screens/64x128.txt %D%/screens/8-colours.txt %D%/screens/80x24.txt
EXTRA_DIST += %D%/screens/ascii.txt %D%/screens/change.txt %D%/screens/cursor.txt
EXTRA_DIST += %D%/screens/dense.txt %D%/screens/drops.txt %D%/screens/empty.txt %D%/screens/events.txt
EXTRA_DIST += %D%/screens/failed.txt %D%/screens/filter.txt %D%/screens/first-step.txt %D%/screens/first-steps.txt %D%/screens/full-screen.txt %D%/screens/gates.txt %D%/screens/light.txt
EXTRA_DIST += %D%/screens/help.txt %D%/screens/no-colours.txt %D%/screens/zoomed.txt
EXTRA_DIST += %D%/screens/choices.txt %D%/screens/choices-200x60.txt
EXTRA_DIST += %D%/screens/objectives.txt %D%/screens/sources.txt %D%/screens/translation.txt
EXTRA_DIST += %D%/screens/trace.txt %D%/screens/trace-200x60.txt %D%/screens/trace-ascii.txt
EXTRA_DIST += %D%/screens/trace-none.txt
EXTRA_DIST += %D%/screens/translation-60x15.txt %D%/screens/translation-ascii.txt
EXTRA_DIST += %D%/screens/menu.txt %D%/screens/menu-200x60.txt %D%/screens/menu-ascii.txt
%C%_unit_test_panel_SOURCES = %D%/unit/test_panel.c %D%/unit/fake_run.c %D%/unit/fake_run.h
unit_tests += %D%/unit/test_attention
unit_tests += %D%/unit/test_file
unit_tests += %D%/unit/test_gemm
unit_tests += %D%/unit/test_form
script_tests += %D%/lua/stored.lua %D%/lua/mapped.lua
unit_tests += %D%/unit/test_kern_map
unit_tests += %D%/unit/test_kern_row
unit_tests += %D%/unit/test_hash
unit_tests += %D%/unit/test_json
unit_tests += %D%/unit/test_journal
unit_tests += %D%/unit/test_machine
unit_tests += %D%/unit/test_mem
unit_tests += %D%/unit/test_moe
unit_tests += %D%/unit/test_nn
unit_tests += %D%/unit/test_pool
unit_tests += %D%/unit/test_rng
unit_tests += %D%/unit/test_series
unit_tests += %D%/unit/test_str
unit_tests += %D%/unit/test_thread
unit_tests += %D%/unit/test_highlight
unit_tests += %D%/unit/test_data %D%/unit/test_reading
unit_tests += %D%/unit/test_objectives
%C%_unit_test_objectives_SOURCES = %D%/unit/test_objectives.c
%C%_unit_test_data_SOURCES = %D%/unit/test_data.c %D%/unit/data_folder.c %D%/unit/data_folder.h
%C%_unit_test_reading_SOURCES = %D%/unit/test_reading.c %D%/unit/data_folder.c %D%/unit/data_folder.h
unit_tests += %D%/unit/test_store
unit_tests += %D%/unit/test_optimizers
script_tests += %D%/lua/optimizers.lua
%C%_unit_test_store_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS) $(ZSTD_CFLAGS)
%C%_unit_test_store_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=ZSTD_decompress
unit_tests += %D%/unit/test_tokenizer
unit_tests += %D%/unit/test_train %D%/unit/test_trainer %D%/unit/test_spike %D%/unit/test_alarm
unit_tests += %D%/unit/test_launch %D%/unit/test_order
%C%_unit_test_launch_CPPFLAGS = $(AM_CPPFLAGS) $(LUA_CFLAGS)
%C%_unit_test_order_SOURCES = %D%/unit/test_order.c %D%/unit/data_folder.c %D%/unit/data_folder.h \
    %D%/unit/tiny_run.c %D%/unit/tiny_run.h
%C%_unit_test_order_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sy_sampler_check \
    -Wl,--wrap=sy_place_advance
%C%_unit_test_alarm_SOURCES = %D%/unit/test_alarm.c %D%/unit/tiny_run.c %D%/unit/tiny_run.h
%C%_unit_test_spike_SOURCES = %D%/unit/test_spike.c %D%/unit/tiny_run.c %D%/unit/tiny_run.h


unit_tests += %D%/grad/test_grad %D%/isa/test_isa %D%/unit/test_ops
%C%_grad_test_grad_SOURCES = %D%/grad/test_grad.c $(example_sources)
%C%_isa_test_isa_SOURCES = %D%/isa/test_isa.c $(example_sources)
example_sources = %D%/grad/example.c %D%/grad/example.h %D%/grad/examples.def

# Hostile files: the corpus in make check; `make fuzz` builds libFuzzer's programs with clang, in fuzz/ of the
# build folder, and runs each for FUZZ_SECONDS.
unit_tests += %D%/fuzz/test_fuzz
fuzz_sources = %D%/fuzz/fuzz.h %D%/fuzz/targets.c
%C%_fuzz_test_fuzz_SOURCES = %D%/fuzz/test_fuzz.c $(fuzz_sources)
EXTRA_DIST += %D%/fuzz/libfuzzer.c %D%/fuzz/corpus
fuzz_names = json safetensors npy tokenizer shards checkpoint chunk store reading catalogue pairs
FUZZ_CC = clang
FUZZ_SECONDS = 120

fuzz:
	$(MKDIR_P) fuzz
	cd fuzz && { test -f Makefile || $(abs_top_srcdir)/configure -q CC=$(FUZZ_CC) \
	    --enable-sanitizers=fuzzer-no-link,address,undefined; }
	cd fuzz && $(MAKE) $(AM_MAKEFLAGS) fuzzers tests/fuzz/test_fuzz$(EXEEXT)
	cd fuzz && tests/fuzz/test_fuzz --seeds corpus
	cd fuzz && for name in $(fuzz_names); do \
	    $(MKDIR_P) corpus/$$name && echo "fuzz: $$name" && \
	    ./fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -malloc_limit_mb=256 -rss_limit_mb=1024 -timeout=20 \
	        -verbosity=0 -print_final_stats=1 corpus/$$name $(abs_top_srcdir)/tests/fuzz/corpus/$$name || exit 1; done

# In a build folder that was configured by `fuzz`.
fuzzers: $(sy_libs)
	for name in $(fuzz_names); do \
	    $(CC) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -fsanitize=fuzzer -DFUZZ_TARGET="\"$$name\"" \
	        -o fuzz_$$name $(srcdir)/tests/fuzz/libfuzzer.c $(srcdir)/tests/fuzz/targets.c $(all_libs) -lm || exit 1; done
.PHONY: fuzz fuzzers

check_PROGRAMS += $(unit_tests)
TESTS = $(unit_tests) $(script_tests)
EXTRA_DIST += $(script_tests)

engine_libs = libbase.a libcpu.a $(kern_libs) libtensor.a libops.a libmoe.a libgraph.a libdata.a \
    libio.a librun.a libtrain.a

AM_TESTS_ENVIRONMENT = \
    srcdir='$(abs_top_srcdir)'; export srcdir; \
    builddir='$(abs_top_builddir)'; export builddir; \
    SWITCHYARD='$(abs_top_builddir)/switchyard$(EXEEXT)'; export SWITCHYARD; \
    NM='$(NM)'; export NM; \
    SY_ENGINE_LIBS='$(engine_libs)'; export SY_ENGINE_LIBS; \
    SY_ALL_LIBS='$(sy_libs)'; export SY_ALL_LIBS; \
    SY_SANITIZERS='$(SY_SAN)'; export SY_SANITIZERS;
TEST_EXTENSIONS = .sh .lua
tap_driver = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
test_limit = timeout $${SY_TEST_TIMEOUT:-300}
LOG_DRIVER = $(tap_driver)
LOG_COMPILER = $(test_limit)
SH_LOG_DRIVER = $(tap_driver)
scratch = $(SHELL) $(top_srcdir)/tests/scratch.sh
SH_LOG_COMPILER = $(test_limit) $(scratch) $(SHELL)
LUA_LOG_DRIVER = $(tap_driver)
LUA_LOG_COMPILER = $(test_limit) $(scratch) $(SHELL) -c 'exec ./switchyard$(EXEEXT) -E --runs "$$SWITCHYARD_RUNS" "$$@"' lua
script_tests += %D%/cli/stuck.sh
unit_tests += %D%/unit/test_fingerprint
unit_tests += %D%/unit/test_bus
unit_tests += %D%/unit/test_wait
script_tests += %D%/once.sh
threaded_tests += %D%/unit/test_wait
unit_tests += %D%/unit/test_grow
script_tests += %D%/comments.sh
script_tests += %D%/names.sh
script_tests += %D%/columns.sh
script_tests += %D%/circles.sh
EXTRA_DIST += %D%/say.sh
script_tests += %D%/lua/newer.lua
EXTRA_DIST += %D%/lua/forge.lua
script_tests += %D%/lua/special_tokens.lua
script_tests += %D%/lua/steps.lua
script_tests += %D%/lua/identities.lua
EXTRA_DIST += %D%/lua/by_hand.lua
script_tests += %D%/lua/routers_papers.lua
script_tests += %D%/peers/routers.lua
EXTRA_DIST += %D%/peers/routers.py
script_tests += %D%/lua/replay.lua
script_tests += %D%/lua/balance_scope.lua
script_tests += %D%/lua/coefficients.lua
script_tests += %D%/lua/told.lua
script_tests += %D%/lua/kth.lua
script_tests += %D%/lua/routers_state.lua
script_tests += %D%/lua/pairs.lua
EXTRA_DIST += %D%/lua/mo.lua
script_tests += %D%/lua/score.lua
script_tests += %D%/lua/translate.lua
script_tests += %D%/lua/translate_encdec.lua
unit_tests += %D%/unit/test_pairs
%C%_unit_test_pairs_SOURCES = %D%/unit/test_pairs.c %D%/unit/data_folder.c %D%/unit/data_folder.h
script_tests += %D%/lua/mix.lua
