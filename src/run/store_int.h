/* Shared by the files of the store: connection and statements (schema.c), life (store.c), what
 * waits to be written (queue.c), writing (flush.c), series (series_list.c), reading
 * (read.c, list.c). */
#ifndef SY_RUN_STORE_INT_H
#define SY_RUN_STORE_INT_H

#include "base/dir.h"
#include "run/series_codec.h"
#include "run/lock.h"
#include "run/metrics.h"
#include "run/store.h"
#include "switchyard/journal.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#define SY__APPLICATION_ID 0x53795964 /* "SyYd" */
#define SY__BLOB_MAX (65 << 20)       /* bytes of a value of the file: the longest is a chunk */
#define SY__ENTRY_MAX (16 << 20)      /* text or data of one entry */
#define SY__RUN_ID 33 /* 32 hex digits and a NUL */
#define SY__ROWS_MAX ((int64_t)1 << 40)

/* Every statement, with its text (schema.c). */
#define SY__QUERY_MAP(X)                                                                           \
    X(RUN_INSERT, "INSERT INTO run VALUES(1,?,'new',0,?,NULL,NULL,0,?,?,?,?,?,?,?,?,?,?)")         \
    X(RUN_STATUS,                                                                                  \
      "UPDATE run SET state=?,step=?,steps=?,loss=?,val_loss=?,tokens=?,updated=?,pid=?")          \
    X(RUN_READ, "SELECT name,state,step,steps,loss,val_loss,tokens,created,updated,pid,config,"    \
                "environment,tokenizer,data,parent,parent_step,sum FROM run WHERE id=1")           \
    X(JOURNAL_ADD, "INSERT INTO journal VALUES(?,?,?,?,?,?,?,0,?)")                                \
    X(SAMPLE_ADD, "INSERT INTO samples VALUES(NULL,?,?,?,?,?,?,0)")                                \
    X(EVENT_ADD, "INSERT INTO events VALUES(NULL,?,?,?,?,?,?,0)")                                  \
    X(CODE_ADD, "INSERT INTO code VALUES(NULL,?,?,?,?,?,?,0)")                                     \
    X(JOURNAL_READ,                                                                                \
      "SELECT id,step,time,kind,text,data,sum,gone,who FROM journal WHERE id>? ORDER BY id")       \
    X(JOURNAL_READ_4,                                                                              \
      "SELECT id,step,time,kind,text,data,sum,gone,'' FROM journal WHERE id>? ORDER BY id")        \
    X(SAMPLE_READ,                                                                                 \
      "SELECT id,step,time,kind,text,data,sum,gone FROM samples WHERE id>? ORDER BY id")           \
    X(EVENT_READ,                                                                                  \
      "SELECT id,step,time,kind,text,data,sum,gone FROM events WHERE id>? ORDER BY id")            \
    X(CODE_READ, "SELECT id,step,time,kind,text,data,sum,gone FROM code WHERE id>? ORDER BY id")   \
    X(JOURNAL_LAST, "SELECT max(id) FROM journal")                                                 \
    X(JOURNAL_LEAVE, "UPDATE journal SET gone=(SELECT max(id)+1 FROM journal) "                    \
                     "WHERE gone=0 AND (step>? OR id>?)")                                          \
    X(SAMPLE_LEAVE, "UPDATE samples SET gone=(SELECT coalesce(max(id),0)+1 FROM journal) "         \
                    "WHERE gone=0 AND step>?")                                                     \
    X(SERIES_ADD, "INSERT INTO series VALUES(NULL,?,?,0,-1,NULL,?,?,?)")                           \
    X(SERIES_FIND, "SELECT id,width,rows,last_step FROM series WHERE name=?")                      \
    X(SERIES_KNOWN, "SELECT id,width,kind,last_step FROM series WHERE name=?")                     \
    X(SERIES_DECLARE, "UPDATE series SET kind=?,layer=?,mixture=? WHERE id=?")                     \
    X(SERIES_UPDATE, "UPDATE series SET rows=?,last_step=?,last=? WHERE id=?")                     \
    X(SERIES_LIST,                                                                                 \
      "SELECT id,name,width,rows,last_step,last,kind,layer,mixture FROM series ORDER BY name")     \
    X(SERIES_LIST_3, "SELECT id,name,width,rows,last_step,last,'',0,'' FROM series ORDER BY name") \
    X(CHUNK_PUT, "INSERT OR REPLACE INTO chunk VALUES(?,?,?,?)")                                   \
    X(CHUNK_LAST, "SELECT id,first_step,rows,data FROM chunk WHERE id BETWEEN ? AND ? "            \
                  "ORDER BY id DESC LIMIT 1")                                                      \
    X(CHUNK_READ,                                                                                  \
      "SELECT id,first_step,rows,data FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id")            \
    X(CHUNK_PROBE,                                                                                 \
      "SELECT id,first_step FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1")         \
    X(DATA_VERSION, "PRAGMA data_version")                                                         \
    X(CHUNK_CUT, "DELETE FROM chunk WHERE id BETWEEN ? AND ? AND first_step>?")                    \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(BEGIN_READ, "BEGIN")                                                                         \
    X(COMMIT, "COMMIT")                                                                            \
    X(SYNC_FULL, "PRAGMA synchronous=FULL")                                                        \
    X(SYNC_NORMAL, "PRAGMA synchronous=NORMAL")

