/* The file run.sqlite: tables, migration, how it is opened, and its statements.
 *
 * A version is a list of statements from the one before.  A file is checked by comparing the text
 * of its definitions with those of a fresh database in memory brought to the same version: so
 * nothing of another's making (a view, a trigger, a column with a function) is ever run.  Readers
 * read every version up to ours as it is, and so does who opens it for writing: the first thing
 * that is written migrates, in a transaction of its own (sy__db_migrate).
 *
 *     run      one row: what the run is, and how far
 *     code     the script and the library's files:          kind = path, text
 *     journal  interventions, in order:                     kind, text, data, who
 *     samples  text generated                                text
 *     events   alarms, checkpoints, resumes                  kind, text; data: the id of an alarm
 *     series   named series, with count and newest row, and what they are: kind, layer, mixture
 *     chunk    rows of series (series_codec.h); id = series * 2^32 + number
 *
 * `sum` is XXH64 over the row (sy__sum; of who only where there is one); `gone` the journal id at
 * which a rewind took it off the timeline, or 0. */
#include "run/store_int.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES(table)                                                                             \
    "CREATE TABLE " table "(id INTEGER PRIMARY KEY,step INTEGER NOT NULL,time REAL NOT NULL,"      \
    "kind TEXT NOT NULL,text TEXT NOT NULL,data BLOB,sum INTEGER NOT NULL,gone INTEGER NOT NULL);"

static const char *const migrations[] = {
    /* 0 -> 1 */
    "CREATE TABLE run(id INTEGER PRIMARY KEY CHECK(id=1),name TEXT NOT NULL,state TEXT NOT NULL,"
    "step INTEGER NOT NULL,steps INTEGER NOT NULL,loss REAL,val_loss REAL,tokens INTEGER NOT NULL,"
    "created REAL NOT NULL,updated REAL NOT NULL,pid INTEGER NOT NULL,config TEXT NOT NULL,"
    "environment TEXT NOT NULL,tokenizer TEXT NOT NULL,data TEXT NOT NULL,parent TEXT NOT NULL,"
    "parent_step INTEGER NOT NULL,sum INTEGER NOT NULL);"
    ENTRIES("code")
    ENTRIES("journal")
    ENTRIES("samples")
    ENTRIES("events")
    "CREATE TABLE series(id INTEGER PRIMARY KEY,name TEXT NOT NULL UNIQUE,width INTEGER NOT NULL,"
    "rows INTEGER NOT NULL,last_step INTEGER NOT NULL,last BLOB);"
    "CREATE TABLE chunk(id INTEGER PRIMARY KEY,first_step INTEGER NOT NULL,rows INTEGER NOT NULL,"
    "data BLOB NOT NULL);",
    /* 1 -> 2: chunks may be packed (series_codec.h), which version 1 cannot read */
    "",
    /* 2 -> 3: the configuration may have an id, which checkpoints are to bear: version 2 writes
     * none */
    "",
    /* 3 -> 4: a series says what it is (switchyard/series.h); kind '': by its name, as before */
    "ALTER TABLE series ADD COLUMN kind TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE series ADD COLUMN layer INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE series ADD COLUMN mixture TEXT NOT NULL DEFAULT '';",
    /* 4 -> 5: an entry of the journal says who did it; '': the person at the prompt, or a script */
    "ALTER TABLE journal ADD COLUMN who TEXT NOT NULL DEFAULT '';",
};
#define VERSION ((int)(sizeof migrations / sizeof *migrations))
enum { DEFINITION_MOST = 8192, DEFINITIONS_MOST = 65536 }; /* bytes; ours take a tenth */

static const char *const texts[SY__QUERIES] = {
#define X(name, text) text,
    SY__QUERY_MAP(X)
#undef X
};

/* ---- failures and statements ---- */

