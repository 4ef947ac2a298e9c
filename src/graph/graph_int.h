/* Shared inside graph/. */
#ifndef SY_GRAPH_GRAPH_INT_H
#define SY_GRAPH_GRAPH_INT_H

#include "switchyard/graph.h"

#include "ops/op.h"

struct sy__named {
    char *name;               /* owned */
    struct sy_tensor *tensor; /* shared */
};

struct sy__update {
    struct sy_tensor *state, *value; /* shared */
    bool carried;                    /* at the end of every run, not only of a step */
};

struct sy_graph {
    struct sy_node **nodes; /* shared, in order of application */
    int nnodes;
    size_t node_room;
    struct sy__named *inputs, *observes;
    int ninputs, nobserves;
    size_t input_room, observe_room;
    struct sy__update *updates;
    int nupdates;
    size_t update_room;
    bool recording;
    int32_t segment, draws; /* what new nodes get */
};

#endif
