/* Corpora from folders of message catalogues and of help (pairs.h). */
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "data/pairs/catalogue_int.h"
#include "data/pairs/help_page_int.h"
#include "data/pairs/pair_corpus_int.h"
#include "data/pairs/pair_files_int.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "/usr/share/locale"
#define ENGLISH "en"
#define READ_SHARE 0.3 /* of the work */
#define CATALOGUE_MOST ((size_t)256 << 20)
#define PAGE_MOST ((size_t)16 << 20)
#define NAMES_MOST 300 /* bytes of a message that names of languages may have */

/* ---- which languages are there ---- */

/* 1 or 0; -1: no memory. */
static int has_catalogues(const char *folder, const char *language)
{
    struct sy_str path = SY_STR_INIT;
    sy_str_printf(&path, "%s/%s/LC_MESSAGES", folder, language);
    DIR *dir = path.failed ? NULL : opendir(path.data);
    int found = path.failed ? -1 : 0;
    for (struct dirent *e; dir && !found && (e = readdir(dir));)
        found = sy__ends_with(e->d_name, ".mo");
    if (dir)
        closedir(dir);
    sy_str_free(&path);
    return found;
}

/* "de, fr, pt_BR and 40 more"; how many there are. */
static int name_languages(const char *folder, struct sy_str *out)
{
    struct dirent **list;
    int n = scandir(folder, &list, NULL, alphasort), found = 0, told = 0;
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.' && has_catalogues(folder, list[i]->d_name) > 0) {
            found++;
            if (out->len + strlen(list[i]->d_name) < NAMES_MOST) {
                sy_str_printf(out, "%s%s", told ? ", " : "", list[i]->d_name);
                told++;
            }
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    if (found > told)
        sy_str_printf(out, " and %d more", found - told);
    return found;
}

static int fail_missing(const char *folder, const char *language, struct sy_err *err)
{
    struct sy_str names = SY_STR_INIT;
    if (name_languages(folder, &names))
        sy_err_set(err, SY_E_NOTFOUND, "data.catalogues: %s has no catalogues of '%s': it has %s",
                   folder, language, names.data ? names.data : "");
    else
        sy_err_set(err, SY_E_NOTFOUND,
                   "data.catalogues: %s has no message catalogues: a slim image leaves them out; "
                   "take path-exclude=/usr/share/locale/* out of /etc/dpkg/dpkg.cfg.d and run "
                   "apt-get install --reinstall coreutils dpkg git gettext; or give path = a "
                   "folder of LANGUAGE/LC_MESSAGES/*.mo",
                   folder);
    sy_str_free(&names);
    return -1;
}

/* ---- reading them ---- */

struct reading {
    struct sy__pair_making *m;
    const char *folder, *help, *const *language; /* help NULL: none is read */
    int languages;
    int32_t source, file;
    struct sy__words unread; /* paths of pages */
};

static int take_message(void *ctx, const char *message, size_t n, const char *translation,
                        size_t n2, struct sy_err *err)
{
    const struct reading *r = ctx;
    bool into = r->m->sources_are_targets;
    const struct sy__new_pair p = {.input = into ? message : translation,
                                   .input_n = into ? n : n2,
                                   .target = into ? translation : message,
                                   .target_n = into ? n2 : n,
                                   .source = r->source, .file = r->file};
    return sy__pair_add(&r->m->list, &p, err);
}

/* A file that is no catalogue is counted, by the reason, and what ends all is handed on. */
static int leave_out(struct sy__pair_list *l, const struct sy_err *why, struct sy_err *err)
{
    if (why->code == SY_E_MEMORY || why->code == SY_E_CANCELLED)
        return sy_err_set(err, why->code, "%s", why->msg);
    l->damaged += why->code == SY_E_FORMAT;
    l->foreign += why->code == SY_E_UNSUPPORTED;
    l->unread += why->code != SY_E_FORMAT && why->code != SY_E_UNSUPPORTED;
    return 0;
}

static int read_catalogue(struct reading *r, const char *path, size_t folder, struct sy_err *err)
{
    struct sy_str bytes = SY_STR_INIT;
    struct sy_err why = SY_ERR_INIT;
    struct sy__pair_list *l = &r->m->list;
    (void)folder;
    int rc = sy_file_read(path, CATALOGUE_MOST, &bytes, &why) ||
                     sy__catalogue_read(bytes.data ? bytes.data : "", bytes.len, path, take_message,
                                        r, &l->bad, &why)
                 ? leave_out(l, &why, err)
                 : 0;
    sy_str_free(&bytes);
    return rc;
}