static int fail_sqlite(sqlite3 *db, const char *where, struct sy_err *err)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    const char *text = db ? sqlite3_errmsg(db) : "out of memory";
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return sy_err_set(err, SY_E_MEMORY, "%s: run.sqlite: out of memory", where);
    case SQLITE_FULL:
        return sy_err_set(err, SY_E_IO, "%s: run.sqlite: the disk is full", where);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: {
        int cause = sqlite3_system_errno(db);
        return cause ? sy_err_sys(err, cause, "%s: run.sqlite: %s", where, text)
                     : sy_err_set(err, SY_E_IO, "%s: run.sqlite: %s", where, text);
    }
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return sy_err_set(err, SY_E_IO, "%s: run.sqlite: %s", where, text);
    default:
        return sy_err_set(err, SY_E_FORMAT, "%s: run.sqlite is damaged: %s", where, text);
    }
}

int sy__db_fail(struct sy_store *s, struct sy_err *err)
{
    return fail_sqlite(s->db, s->where, err);
}

sqlite3_stmt *sy__query(struct sy_store *s, enum sy__query q, struct sy_err *err)
{
    if (!s->db) {
        sy_err_set(err, SY_E_IO, "%s: run.sqlite is not open", s->where);
        return NULL;
    }
    if (!s->query[q] && sqlite3_prepare_v3(s->db, texts[q], -1, SQLITE_PREPARE_PERSISTENT,
                                           &s->query[q], NULL) != SQLITE_OK) {
        sy__db_fail(s, err);
        return NULL;
    }
    sqlite3_reset(s->query[q]);
    sqlite3_clear_bindings(s->query[q]);
    return s->query[q];
}

int sy__finish(struct sy_store *s, sqlite3_stmt *q, struct sy_err *err)
{
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW)
        ;
    int result = rc == SQLITE_DONE ? 0 : sy__db_fail(s, err);
    sqlite3_reset(q);
    return result;
}

int sy__run(struct sy_store *s, enum sy__query q, struct sy_err *err)
{
    sqlite3_stmt *stmt = sy__query(s, q, err);
    return stmt ? sy__finish(s, stmt, err) : -1;
}

const char *sy__text(sqlite3_stmt *q, int column, size_t *n)
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    if (n)
        *n = text ? (size_t)sqlite3_column_bytes(q, column) : 0;
    return text ? text : "";
}

int64_t sy__sum(int64_t a, int64_t b, const char *const *text, const size_t *n, int count)
{
    struct sy_hash h;
    uint64_t sum;
    int64_t out;
    sy_hash_init(&h);
    sy_hash_update(&h, &a, sizeof a);
    sy_hash_update(&h, &b, sizeof b);
    for (int i = 0; i < count; i++) {
        uint64_t len = n[i];
        sy_hash_update(&h, &len, sizeof len);
        if (len)
            sy_hash_update(&h, text[i], n[i]);
    }
    sum = sy_hash_final(&h);
    memcpy(&out, &sum, sizeof out);
    return out;
}

/* ---- the schema ---- */

static int exec_sql(sqlite3 *db, const char *sql, const char *where, struct sy_err *err)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail_sqlite(db, where, err);
}

/* The one number that a statement gives. */
static int number_of(sqlite3 *db, const char *sql, const char *where, int64_t *out,
                     struct sy_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    bool row = rc == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW;
    *out = row ? sqlite3_column_int64(q, 0) : 0;
    int result = row ? 0 : fail_sqlite(db, where, err);
    sqlite3_finalize(q);
    return result;
}

static int migrate(sqlite3 *db, int from, int to, const char *where, struct sy_err *err)
{
    char sql[80];
    for (int v = from; v < to; v++)
        if (exec_sql(db, migrations[v], where, err))
            return -1;
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id=%d;PRAGMA user_version=%d;",
                     SY__APPLICATION_ID, to);
    return exec_sql(db, sql, where, err);
}

int sy__schema_create(struct sy_store *s, struct sy_err *err)
{
    return migrate(s->db, 0, VERSION, s->where, err);
}

/* What the file defines, as text.  SQLite runs nothing but the last of the four columns, so it does
 * not matter that a hostile file may put the marks between them elsewhere. */
