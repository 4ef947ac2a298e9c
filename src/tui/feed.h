/* The rows of a run that charts are drawn from: read once, kept in pyramids.  Layer tui.
 *
 *  1. Only what is wanted is read: a view wants its feeds before each read (sy__feed), and what
 *     nobody wants stays as it is.
 *  2. A read takes new rows only, and stops at its deadline; the next one goes on there.
 *  3. After a rewind the pyramids are cut, not read again (a stored run is: it cannot tell where).
 */
#ifndef SY_TUI_FEED_H
#define SY_TUI_FEED_H

#include "run/source.h"
#include "run/pyramid.h"

enum sy__reduce {
    SY__FIRST,   /* the first column of the one series of a name */
    SY__LARGEST, /* the largest of its columns */
    SY__COLUMN,  /* one of its columns, in rows in which it is a number */
    SY__TOP,     /* the largest of those that are numbers, in rows that have any */
    SY__SUM,     /* over all series of a kind and their columns, of each step */
    SY__MEAN,
    SY__LOAD /* largest, and how many are dead */
};

/* What a feed is of. */
struct sy__of {
    const char *name;         /* of one series: of FIRST to TOP; else NULL */
    enum sy_series_kind kind; /* of the others */
    enum sy__reduce reduce;
    int column; /* of COLUMN, from 0 */
};

struct sy__feed {
    char name[48]; /* "": of a kind */
    enum sy_series_kind kind;
    enum sy__reduce reduce;
    int column;
    int *members;            /* owned; numbers of series */
    size_t members_room;
    int nmembers, nmost;     /* nmost: the widest member's columns */
    int looked;              /* series that the source had when members were looked for */
    int64_t last;            /* step of the newest row read; -1 */
    bool wanted, more;       /* more: rows wait for the next read */
    struct sy_pyramid *p[2]; /* owned; [1] of LOAD only */
};

/* A row of the experts' table: a mixture of a layer, and its series. */
struct sy__layer {
    struct sy_series_what what;
    int series, width;               /* of its loads */
    int gate, dropped, drop, source, disabled, importance; /* numbers of series, or -1 */
    char called[32];                 /* "enc 1", else "L1"; of a second mixture "enc 1m", "L1m" */
};

/* A curve beside that of the loss: an objective's, a source's, or the teacher's. */
struct sy__part {
    enum sy_series_kind kind;
    int series, valid, column; /* valid: of evaluations, or -1 */
    char called[32];
};

struct sy__run {
    struct sy_source *source; /* a reference */
    struct sy_source_status status;
    uint64_t cuts;
    double polled;           /* when a stored run was last looked at */
    struct sy__feed **feeds; /* owned */
    int nfeeds;
    size_t feeds_room;
    struct sy_mark *marks; /* owned */
    int nmarks;
    size_t marks_room;
    size_t layers_room;
    struct sy__layer *layers; /* owned; those with loads, by number */
    int nlayers, experts, looked;
    struct sy__part *parts; /* owned; those of a kind stand together */
    int nparts;
    size_t parts_room;
    int colour; /* of its curves when several are shown */
    bool over;  /* shown beside the one in front */
};

struct sy__run *sy__run_new(struct sy_source *source, struct sy_err *err); /* takes a reference */
void sy__run_free(struct sy__run *r);
/* Status, marks, rewinds, series.  true: something is other than before. */
bool sy__run_look(struct sy__run *r, double now);
/* Layers and parts anew, when there are other series than before.  true: there are. */
bool sy__run_series(struct sy__run *r);
/* Of the layer's loads or probabilities at a step: SY_HEAT_DISABLED in place of what an expert has
 * that was disabled then. */
void sy__mark_disabled(const struct sy__run *r, const struct sy__layer *l, int64_t step,
                       float *row);
/* The feed, made when it is new, and wanted from now on until sy__run_unwant; NULL without memory.
 */
struct sy__feed *sy__feed(struct sy__run *r, struct sy__of of, double decay);
struct sy__feed *sy__find_feed(const struct sy__run *r, struct sy__of of); /* or NULL */
/* Of the series of this name: its first column, or the largest of several; of all of a kind. */
static inline struct sy__of sy__of_name(const char *name, enum sy__reduce reduce)
{
    return (struct sy__of){name, SY_SERIES_VALUE, reduce, 0};
}
static inline struct sy__of sy__of_column(const char *name, int column)
{
    return (struct sy__of){name, SY_SERIES_VALUE, SY__COLUMN, column};
}
static inline struct sy__of sy__of_kind(enum sy_series_kind kind, enum sy__reduce reduce)
{
    return (struct sy__of){NULL, kind, reduce, 0};
}
void sy__run_unwant(struct sy__run *r);
/* Read what is wanted, up to a time of sy_now.  true: there were rows. */
bool sy__run_read(struct sy__run *r, double deadline);
bool sy__run_more(const struct sy__run *r);
/* Its pyramid when it has rows, else NULL. */
const struct sy_pyramid *sy__feed_rows(const struct sy__feed *f, int which);

#endif
