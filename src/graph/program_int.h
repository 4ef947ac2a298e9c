/* A program's inside, shared by plan.c (makes it) and program.c (runs it). */
#ifndef SY_GRAPH_PROGRAM_INT_H
#define SY_GRAPH_PROGRAM_INT_H

#include "graph/graph_int.h"

enum sy__instr_kind {
    SY__RUN,  /* node->op->run */
    SY__COPY, /* bytes of src to `to` */
    SY__ADD   /* to[i] += src[i], f32 */
};

struct sy__instr {
    enum sy__instr_kind kind;
    struct sy_node *node; /* shared; RUN */
    struct sy_run run;
    struct sy_tensor *out[SY_MAX_OUT]; /* run.out: node's outputs, NULL where nobody reads */
    struct sy_tensor *src;             /* shared; COPY, ADD */
    float *to;
    int scratch; /* index of the scratch's buffer, or -1 */
    bool from_file; /* an input lies in a mapped file, which may change */
    uint64_t ns, calls;
};

/* One stretch of arena memory: a storage's bytes, or an instruction's scratch. */
struct sy__buffer {
    struct sy_storage *storage; /* shared; NULL: scratch */
    size_t bytes, offset;
    int first, last; /* instructions: written first, read last */
    int place;       /* takes the place of this buffer; itself when none */
    bool pinned;     /* leaf, or gradient with a place of its own: not in the arena */
    bool keep;       /* readable after the run */
    float *to;       /* where a pinned gradient goes, or NULL */
};

struct sy_program {
    struct sy__instr *instrs;
    int ninstrs;
    size_t instr_room;
    struct sy__buffer *buffers;
    int nbuffers;
    size_t buffer_room;
    struct sy__observed *observes;
    int nobserves;
    struct sy__update *updates;
    int nupdates;
    bool update_at_end;
    struct sy_tensor **held; /* shared: outputs and gradients */
    int nheld;
    size_t arena_bytes;
    void *arena;
    bool arena_owned;
    double flops;
};

#endif