static int definitions(sqlite3 *db, const char *where, struct sy_str *out, struct sy_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(
        db, "SELECT type,name,tbl_name,sql FROM sqlite_schema ORDER BY name,type", -1, &q, NULL);
    while (rc == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW && out->len < DEFINITIONS_MOST)
        for (int i = 0; i < 4; i++)
            sy_str_printf(out, "%.*s;", DEFINITION_MOST, sy__text(q, i, NULL));
    rc = sqlite3_errcode(db);
    int result =
        rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : fail_sqlite(db, where, err);
    sqlite3_finalize(q);
    return out->failed ? sy_err_set(err, SY_E_MEMORY, "%s: out of memory", where) : result;
}

static int check_definitions(struct sy_store *s, int version, struct sy_err *err)
{
    struct sy_str has = SY_STR_INIT, wants = SY_STR_INIT;
    sqlite3 *fresh = NULL;
    int rc = sqlite3_open(":memory:", &fresh) == SQLITE_OK ? 0 : fail_sqlite(fresh, s->where, err);
    if (!rc)
        rc = migrate(fresh, 0, version, s->where, err) ||
                     definitions(fresh, s->where, &wants, err) ||
                     definitions(s->db, s->where, &has, err)
                 ? -1
                 : 0;
    if (!rc && (has.len != wants.len || memcmp(has.data, wants.data, has.len)))
        rc = sy_err_set(err, SY_E_FORMAT,
                        "%s: run.sqlite does not have the tables of a run, version %d", s->where,
                        version);
    sqlite3_close(fresh);
    sy_str_free(&has);
    sy_str_free(&wants);
    return rc;
}

