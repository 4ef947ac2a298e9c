/* Tables of pairs and aligned files (pair_files_int.h).
 *
 * A line ends with a newline, or a carriage return and a newline; the last one may end with the
 * file.  A byte-order mark at the start is no text. */
#include "data/pairs/pair_files_int.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "data/text_int.h"
#include "data/pairs/pair_corpus_int.h"

#include <string.h>

struct lines { /* what is left of a file */
    const struct sy__file *file;
    const char *at, *end;
    int64_t line; /* the last one taken, from 1 */
};

static int open_lines(const struct sy__pair_reading *r, int64_t file, struct sy_str *room,
                      struct lines *out, struct sy_err *err)
{
    const struct sy__file *f = &r->files->file[file];
    sy_str_clear(room);
    sy_str_puts(room, "");
    if (sy__file_text(f->path, r->unpack_max, room, err))
        return -1;
    if (room->failed)
        return sy_err_set(err, SY_E_MEMORY, "data: %s: out of memory", f->path);
    size_t mark = room->len >= 3 && !memcmp(room->data, "\xef\xbb\xbf", 3) ? 3 : 0;
    *out = (struct lines){f, room->data + mark, room->data + room->len, 0};
    return 0;
}

/* 1 and the next line; 0: there is none; -1: it is no text. */
static int next_line(struct lines *l, struct sy__text *out, struct sy_err *err)
{
    if (l->at == l->end)
        return 0;
    const char *nl = memchr(l->at, '\n', (size_t)(l->end - l->at)), *stop = nl ? nl : l->end;
    *out = (struct sy__text){l->at, (size_t)(stop - l->at)};
    l->at = nl ? nl + 1 : l->end;
    l->line++;
    if (nl && out->n && out->s[out->n - 1] == '\r')
        out->n--;
    size_t valid = sy_utf8_valid(out->s, out->n);
    const char *zero = out->n ? memchr(out->s, 0, out->n) : NULL;
    if (valid == out->n && !zero)
        return 1;
    return sy_err_set(err, SY_E_FORMAT, "data: %s: line %lld: byte %zu is no UTF-8 text",
                      l->file->path, (long long)l->line,
                      zero ? (size_t)(zero - out->s) + 1 : valid + 1);
}

static int64_t count_lines(struct lines l)
{
    int64_t n = 0;
    for (const char *nl; l.at < l.end; l.at = nl + 1, n++)
        if (!(nl = memchr(l.at, '\n', (size_t)(l.end - l.at))))
            return n + 1;
    return n;
}

static int tell_progress(const struct sy__pair_reading *r, double done, struct sy_err *err)
{
    r->list->done = r->share * done;
    return sy__progress(r->list->progress, r->list->done, "data", err);
}

/* ---- tables ---- */

#define COLUMNS 3

/* How many columns the line has, of which the first COLUMNS are kept. */
static int split(struct sy__text line, struct sy__text column[COLUMNS])
{
    int n = 0;
    for (bool more = true; more; n++) {
        const char *tab = line.n ? memchr(line.s, '\t', line.n) : NULL;
        size_t k = tab ? (size_t)(tab - line.s) : line.n;
        if (n < COLUMNS)
            column[n] = (struct sy__text){line.s, k};
        more = tab != NULL;
        line = (struct sy__text){line.s + k + more, line.n - k - more};
    }
    return n;
}

static int bad_columns(const struct lines *l, int n, int want, struct sy_err *err)
{
    if (want)
        return sy_err_set(err, SY_E_FORMAT,
                          "data: %s: line %lld has %d columns, the lines before it %d",
                          l->file->path, (long long)l->line, n, want);
    return sy_err_set(err, SY_E_FORMAT,
                      "data: %s: line %lld has %d columns with tabs between them, must have 2 "
                      "(input, target) or 3 (language, input, target)",
                      l->file->path, (long long)l->line, n);
}

static int add_row(const struct sy__pair_reading *r, const struct lines *l, int64_t file,
                   const struct sy__text *column, int n, const char *source, struct sy_err *err)
{
    struct sy__text language = n == 3 ? column[0] : (struct sy__text){source, strlen(source)};
    if (!language.n)
        return sy_err_set(err, SY_E_FORMAT, "data: %s: line %lld names no language before its tab",
                          l->file->path, (long long)l->line);
    int32_t number = sy__pair_source(r->list, language.s, language.n, err);
    if (number < 0)
        return -1;
    struct sy__new_pair p = {.input = column[n - 2].s, .input_n = column[n - 2].n,
                             .target = column[n - 1].s, .target_n = column[n - 1].n,
                             .source = number, .file = (int32_t)file, .line = l->line};
    return sy__pair_add(r->list, &p, err);
}

static int read_table(const struct sy__pair_reading *r, int64_t file, struct lines *l, int *want,
                      const char *source, struct sy_err *err)
{
    struct sy__text line, column[COLUMNS];
    int more;
    while ((more = next_line(l, &line, err)) > 0) {
        if (!line.n) /* a blank line, at the end as a rule */
            continue;
        int n = split(line, column);
        if (n < 2 || n > COLUMNS || (*want && n != *want))
            return bad_columns(l, n, *want, err);
        *want = n;
        if (add_row(r, l, file, column, n, source, err))
            return -1;
    }
    return more;
}

int sy__pairs_read_tables(const struct sy__pair_reading *r, const char *source, int *columns,
                          struct sy_err *err)
{
    struct sy_str room = SY_STR_INIT;
    struct lines l;
    int rc = 0;
    *columns = 0;
    for (int64_t i = 0; i < r->files->count && !rc; i++)
        rc = tell_progress(r, (double)i / (double)r->files->count, err) ||
                     open_lines(r, i, &room, &l, err) || read_table(r, i, &l, columns, source, err)
                 ? -1
                 : 0;
    sy_str_free(&room);
    return rc;
}