/* ---- pages of LibreOffice's help ---- */

/* "pt_BR" is pt-BR there, and English en-US. */
static void help_folder(struct sy_str *out, const char *help, const char *language)
{
    sy_str_printf(out, "%s/%s/text", help, strcmp(language, ENGLISH) ? language : "en-US");
    for (size_t i = strlen(help); i < out->len; i++)
        out->data[i] = out->data[i] == '_' ? '-' : out->data[i];
}

/* A page that cannot be read is counted once, however many languages have one of its name. */
static int count_unread(struct reading *r, const char *path, struct sy_err *err)
{
    int64_t *known = sy__words_at(&r->unread, path, strlen(path));
    if (!known)
        return sy__no_pair_memory(err);
    r->m->list.unread += !*known;
    *known = 1;
    return 0;
}

/* The page's text; nothing where it cannot be read.  must: it was found in a folder. */
static int read_page(struct reading *r, struct sy__help_page *page, const char *path, bool must,
                     struct sy_err *err)
{
    struct sy_str html = SY_STR_INIT;
    struct sy_err why = SY_ERR_INIT;
    bool unread = sy_file_read(path, PAGE_MOST, &html, &why) != 0;
    int rc = 0;
    if (why.code == SY_E_MEMORY)
        rc = sy_err_set(err, why.code, "%s", why.msg);
    else if (unread && (must || why.code != SY_E_NOTFOUND))
        rc = count_unread(r, path, err);
    if (!rc)
        rc = sy__help_page_read(page, unread || !html.data ? "" : html.data,
                                unread ? 0 : html.len, err);
    sy_str_free(&html);
    return rc;
}

/* The elements of both pages. */
static int add_elements(struct reading *r, const struct sy__help_page *english,
                        const struct sy__help_page *other, struct sy_err *err)
{
    for (uint32_t i = 0; i < other->ids.slots; i++) {
        const struct sy__word *id = &other->ids.slot[i];
        char room[16];
        const int64_t *same =
            id->tag ? sy__words_find(&english->ids, sy__word_bytes(&other->ids, id, room),
                                     sy__word_len(id))
                    : NULL;
        if (!same)
            continue;
        struct sy__help_element e = english->element[*same - 1],
                                o = other->element[id->value - 1];
        const char *a = english->text.data + e.at, *b = other->text.data + o.at;
        if (sy_utf8_valid(a, e.n) < e.n || sy_utf8_valid(b, o.n) < o.n)
            r->m->list.bad++;
        else if (take_message(r, a, e.n, b, o.n, err))
            return -1;
    }
    return 0;
}

/* A page of another language, and the English one of its name. */
static int read_pages(struct reading *r, const char *path, size_t folder, struct sy_err *err)
{
    struct sy__help_page english = {0}, other = {0};
    struct sy_str name = SY_STR_INIT;
    help_folder(&name, r->help, ENGLISH);
    sy_str_puts(&name, path + folder);
    int rc = name.failed ? sy__no_pair_memory(err) : 0;
    if (!rc)
        rc = read_page(r, &english, name.data, false, err) ||
                     read_page(r, &other, path, true, err) ||
                     add_elements(r, &english, &other, err)
                 ? -1
                 : 0;
    sy__help_page_free(&english);
    sy__help_page_free(&other);
    sy_str_free(&name);
    return rc;
}

/* ---- folders ---- */

static int fail_pages(const char *path, const char *english, struct sy_err *err)
{
    return sy_err_set(err, SY_E_NOTFOUND,
                      "data.catalogues: there are no help pages in %s, or none in %s: apt-get "
                      "install --no-install-recommends libreoffice-help-en-us "
                      "libreoffice-help-LANGUAGE",
                      path, english);
}

static int check_pages(const struct reading *r, const char *language, struct sy_err *err)
{
    struct sy_str folder = SY_STR_INIT, english = SY_STR_INIT;
    struct stat st;
    help_folder(&english, r->help, ENGLISH);
    help_folder(&folder, r->help, language);
    int rc = folder.failed || english.failed ? sy__no_pair_memory(err)
             : stat(folder.data, &st) || stat(english.data, &st)
                 ? fail_pages(folder.data, english.data, err)
                 : 0;
    sy_str_free(&folder);
    sy_str_free(&english);
    return rc;
}

