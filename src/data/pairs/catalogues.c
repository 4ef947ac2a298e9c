/* Corpora from folders of message catalogues, and from files of pairs (pairs.h). */
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

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data.catalogues: out of memory");
}

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
    const struct sy_progress *progress;
    const char *folder, *help, *const *language; /* help NULL: none is read */
    int languages;
    int32_t source, file;
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

/* The language whose folder the path is in, by its number. */
static int language_of(const struct reading *r, const char *path)
{
    size_t n = strlen(r->folder);
    for (int i = 0; i < r->languages; i++) {
        const char *name = path + n + 1;
        size_t k = strlen(r->language[i]);
        if (!strncmp(name, r->language[i], k) && name[k] == '/')
            return i;
    }
    return -1;
}

static int read_catalogue(struct reading *r, const char *path, struct sy_err *err)
{
    struct sy_str bytes = SY_STR_INIT;
    struct sy_err why = SY_ERR_INIT;
    const char *name = r->language[language_of(r, path)];
    r->source = sy__pair_source(&r->m->list, name, strlen(name), err);
    int rc = r->source < 0 ? -1 : 0;
    if (!rc && (sy_file_read(path, CATALOGUE_MOST, &bytes, &why) ||
                sy__catalogue_read(bytes.data ? bytes.data : "", bytes.len, path, take_message, r,
                                   &r->m->list.bad, &why))) {
        bool left = why.code != SY_E_MEMORY && why.code != SY_E_RANGE;
        r->m->list.files_left += left;
        rc = left ? 0 : sy_err_set(err, why.code, "%s", why.msg);
    }
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

/* The page's text; nothing where it cannot be read. */
static int read_page(struct sy__help_page *page, const char *path, struct sy_err *err)
{
    struct sy_str html = SY_STR_INIT;
    struct sy_err why = SY_ERR_INIT;
    int rc = sy_file_read(path, PAGE_MOST, &html, &why);
    if (why.code == SY_E_MEMORY)
        sy_err_set(err, why.code, "%s", why.msg);
    rc = rc ? (why.code == SY_E_MEMORY ? -1 : sy__help_page_read(page, "", 0, err))
            : sy__help_page_read(page, html.data ? html.data : "", html.len, err);
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
    int rc = name.failed ? no_memory(err) : 0;
    if (!rc)
        rc = read_page(&english, name.data, err) || read_page(&other, path, err) ||
                     add_elements(r, &english, &other, err)
                 ? -1
                 : 0;
    sy__help_page_free(&english);
    sy__help_page_free(&other);
    sy_str_free(&name);
    return rc;
}

static int find_pages(struct reading *r, const char *language, struct sy_str *folder,
                      struct sy_err *err)
{
    struct sy_str english = SY_STR_INIT;
    help_folder(&english, r->help, ENGLISH);
    help_folder(folder, r->help, language);
    const char *path = folder->data;
    struct stat st;
    int rc = folder->failed || english.failed ? no_memory(err) : 0;
    if (!rc && (strchr(language, '/') || stat(path, &st) || stat(english.data, &st)))
        rc = sy_err_set(err, SY_E_NOTFOUND,
                        "data.catalogues: there are no help pages in %s, or none in %s: apt-get "
                        "install --no-install-recommends libreoffice-help-en-us "
                        "libreoffice-help-LANGUAGE",
                        path, english.data);
    if (!rc)
        rc = sy__files_find(&r->m->files, &path, 1, err);
    sy_str_free(&english);
    return rc;
}

static int read_help(struct reading *r, const char *language, struct sy_err *err)
{
    struct sy_str folder = SY_STR_INIT;
    int64_t first = r->m->files.count;
    r->source = sy__pair_source(&r->m->list, language, strlen(language), err);
    int rc = r->source < 0 ? -1 : find_pages(r, language, &folder, err);
    for (int64_t i = first; i < r->m->files.count && !rc; i++) {
        r->file = (int32_t)i;
        rc = sy__progress(r->progress, READ_SHARE, "data", err) ||
                     read_pages(r, r->m->files.file[i].path, folder.len, err)
                 ? -1
                 : 0;
    }
    sy_str_free(&folder);
    return rc;
}

static int read_all(struct reading *r, struct sy_err *err)
{
    const struct sy__files *f = &r->m->files;
    int64_t n = f->count;
    for (int64_t i = 0; i < n; i++) {
        r->file = (int32_t)i;
        if (sy__progress(r->progress, READ_SHARE * (double)i / (double)n, "data", err) ||
            read_catalogue(r, f->file[i].path, err))
            return -1;
    }
    for (int i = 0; r->help && i < r->languages; i++)
        if (read_help(r, r->language[i], err))
            return -1;
    return 0;
}

/* Folders of the languages, in their order. */
static int find_catalogues(struct reading *r, struct sy_err *err)
{
    int rc = 0;
    struct sy_str *path = sy_calloc((size_t)r->languages + 1, sizeof *path);
    const char **paths = sy_calloc((size_t)r->languages + 1, sizeof *paths);
    for (int i = 0; path && paths && i < r->languages && !rc; i++) {
        int there =
            strchr(r->language[i], '/') ? 0 : has_catalogues(r->folder, r->language[i]);
        if (there <= 0)
            rc = there ? no_memory(err) : fail_missing(r->folder, r->language[i], err);
        sy_str_printf(&path[i], "%s/%s/LC_MESSAGES", r->folder, r->language[i]);
        paths[i] = path[i].data;
        if (path[i].failed)
            rc = no_memory(err);
    }
    if (!path || !paths)
        rc = no_memory(err);
    else if (!rc)
        rc = sy__files_find(&r->m->files, paths, r->languages, err);
    for (int i = 0; path && i < r->languages; i++)
        sy_str_free(&path[i]);
    sy_free(path);
    sy_free(paths);
    return rc;
}

static int check_languages(const char *const *from, int n_from, const char *const *to, int n_to,
                           struct sy_err *err)
{
    bool in = n_from == 1 && !strcmp(from[0], ENGLISH), out = n_to == 1 && !strcmp(to[0], ENGLISH);
    if (n_from < 1 || n_to < 1)
        return sy_err_set(err, SY_E_RANGE, "data.catalogues: from and to must name languages");
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
    m.list.key_is_input = m.sources_are_targets;
    m.list.words = options->words;
    struct reading r = {.m = &m, .progress = options->progress, .folder = folder ? folder : FOLDER,
                        .help = options->help,
                        .language = m.sources_are_targets ? to : from,
                        .languages = m.sources_are_targets ? to_count : from_count};
    if (!find_catalogues(&r, err) && !read_all(&r, err))
        return sy__pair_corpus(&m, options, err);
    sy__pair_list_free(&m.list);
    sy__files_free(&m.files);
    return NULL;
}
