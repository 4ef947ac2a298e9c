# The Lua side, embedded in the binary: add a file as  lua_sources += %D%/room/name.lua
#
#   core     options, fields, JSON: what the others are written with     tensor   methods made of others
#   routers  one file a router; balance: one a rule
#   model    nn, decoders, generation, files                            run      train() and what a run can do
#   prompt   completion, commands, how values look                       help     ?name, the manual, names of others
#   cli      `switchyard resume` and its like
lua_sources = %D%/prelude.lua
lua_sources += %D%/core/definition.lua
lua_sources += %D%/core/enum.lua
lua_sources += %D%/core/lazy.lua
lua_sources += %D%/core/fields.lua
lua_sources += %D%/core/json.lua
lua_sources += %D%/core/method.lua
lua_sources += %D%/core/options.lua
lua_sources += %D%/core/words.lua
lua_sources += %D%/tensor/compose.lua
lua_sources += %D%/tensor/einsum.lua
lua_sources += %D%/tensor/gradcheck.lua
lua_sources += %D%/tensor/numbers.lua
lua_sources += %D%/tensor/select.lua
lua_sources += %D%/tensor/shapes.lua
lua_sources += %D%/model/decoder.lua
lua_sources += %D%/model/file.lua
lua_sources += %D%/model/live.lua
lua_sources += %D%/model/generate.lua
lua_sources += %D%/model/huggingface.lua
lua_sources += %D%/model/model.lua
lua_sources += %D%/model/nn.lua
lua_sources += %D%/model/routing.lua
lua_sources += %D%/model/config.lua
lua_sources += %D%/model/routing_context.lua
lua_sources += %D%/model/mixture.lua
lua_sources += %D%/routers/softmax.lua
lua_sources += %D%/routers/sigmoid.lua
lua_sources += %D%/routers/deepseek_v3.lua
lua_sources += %D%/routers/deepseek_v4.lua
lua_sources += %D%/routers/forced.lua
lua_sources += %D%/routers/gpt_oss.lua
lua_sources += %D%/routers/gshard.lua
lua_sources += %D%/routers/hash.lua
lua_sources += %D%/routers/llama4.lua
lua_sources += %D%/routers/mixtral.lua
lua_sources += %D%/routers/noisy_topk.lua
lua_sources += %D%/routers/olmoe.lua
lua_sources += %D%/routers/qwen3.lua
lua_sources += %D%/routers/random.lua
lua_sources += %D%/routers/st_moe.lua
lua_sources += %D%/routers/switch.lua
lua_sources += %D%/routers/uniform.lua
lua_sources += %D%/balance/cv2.lua
lua_sources += %D%/balance/cv2_load.lua
lua_sources += %D%/balance/simbal.lua
lua_sources += %D%/model/token_table.lua
lua_sources += %D%/model/routing_trace.lua
lua_sources += %D%/routers/record.lua
lua_sources += %D%/routers/replay.lua
lua_sources += %D%/model/variation.lua
lua_sources += %D%/balance/aux.lua
lua_sources += %D%/balance/bias.lua
lua_sources += %D%/balance/z.lua
lua_sources += %D%/run/compare.lua
lua_sources += %D%/run/directory.lua
lua_sources += %D%/run/fork.lua
lua_sources += %D%/run/hooks.lua
lua_sources += %D%/run/reconstruct.lua
lua_sources += %D%/run/replay.lua
lua_sources += %D%/run/resume.lua
lua_sources += %D%/run/rewind.lua
lua_sources += %D%/run/run.lua
lua_sources += %D%/run/series.lua
lua_sources += %D%/run/train.lua
lua_sources += %D%/run/stored.lua
lua_sources += %D%/run/surgery.lua
lua_sources += %D%/run/why.lua
lua_sources += %D%/prompt/card.lua
lua_sources += %D%/prompt/commands.lua
lua_sources += %D%/prompt/complete.lua
lua_sources += %D%/prompt/hint.lua
lua_sources += %D%/prompt/show.lua
lua_sources += %D%/help/docs.lua
lua_sources += %D%/help/foreign.lua
lua_sources += %D%/help/glossary.lua
lua_sources += %D%/help/help.lua
lua_sources += %D%/help/manual.lua
lua_sources += %D%/cli/subcommands.lua

EXTRA_DIST += %D%/embed.sh $(lua_sources)
CLEANFILES += src/bind/core/embedded_lua.c
src/bind/core/embedded_lua.c: %D%/embed.sh %D%/local.mk $(lua_sources)
	$(AM_V_GEN)$(MKDIR_P) src/bind/core && AWK='$(AWK)' $(SHELL) $(top_srcdir)/lua/embed.sh \
	    $(top_srcdir) $(lua_sources) > $@.tmp && mv $@.tmp $@
lua_sources += %D%/balance/sequence.lua
lua_sources += %D%/model/coefficient.lua
lua_sources += %D%/routers/quantile.lua
lua_sources += %D%/routers/relu.lua
lua_sources += %D%/routers/expert_threshold.lua
lua_sources += %D%/routers/top_p.lua
