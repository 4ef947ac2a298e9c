# The Lua side, embedded in the binary: add a file as  lua_sources += %D%/name.lua
lua_sources =
lua_sources += %D%/options.lua %D%/nn.lua %D%/model.lua %D%/generate.lua %D%/models.lua %D%/run.lua
lua_sources += %D%/prelude.lua %D%/help.lua %D%/show.lua %D%/card.lua %D%/complete.lua %D%/commands.lua %D%/hint.lua %D%/foreign.lua \
    %D%/glossary.lua %D%/manual.lua %D%/method.lua %D%/gradcheck.lua
lua_sources += %D%/surgery.lua %D%/record.lua %D%/again.lua %D%/timeline.lua %D%/replay.lua %D%/stored.lua %D%/cli.lua
lua_sources += %D%/json.lua %D%/huggingface.lua %D%/model_file.lua
lua_sources += %D%/docs.lua
lua_sources += %D%/compose.lua %D%/shapes.lua %D%/numbers.lua %D%/select.lua %D%/einsum.lua
lua_sources += %D%/why.lua
lua_sources += %D%/hooks.lua
lua_sources += %D%/compare.lua
lua_sources += %D%/fields.lua

EXTRA_DIST += %D%/embed.sh $(lua_sources)
CLEANFILES += src/bind/embedded_lua.c
src/bind/embedded_lua.c: %D%/embed.sh %D%/local.mk $(lua_sources)
	$(AM_V_GEN)$(MKDIR_P) src/bind && AWK='$(AWK)' $(SHELL) $(top_srcdir)/lua/embed.sh \
	    $(top_srcdir) $(lua_sources) > $@.tmp && mv $@.tmp $@
