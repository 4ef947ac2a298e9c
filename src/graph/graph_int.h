/* Shared inside graph/. */
#ifndef SY_GRAPH_GRAPH_INT_H
#define SY_GRAPH_GRAPH_INT_H

#include "switchyard/graph.h"

#include "ops/op.h"

struct sy__named {
    char *name;               /* owned */
    struct sy_tensor *tensor; /* shared */
};

struct sy__observed {
    struct sy__named x;
    struct sy_series_what what;
    struct sy_tensor *mask; /* shared, or NULL */
    bool aside;
};

struct sy__update {
    struct sy_tensor *state, *value; /* shared */
    bool carried;                    /* at the end of every run, not only of a step */
};

struct sy_graph {
    struct sy_node **nodes; /* shared, in order of application */
    int nnodes;
    size_t node_room;
    struct sy__named *inputs;
    struct sy__observed *observes;
    int ninputs, nobserves;
    size_t input_room, observe_room;
    struct sy__update *updates;
    int nupdates;
    size_t update_room;
    bool recording;
    int32_t segment, draws; /* what new nodes get */
};

void sy__observed_drop(struct sy__observed *o); /* what it owns, and not itself */
/* MEMORY; *to is to be dropped then as well. */
int sy__observed_copy(struct sy__observed *to, const struct sy__observed *from, struct sy_err *err);

#endif