int sy__db_migrate(struct sy_store *s, struct sy_err *err)
{
    if (s->version == VERSION)
        return 0;
    if (sy__run(s, SY__BEGIN, err))
        return -1;
    if (!migrate(s->db, s->version, VERSION, s->where, err) && !sy__run(s, SY__COMMIT, err)) {
        s->version = VERSION;
        return 0;
    }
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

/* A creation that was killed leaves an empty database. */
static int check_file(struct sy_store *s, struct sy_err *err)
{
    int64_t id, version, tables;
    if (number_of(s->db, "PRAGMA application_id", s->where, &id, err) ||
        number_of(s->db, "PRAGMA user_version", s->where, &version, err) ||
        number_of(s->db, "SELECT count(*) FROM sqlite_schema", s->where, &tables, err))
        return -1;
    if (!id && !version && !tables)
        return sy_err_set(err, SY_E_NOTFOUND, "%s: its creation was not finished", s->where);
    if (id != SY__APPLICATION_ID)
        return sy_err_set(err, SY_E_FORMAT, "%s: run.sqlite is not a run's: application id %08x",
                          s->where, (unsigned)id);
    if (version > VERSION)
        return sy_err_set(
            err, SY_E_UNSUPPORTED,
            "%s: run.sqlite has version %lld, made by a newer program; this one reads up to %d",
            s->where, (long long)version, VERSION);
    if (version < 1)
        return sy_err_set(err, SY_E_FORMAT, "%s: run.sqlite has version %lld", s->where,
                          (long long)version);
    if (check_definitions(s, (int)version, err))
        return -1;
    s->version = (int)version;
    return 0;
}

/* ---- opening ---- */

static void add_escaped(struct sy_str *uri, const char *path)
{
    for (; *path; path++)
        if (strchr("?#%", *path))
            sy_str_printf(uri, "%%%02x", (unsigned)(unsigned char)*path);
        else
            sy_str_add(uri, path, 1);
}

/* Nothing in the file may run, grow or be trusted. */
static void limit(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, SY__BLOB_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
    sqlite3_busy_timeout(db, 3000);
}

/* The path of the folder that is held open, without links (of the C library, hence free). */
static char *place_of(const struct sy_store *s, struct sy_err *err)
{
    char where[4096];
    char *place = sy_dir_where(&s->dir, where, sizeof where) ? realpath(where, NULL) : NULL;
    if (!place)
        sy_err_set(err, SY_E_IO, "%s: its directory %s cannot be reached", s->where, s->dir.path);
    return place;
}

static int connect_file(struct sy_store *s, enum sy__mode mode, bool immutable, struct sy_err *err)
{
    struct sy_str uri = SY_STR_INIT;
    int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    flags |= mode == SY__READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= mode == SY__CREATE ? SQLITE_OPEN_CREATE : 0;
    char *place = place_of(s, err);
    if (!place)
        return -1;
    sy_str_puts(&uri, "file://");
    add_escaped(&uri, place);
    free(place);
    sy_str_puts(&uri, immutable ? "/run.sqlite?immutable=1" : "/run.sqlite");
    int rc = uri.failed ? SQLITE_NOMEM : sqlite3_open_v2(uri.data, &s->db, flags, NULL);
    sy_str_free(&uri);
    if (rc != SQLITE_OK)
        return fail_sqlite(s->db, s->where, err);
    limit(s->db);
    return exec_sql(s->db,
                    "PRAGMA mmap_size=0;PRAGMA temp_store=MEMORY;PRAGMA cell_size_check=ON;"
                    "PRAGMA cache_size=-4096;",
                    s->where, err);
}

sqlite3 *sy__db_lay_aside(struct sy_store *s)
{
    sqlite3 *db = s->db;
    for (int i = 0; i < SY__QUERIES; i++) {
        sqlite3_finalize(s->query[i]);
        s->query[i] = NULL;
    }
    s->db = NULL;
    return db;
}

void sy__db_close(struct sy_store *s)
{
    int keep = 1;
    sy__run_dir_guard(s);
    if (s->db && !sy__run_dir_is_ours(s))
        sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
    sqlite3_close(sy__db_lay_aside(s));
}

static int note_wal(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct sy_store *s = ctx;
    (void)db;
    (void)name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

/* A page of 8 KiB wastes least: the chunk of a scalar takes about 0.8 KiB, of 64 loads 10 to 20
 * KiB.  Where there can be no WAL (a file system without shared memory) SQLite keeps its rollback
 * journal: then a reader may hold up a flush, which is tried again. */
static int prepare_writer(struct sy_store *s, enum sy__mode mode, struct sy_err *err)
{
    if (mode == SY__CREATE && exec_sql(s->db, "PRAGMA page_size=8192;", s->where, err))
        return -1;
    sqlite3_wal_hook(s->db, note_wal, s); /* and with it no automatic checkpoint */
    return exec_sql(
        s->db,
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA journal_size_limit=8388608;",
        s->where, err);
}

/* A reader without the shared memory of WAL (a folder that may not be written) sees the file as of
 * its last checkpoint. */
static int open_reader(struct sy_store *s, struct sy_err *err)
{
    struct sy_err first = SY_ERR_INIT;
    if (!connect_file(s, SY__READ, false, &first) && !check_file(s, &first))
        return 0;
    int code = s->db ? sqlite3_errcode(s->db) & 0xff : SQLITE_NOMEM;
    if (first.code != SY_E_IO ||
        (code != SQLITE_CANTOPEN && code != SQLITE_READONLY && code != SQLITE_IOERR))
        return sy_err_set(err, first.code, "%s", first.msg);
    sy__db_close(s);
    return connect_file(s, SY__READ, true, err) || check_file(s, err) ? -1 : 0;
}

/* What cannot be opened for writing SQLite opens for reading, and would say so at each write to
 * come. */
static int open_writer(struct sy_store *s, enum sy__mode mode, struct sy_err *err)
{
    if (connect_file(s, mode, false, err))
        return -1;
    if (sqlite3_db_readonly(s->db, "main") > 0)
        return sy_err_set(err, SY_E_IO, "%s: run.sqlite cannot be opened for writing", s->where);
    if (mode == SY__CREATE) {
        int64_t tables;
        if (number_of(s->db, "SELECT count(*) FROM sqlite_schema", s->where, &tables, err))
            return -1;
        if (tables)
            return sy_err_set(err, SY_E_STATE, "%s exists already", s->where);
        return prepare_writer(s, mode, err);
    }
    return check_file(s, err) || prepare_writer(s, mode, err) ? -1 : 0;
}

int sy__db_open(struct sy_store *s, enum sy__mode mode, struct sy_err *err)
{
    sy__shm_mind();
    if (sy__run_dir_check_files(s, err))
        return -1;
    int rc = mode == SY__READ ? open_reader(s, err) : open_writer(s, mode, err);
    sy__run_dir_opened(s);
    if (rc && s->db)
        sy__db_close(s);
    return rc;
}