/* ---- aligned files ---- */

static int add_line(const struct sy__pair_reading *r, struct lines side[2], int32_t source,
                    struct sy_err *err)
{
    struct sy__text a, b;
    int more = next_line(&side[0], &a, err);
    if (more <= 0)
        return more;
    if (next_line(&side[1], &b, err) <= 0)
        return -1;
    struct sy__new_pair p = {.input = a.s, .input_n = a.n, .target = b.s, .target_n = b.n,
                             .source = source, .line = side[0].line};
    return sy__pair_add(r->list, &p, err) ? -1 : 1;
}

int sy__pairs_read_aligned(const struct sy__pair_reading *r, const char *source,
                           struct sy_err *err)
{
    struct sy_str room[2] = {SY_STR_INIT, SY_STR_INIT};
    struct lines side[2];
    int32_t number = sy__pair_source(r->list, source, strlen(source), err);
    int rc = number < 0 ? -1 : 0, more = 1;
    for (int i = 0; i < 2 && !rc; i++)
        rc = tell_progress(r, .5 * i, err) || open_lines(r, i, &room[i], &side[i], err) ? -1 : 0;
    int64_t n[2] = {rc ? 0 : count_lines(side[0]), rc ? 0 : count_lines(side[1])};
    if (n[0] != n[1])
        rc = sy_err_set(err, SY_E_FORMAT,
                        "data: %s has %lld lines and %s has %lld: aligned files have as many",
                        side[0].file->path, (long long)n[0], side[1].file->path, (long long)n[1]);
    while (!rc && more > 0)
        more = add_line(r, side, number, err);
    sy_str_free(&room[0]);
    sy_str_free(&room[1]);
    return rc || more < 0 ? -1 : 0;
}

/* ---- a corpus of them ---- */

#define READ_SHARE 0.3 /* of the work */

/* Two files, neither of them named as a table. */
static bool are_aligned(const char *const *paths, int count)
{
    return count == 2 && !sy__named(paths[0], ".tsv") && !sy__named(paths[1], ".tsv");
}

/* What a file's name ends with, "de" of "news.de.gz", in a copy in `room`; NULL: with nothing, or
 * room->failed. */
static const char *ending_of(const char *path, struct sy_str *room)
{
    sy_str_puts(room, path);
    if (room->failed)
        return NULL;
    if (sy__ends_with(room->data, ".gz") || sy__ends_with(room->data, ".zst"))
        *strrchr(room->data, '.') = 0;
    const char *dot = strrchr(room->data, '.'), *slash = strrchr(room->data, '/');
    return dot && (!slash || dot > slash) && dot[1] ? dot + 1 : NULL;
}

/* A language that was not given is called as its file ends (NULL: it has none), or else so. */
static int name_language(const char **name, const char *path, const char *otherwise,
                         struct sy_str *room, struct sy_err *err)
{
    if (*name)
        return 0;
    const char *ending = path ? ending_of(path, room) : NULL;
    *name = ending ? ending : otherwise;
    return room->failed ? sy__no_pair_memory(err) : 0;
}

struct names { /* of languages */
    const char *from, *to;
    struct sy_str room[2];
};

/* A column of languages is that of the inputs, or of the targets when only `from` was given. */
static int read_any(struct sy__pair_making *m, const struct sy__pair_reading *r, bool aligned,
                    const struct names *n, bool given[2], struct sy_err *err)
{
    if (aligned && r->files->count != 2)
        return sy_err_set(err, SY_E_FORMAT, "data: aligned files must be two: there are %lld",
                          (long long)r->files->count);
    if (aligned)
        return sy__pairs_read_aligned(r, n->from, err);
    int columns;
    if (sy__pairs_read_tables(r, n->from, &columns, err))
        return -1;
    if (columns == 3 && given[0] && given[1])
        return sy_err_set(err, SY_E_RANGE,
                          "data: %s has a column of languages: from '%s' and to '%s' cannot both "
                          "be given",
                          r->files->file[0].path, n->from, n->to);
    m->sources_are_targets = columns == 3 && given[0];
    m->other = m->sources_are_targets ? n->from : n->to;
    return 0;
}

struct sy_corpus *sy_corpus_pairs(const char *const *paths, int count, const char *from,
                                  const char *to, const struct sy_pair_options *o,
                                  struct sy_err *err)
{
    struct sy__pair_making m = {.done = READ_SHARE, .list.progress = o->progress};
    const struct sy__pair_reading r = {&m.list, &m.files, o->unpack_max, READ_SHARE};
    bool aligned = are_aligned(paths, count), given[2] = {from != NULL, to != NULL};
    struct names n = {from, to, {SY_STR_INIT, SY_STR_INIT}};
    struct sy_corpus *c = NULL;
    int rc = name_language(&n.from, aligned ? paths[0] : NULL, "from", &n.room[0], err) ||
             name_language(&n.to, aligned ? paths[1] : NULL, "to", &n.room[1], err);
    m.other = n.to;
    if (!rc && !sy__files_find(&m.files, paths, count, err) &&
        !read_any(&m, &r, aligned, &n, given, err))
        c = sy__pair_corpus(&m, o, err);
    else {
        sy__pair_list_free(&m.list);
        sy__files_free(&m.files);
    }
    sy_str_free(&n.room[0]);
    sy_str_free(&n.room[1]);
    return c;
}
