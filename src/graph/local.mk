# graph: add a source or header as  libgraph_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libgraph.a
sy_libs += libgraph.a
libgraph_a_SOURCES = %D%/graph_int.h %D%/program_int.h %D%/graph.c %D%/backward.c %D%/recompute.c %D%/plan.c %D%/program.c %D%/fingerprint.c
pkginclude_HEADERS += include/switchyard/graph.h