/* All of them, before anything is read. */
static int check_folders(const struct reading *r, struct sy_err *err)
{
    for (int i = 0; i < r->languages; i++) {
        const char *name = r->language[i];
        int there = strchr(name, '/') ? 0 : has_catalogues(r->folder, name);
        if (there <= 0)
            return there ? sy__no_pair_memory(err) : fail_missing(r->folder, name, err);
        for (int k = 0; k < i; k++)
            if (!strcmp(name, r->language[k]))
                return sy_err_set(err, SY_E_NAME, "data.catalogues: '%s' is named twice", name);
    }
    for (int i = 0; r->help && i < r->languages; i++)
        if (check_pages(r, r->language[i], err))
            return -1;
    return 0;
}

/* The files of a folder, of which some may be of other languages as well: links, by which they are
 * pairs of both.  It is the work from..to. */
static int read_folder(struct reading *r, const char *path,
                       int (*read)(struct reading *, const char *, size_t, struct sy_err *),
                       double from, double to, struct sy_err *err)
{
    struct sy__files *f = &r->m->files;
    struct sy__pair_list *l = &r->m->list;
    int64_t first = f->count;
    sy__words_clear(&f->seen);
    if (sy__files_find(f, &path, 1, err))
        return -1;
    for (int64_t i = first; i < f->count; i++) {
        r->file = (int32_t)i;
        l->done = from + (to - from) * (double)(i - first) / (double)(f->count - first);
        if (sy__progress(l->progress, l->done, "data", err) ||
            read(r, f->file[i].path, strlen(path), err))
            return -1;
    }
    return 0;
}

/* Catalogues of the language, or its pages of help. */
static int read_language(struct reading *r, int i, bool help, struct sy_err *err)
{
    struct sy_str path = SY_STR_INIT;
    const char *name = r->language[i];
    double part = READ_SHARE / (r->languages * (r->help ? 2 : 1));
    double from = part * (i + (help ? r->languages : 0));
    if (help)
        help_folder(&path, r->help, name);
    else
        sy_str_printf(&path, "%s/%s/LC_MESSAGES", r->folder, name);
    int rc = path.failed ? sy__no_pair_memory(err) : 0;
    if (!rc) {
        r->source = sy__pair_source(&r->m->list, name, strlen(name), err);
        rc = r->source < 0 ? -1
                           : read_folder(r, path.data, help ? read_pages : read_catalogue, from,
                                         from + part, err);
    }
    sy_str_free(&path);
    return rc;
}

static int read_all(struct reading *r, struct sy_err *err)
{
    if (check_folders(r, err))
        return -1;
    for (int help = 0; help <= (r->help != NULL); help++)
        for (int i = 0; i < r->languages; i++)
            if (read_language(r, i, help, err))
                return -1;
    return 0;
}

static int check_languages(const char *const *from, int n_from, const char *const *to, int n_to,
                           struct sy_err *err)
{
    bool in = n_from == 1 && !strcmp(from[0], ENGLISH), out = n_to == 1 && !strcmp(to[0], ENGLISH);
    if (n_from < 1 || n_to < 1)
        return sy_err_set(err, SY_E_RANGE,
                          "data.catalogues: from and to must name languages: they name %d and %d",
                          n_from, n_to);
    if (in == out)
        return sy_err_set(err, SY_E_RANGE,
                          "data.catalogues: messages are English: one of from and to must be 'en' "
                          "alone: from is '%s'%s, to is '%s'%s",
                          from[0], n_from > 1 ? " and others" : "", to[0],
                          n_to > 1 ? " and others" : "");
    return 0;
}

struct sy_corpus *sy_corpus_catalogues(const char *folder, const char *const *from, int from_count,
                                       const char *const *to, int to_count,
                                       const struct sy_pair_options *options, struct sy_err *err)
{
    struct sy__pair_making m = {.other = ENGLISH, .done = READ_SHARE};
    if (check_languages(from, from_count, to, to_count, err))
        return NULL;
    m.sources_are_targets = from_count == 1 && !strcmp(from[0], ENGLISH);
    m.list.progress = options->progress;
    struct reading r = {.m = &m, .folder = folder ? folder : FOLDER,
                        .help = options->help,
                        .language = m.sources_are_targets ? to : from,
                        .languages = m.sources_are_targets ? to_count : from_count};
    int rc = read_all(&r, err);
    sy__words_free(&r.unread);
    if (!rc)
        return sy__pair_corpus(&m, options, err);
    sy__pair_list_free(&m.list);
    sy__files_free(&m.files);
    return NULL;
}
