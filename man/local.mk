# Manual pages:  dist_man_MANS += %D%/name.1
dist_man_MANS += %D%/switchyard.1

# The reference of the Lua interface is printed by the program itself, from the op table and the docs
# beside the bindings, at every build: so it is never behind, and not in the tree.  Left out where the
# program cannot run while it is built.
nodist_man_MANS =
if !CROSS
nodist_man_MANS += %D%/switchyard-lua.7
CLEANFILES += %D%/switchyard-lua.7
man/switchyard-lua.7: switchyard$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) man && ./switchyard$(EXEEXT) -E --dump-help > $@.tmp && mv $@.tmp $@
endif

# The keys' page is made from their list.
EXTRA_DIST += %D%/keys.awk %D%/workbench.svg
nodist_man_MANS += man/switchyard-keys.7
CLEANFILES += man/switchyard-keys.7
man/switchyard-keys.7: $(top_srcdir)/src/tui/panel_keys.def $(top_srcdir)/man/keys.awk
	$(AM_V_GEN)$(MKDIR_P) man && $(AWK) -f $(top_srcdir)/man/keys.awk $(top_srcdir)/src/tui/panel_keys.def > $@.tmp && mv $@.tmp $@