enum sy__query {
#define X(name, text) SY__##name,
    SY__QUERY_MAP(X)
#undef X
        SY__QUERIES
};

/* A series as the writer knows it: what is on disk, and the rows of its last, partial chunk. */
struct sy__series {
    int64_t id, number, before; /* chunk that the tail becomes; rows in chunks before it */
    int64_t last_step;
    int width, tail;
    int loaded; /* rows of the last chunk as it was read; -1: damaged */
    int64_t *steps; /* [SY_CHUNK_ROWS]; owned, with the values behind */
    float *values;  /* [SY_CHUNK_ROWS][width] */
};

/* A rewind in the queue: step, the journal's id in `id`; kind "rows": all but the journal. */
#define SY__CUT (SY_STORE_CODE + 1)
struct sy__item {
    struct sy__item *next;
    int table; /* enum sy_store_table or SY__CUT */
    int64_t id, step;
    double time;
    char *kind, *text, *data; /* within this block */
    char who[SY_WHO];         /* of the journal */
    size_t text_len, data_len;
};

struct sy__file { /* which file it is, by the kernel's word */
    bool there;
    dev_t device;
    ino_t inode;
};

enum sy__flusher { /* the thread that writes */
    SY__NO_FLUSHER,
    SY__FLUSHES, /* now and then */
    SY__IDLE,    /* it sleeps until it is woken */
    SY__QUITS    /* it is to end */
};

struct sy_store {
    char *runs, *path, *name, *where; /* dir, dir/name; "run 'name'" for messages; owned */
    char id[SY__RUN_ID]; /* of the run; "": made before runs had one */
    bool writable;
    bool building;      /* the folder has not got its name yet */
    atomic_bool lost;   /* the folder was deleted */
    bool taken;         /* another process writes the run: we never do again */
    off_t db_bytes;     /* of run.sqlite, the most that was seen: it never shrinks by itself */
    struct sy_dir dir;  /* the run's folder, held open */
    struct sy_lock *owner;

    pthread_mutex_t db_lock; /* the connection and what follows; taken before `lock` */
    sqlite3 *db;
    int version; /* of what is open */
    sqlite3_stmt *query[SY__QUERIES];
    struct sy__series **series; /* by number in metrics; NULL: not looked up yet */
    int nseries;
    size_t series_room;
    int wal_pages; /* of the log, after the last commit */
    struct sy__file db_file, wal_file; /* what is open */
    bool missing; /* one of them, at the last look */
    struct sy__file shm_file; /* and how long it was */
    off_t shm_bytes;
    unsigned cuts; /* of -shm, as of the last look */
    bool began;
    int64_t data_version; /* as sy_store_news saw it */
    struct sy_store_status written;
    struct sy_metrics *metrics; /* borrowed while attached */
    /* another that they have, whose rows are taken before we are theirs; not by way of its lock,
     * which comes before db_lock */
    struct sy_metrics_archive taking;
    void (*status_of)(void *ctx, struct sy_store_status *out);
    void *ctx;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    struct sy__item *items, **items_end;
    int64_t journal_last;
    struct sy_store_status status;
    enum sy_store_alarm alarm;
    enum sy__flusher flusher;
    bool news; /* sy_store_wake came since its last flush began */
    double alarm_since;
    char alarm_text[496];
    pthread_t thread; /* unless NO_FLUSHER */
};

/* ---- run_directory.c ---- */

/* is_run: is there a run of this name? */
typedef bool (*sy__is_run_fn)(const char *runs, const char *name, struct sy_err *err);
/* a folder under another name, locked */
int sy__run_dir_claim(struct sy_store *s, sy__is_run_fn is_run, struct sy_err *err);
/* All that `from` holds, whose db_lock is held, into s, which is claimed. */
int sy__run_dir_inherit(struct sy_store *s, struct sy_store *from, struct sy_err *err);
/* gets its own; opens the database there */
int sy__run_dir_finish(struct sy_store *s, struct sy_err *err);
void sy__run_dir_drop(struct sy_store *s);                      /* what has no name yet goes */
/* folder and, for writing, lock */
int sy__run_dir_open(struct sy_store *s, bool write, struct sy_err *err);
/* Add the name of the run of a folder that is nearest to `name`, or nothing. */
void sy__run_nearest(const char *folder, const char *name, struct sy_str *out);
/* nothing that leads elsewhere */
int sy__run_dir_check_files(const struct sy_store *s, struct sy_err *err);
void sy__run_dir_opened(struct sy_store *s); /* the database was */
bool sy__run_dir_is_ours(const struct sy_store *s);
/* Before SQLite looks at the log's index, which others may have cut, and before it commits; db_lock
 * is held.  True: it was, and what was read since the last time is not to be believed. */
bool sy__run_dir_guard(struct sy_store *s);
/* Are folder, lock and database those that were opened?  Mends what it can; db_lock is held.
 * *moved: they are, under another name. */
int sy__run_dir_check(struct sy_store *s, bool *moved, struct sy_err *err);
/* FORMAT: run.sqlite is shorter than it was */
int sy__run_dir_check_cut(struct sy_store *s, struct sy_err *err);
void sy__run_dir_tell_moved(const struct sy_store *s, struct sy_err *err);

/* ---- shm.c ---- */

struct stat;
void sy__shm_mind(void);                           /* from now on; before anything is opened */
unsigned sy__shm_cuts(void);                       /* how often one was cut, by whomever */
/* SQLite is to make the index in that file anew */
void sy__shm_forget(const struct stat *file);

/* ---- store.c ---- */

/* Queue, status and numbering of another store; both are whole. */
void sy__take_over(struct sy_store *s, struct sy_store *from);
/* from the configuration; signs the lock */
void sy__set_id(struct sy_store *s, const char *config);

/* ---- schema.c ---- */

enum sy__mode { SY__CREATE, SY__WRITE, SY__READ };
/* Open s->path/run.sqlite into s->db, checked and limited. */
int sy__db_open(struct sy_store *s, enum sy__mode mode, struct sy_err *err);
void sy__db_close(struct sy_store *s);
/* without its statements, to be closed by the caller */
sqlite3 *sy__db_lay_aside(struct sy_store *s);
/* Make the tables of our version inside the caller's transaction. */
int sy__schema_create(struct sy_store *s, struct sy_err *err);
/* Bring what is open to our version: before the first write, and not before: a run that is opened
 * for writing may still be refused. */
int sy__db_migrate(struct sy_store *s, struct sy_err *err);
/* Failure of SQLite as ours: FORMAT for a damaged file, IO for the disk.  Returns -1. */
int sy__db_fail(struct sy_store *s, struct sy_err *err);
/* The statement, reset and without values; NULL with err. */
sqlite3_stmt *sy__query(struct sy_store *s, enum sy__query q, struct sy_err *err);
/* Run it to its end and reset: 0 or -1. */
int sy__finish(struct sy_store *s, sqlite3_stmt *q, struct sy_err *err);
int sy__run(struct sy_store *s, enum sy__query q, struct sy_err *err); /* without values */
/* Columns as text, never NULL; *n bytes. */
const char *sy__text(sqlite3_stmt *q, int column, size_t *n);
/* Sum over an entry or a run's constant columns: strings with their lengths. */
int64_t sy__sum(int64_t a, int64_t b, const char *const *text, const size_t *n, int count);

/* ---- queue.c ---- */

int sy__check_writable(const struct sy_store *s, struct sy_err *err);
struct sy__item *sy__item_new(int table, int64_t step, const char *kind, const char *text,
                              const void *data, size_t n);      /* owned; NULL: no memory */
int64_t sy__enqueue(struct sy_store *s, struct sy__item *item); /* takes it; an entry's id, or 0 */
/* sy_store_add without the flush that follows an entry of the journal. */
int64_t sy__queue_add(struct sy_store *s, enum sy_store_table table, int64_t step, const char *kind,
                      const char *text, const void *data, size_t n, struct sy_err *err);
int64_t sy__queue_entry(struct sy_store *s, const struct sy_journal_entry *e, struct sy_err *err);

/* ---- flush.c ---- */

int sy__flush(struct sy_store *s, struct sy_err *err); /* takes db_lock; sets or clears the alarm */
void sy__series_free(struct sy__series *e); /* series_list.c */
void sy__forget_series(struct sy_store *s);            /* db_lock is held */
static inline int64_t sy__chunk_id(int64_t series, int64_t number) { return series << 32 | number; }

/* ---- read.c ---- */

/* A transaction for reading: one state for all that is read in it. */
int sy__read_begin(struct sy_store *s, struct sy_err *err);
void sy__read_end(struct sy_store *s);
/* Series by name, and (ids not NULL) their ids, owned by the caller.  db_lock is held. */
struct sy_store_series *sy__list_series(struct sy_store *s, int *count, int64_t **ids,
                                        struct sy_err *err);
int sy__read_spark(struct sy_store *s, struct sy_store_info *out, struct sy_err *err);

#endif
