/* Saving and loading while the world fails: every allocation, every system call, every point of a
 * crash, every truncation, flipped bits.  What must hold: an older checkpoint or the new one loads,
 * whole, and a load that fails changes nothing. */
#include "unit/tap.h"
#include "unit/tiny_run.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "io/sys.h"
#include "switchyard/io.h"
#include "train/checkpoint.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static const char *under(const char *name)
{
    static char path[8][256];
    static int at;
    char *p = path[at++ % 8];
    snprintf(p, 256, "%s/%s", root, name);
    return p;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind, (void)f;
    return remove(path);
}

static void wipe(const char *dir) { nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static struct sy_trainer *make(const char *dir)
{
    struct sy_err err = SY_ERR_INIT;
    struct tiny_options o = {.steps = 40, .seed = 1, .width = 8};
    struct sy_trainer *t = tiny_trainer(&o, &err);
    if (!t || (dir && sy_trainer_set_dir(t, dir, 2, 0, &err))) {
        tap_ok(0, "a trainer: %s", err.msg);
        exit(1);
    }
    return t;
}

static void put_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f))
        tap_note("cannot write %s", path);
}

/* ---- allocations ---- */

static void test_save_without_memory(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = under("alloc");
    struct sy_saved s;
    struct sy_trainer *t = make(dir);
    tiny_run_to(t, 3);
    sy_trainer_checkpoint(t, NULL, 0, &err);
    tiny_run_to(t, 5);
    uint64_t hash = tiny_hash(t), before = sy_mem_count();
    sy_trainer_checkpoint(t, NULL, 0, &err);
    uint64_t n = sy_mem_count() - before;
    int lost = 0, claimed = 0, refused = 0;
    for (uint64_t i = 1; i <= n; i++) {
        sy_checkpoint_discard(dir, NULL, 3, NULL);
        sy_mem_fail_at(i);
        int rc = sy_trainer_checkpoint(t, NULL, 0, NULL);
        sy_mem_fail_at(0);
        refused += rc != 0;
        lost += sy_checkpoint_find(dir, -1, &s, NULL) != 0;
        claimed += !rc && s.step != 5;
    }
    tap_ok(n > 50 && refused > 40 && !lost && !claimed && tiny_hash(t) == hash,
           "saving: %d of %d allocations fail it; %d lost all, %d claimed success wrongly", refused,
           (int)n,
           lost, claimed);
    sy_trainer_free(t);
}

static void test_load_without_memory(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = under("alloc");
    struct sy_saved s;
    struct sy_trainer *a = make(NULL), *b = make(NULL);
    sy_checkpoint_find(dir, -1, &s, &err);
    tiny_run_to(b, 2);
    uint64_t was = tiny_hash(b), before = sy_mem_count();
    tap_ok(!sy_trainer_load(a, s.path, false, &err), "loaded %s", err.msg);
    uint64_t n = sy_mem_count() - before, live = sy_mem_live();
    int changed = 0, refused = 0;
    for (uint64_t i = 1; i <= n; i++) {
        struct sy_status now;
        sy_mem_fail_at(i);
        int rc = sy_trainer_load(b, s.path, false, NULL);
        sy_mem_fail_at(0);
        sy_trainer_status(b, &now);
        refused += rc != 0;
        changed += rc && (tiny_hash(b) != was || now.step != 2);
        if (!rc) { /* the second buffer has another way out */
            sy_trainer_free(b);
            b = make(NULL);
            tiny_run_to(b, 2);
        }
    }
    tap_ok(refused > 20 && !changed, "loading: %d of %d allocations fail it; %d changed the run",
           refused, (int)n, changed);
    sy_trainer_free(b);
    sy_trainer_free(a);
    tap_ok(sy_mem_live() < live, "and nothing is lost");
}

/* ---- system calls ---- */

struct failing {
    int64_t at, count;
    int answer;
    bool reading;
    enum sy_sys_kind kind; /* of the one that failed */
};

static int fail_one(void *ctx, const struct sy_sys_call *call)
{
    struct failing *f = ctx;
    if ((call->kind >= SY_SYS_READ_OPEN) != f->reading || ++f->count != f->at)
        return 0;
    f->kind = call->kind;
    return f->answer;
}

static void test_save_io(int answer, const char *what)
{
    const char *dir = under("io"), *temp = under("io/step-000005.tmp");
    struct sy_saved s;
    wipe(dir);
    struct sy_trainer *t = make(dir);
    tiny_run_to(t, 3);
    sy_trainer_checkpoint(t, NULL, 0, NULL);
    tiny_run_to(t, 5);
    uint64_t hash = tiny_hash(t);
    int lost = 0, claimed = 0, refused = 0, stuck = 0, left = 0, calls = 0;
    for (int at = 1;; at++) {
        struct failing f = {.at = at, .answer = answer};
        sy_sys_set_hook(fail_one, &f);
        int rc = sy_trainer_checkpoint(t, NULL, 0, NULL);
        sy_sys_set_hook(NULL, NULL);
        if (f.count < at)
            break;
        calls = at;
        refused += rc != 0;
        lost += sy_checkpoint_find(dir, -1, &s, NULL) != 0;
        claimed += !rc && s.step != 5;
        left += access(temp, F_OK) == 0 && f.kind != SY_SYS_UNLINK &&
                f.kind != SY_SYS_RMDIR;
        stuck += sy_trainer_checkpoint(t, NULL, 0, NULL) != 0; /* what is left is no obstacle */
        if (at % 2)
            /* next one makes a name, else it replaces one */
            sy_checkpoint_discard(dir, NULL, 3, NULL);
    }
    tap_ok(calls > 25 && !lost && !claimed && !stuck && !left && tiny_hash(t) == hash,
           "saving, %s at each of %d calls: %d refused, %d lost all, %d wrong claims, %d stuck, %d "
           "left over",
           what, calls, refused, lost, claimed, stuck, left);
    sy_trainer_free(t);
}

static void test_load_io(int answer, const char *what)
{
    const char *dir = under("io");
    struct sy_saved s;
    struct sy_trainer *b = make(NULL);
    tiny_run_to(b, 2);
    uint64_t was = tiny_hash(b);
    int changed = 0, refused = 0, calls = 0;
    if (sy_checkpoint_find(dir, -1, &s, NULL))
        tap_ok(0, "nothing to load");
    for (int at = 1;; at++) {
        struct failing f = {.at = at, .answer = answer, .reading = true};
        sy_sys_set_hook(fail_one, &f);
        int rc = sy_trainer_load(b, s.path, false, NULL);
        sy_sys_set_hook(NULL, NULL);
        if (f.count < at)
            break;
        calls = at;
        refused += rc != 0;
        changed += rc && tiny_hash(b) != was;
        if (!rc)
            was = tiny_hash(b);
    }
    tap_ok(calls > 15 && !changed && (answer == SY_SYS_SHORT ? refused == 0 : refused == calls),
           "loading, %s at each of %d calls: %d refused, %d changed the run", what, calls, refused,
           changed);
    sy_trainer_free(b);
}

/* ---- crashes: what was written, with all that was not synchronized dropped or not ---- */

#define NODES 128
#define NAMES 16

struct name {
    char text[48];
    int node;
};

struct node {
    bool dir;
    struct sy_str data, durable; /* of a file */
    struct name names[NAMES], durable_names[NAMES];
    int n, durable_n;
};

static struct node nodes[NODES];
static int nnodes;
static const char *crash_dir;
static struct sy_sys_call *calls; /* of all saves, with copies of what they point to */
static int64_t ncalls, calls_room;

static int new_node(bool dir)
{
    nodes[nnodes] = (struct node){.dir = dir};
    return nnodes++;
}

static struct name *entry_of(struct node *d, const char *name)
{
    for (int i = 0; i < d->n; i++)
        if (!strcmp(d->names[i].text, name))
            return &d->names[i];
    return NULL;
}

static void remove_entry(struct node *d, const char *name)
{
    struct name *e = entry_of(d, name);
    if (e)
        *e = d->names[--d->n];
}

static void add_entry(struct node *d, const char *name, int node)
{
    remove_entry(d, name);
    struct name *e = &d->names[d->n++];
    snprintf(e->text, sizeof e->text, "%s", name);
    e->node = node;
}

/* Folder that holds path, and its last name; NULL for crash_dir itself. */
static struct node *parent(const char *path, const char **last)
{
    const char *rest = path + strlen(crash_dir), *slash;
    struct node *d = &nodes[0];
    if (!*rest)
        return NULL;
    rest++;
    if ((slash = strchr(rest, '/')) != NULL) {
        char first[48];
        snprintf(first, sizeof first, "%.*s", (int)(slash - rest), rest);
        const struct name *e = entry_of(d, first);
        d = &nodes[e->node];
        rest = slash + 1;
    }
    *last = rest;
    return d;
}

static struct node *node_of(const char *path)
{
    const char *last;
    struct node *d = parent(path, &last);
    return d ? &nodes[entry_of(d, last)->node] : &nodes[0];
}

static void follow(const struct sy_sys_call *c)
{
    const char *last, *to;
    struct node *d = c->kind == SY_SYS_SPACE ? NULL : parent(c->path, &last), *x;
    struct name *a, *b;
    switch (c->kind) {
    case SY_SYS_OPEN: add_entry(d, last, new_node(false)); break;
    case SY_SYS_MKDIR: add_entry(d, last, new_node(true)); break;
    case SY_SYS_WRITE: sy_str_add(&node_of(c->path)->data, c->data, c->n); break;
    case SY_SYS_FSYNC:
        x = node_of(c->path);
        sy_str_clear(&x->durable);
        sy_str_add(&x->durable, x->data.data, x->data.len);
        break;
    case SY_SYS_FSYNC_FOLDER:
        x = node_of(c->path);
        memcpy(x->durable_names, x->names, sizeof x->names);
        x->durable_n = x->n;
        break;
    case SY_SYS_UNLINK:
    case SY_SYS_RMDIR: remove_entry(d, last); break;
    case SY_SYS_RENAME:
        x = parent(c->to, &to);
        a = entry_of(d, last);
        int moved = a->node;
        remove_entry(d, last);
        add_entry(x, to, moved);
        break;
    case SY_SYS_EXCHANGE:
        x = parent(c->to, &to);
        a = entry_of(d, last);
        b = entry_of(x, to);
        int first = a->node;
        a->node = b->node;
        b->node = first;
        break;
    default: break;
    }
}

static int record_call(void *ctx, const struct sy_sys_call *c)
{
    (void)ctx;
    if (c->kind >= SY_SYS_READ_OPEN)
        return 0;
    if (ncalls == calls_room) {
        calls_room = calls_room ? 2 * calls_room : 256;
        calls = sy_realloc(calls, (size_t)calls_room * sizeof *calls);
    }
    struct sy_sys_call *copy = &calls[ncalls++];
    *copy = *c;
    copy->path = sy_strdup(c->path);
    copy->to = c->to ? sy_strdup(c->to) : NULL;
    if (c->kind == SY_SYS_WRITE)
        copy->data = memcpy(sy_alloc(c->n + 1), c->data, c->n);
    return 0;
}

/* The simulated disk after the first `cut` calls. */
static void disk_at(int64_t cut)
{
    for (int i = 0; i < nnodes; i++) {
        sy_str_free(&nodes[i].data);
        sy_str_free(&nodes[i].durable);
    }
    nnodes = 0;
    new_node(true);
    for (int64_t i = 0; i < cut; i++)
        follow(&calls[i]);
}

/* Put what a crash leaves on the disk into `to`.  choice: bits for folders and files, durable or
 * not. */
static void materialize(const char *to, int node, uint64_t choice, int depth)
{
    const struct node *d = &nodes[node];
    bool durable = choice >> (depth * 2) & 1;
    const struct name *names = durable ? d->durable_names : d->names;
    mkdir(to, 0777);
    for (int i = 0; i < (durable ? d->durable_n : d->n); i++) {
        char path[1100];
        const struct node *x = &nodes[names[i].node];
        snprintf(path, sizeof path, "%s/%s", to, names[i].text);
        if (x->dir) {
            materialize(path, names[i].node, choice, depth + 1);
            continue;
        }
        bool synced = choice >> (8 + names[i].node % 40) & 1;
        const struct sy_str *s = synced ? &x->durable : &x->data;
        size_t n = s->len;
        if (!synced && x->durable.len != x->data.len) /* any part of it may be there */
            n = (size_t)(choice >> 32) % (n + 1);
        put_file(path, s->data ? s->data : "", n);
    }
}

#define SAVES 4

/* Four saves with a deletion and a replacement, recorded. */
static void play(uint64_t hashes[SAVES], int64_t ends[SAVES])
{
    struct sy_err err = SY_ERR_INIT;
    static const int steps[SAVES] = {2, 3, 4, 4};
    struct sy_trainer *t = make(crash_dir);
    sy_sys_set_hook(record_call, NULL);
    for (int i = 0; i < SAVES; i++) {
        if (i == 3) /* another future of step 4 */
            sy_trainer_params(t)->p[0] += 1;
        else
            tiny_run_to(t, steps[i]);
        if (sy_trainer_checkpoint(t, NULL, 0, &err))
            tap_ok(0, "save %d: %s", i, err.msg);
        hashes[i] = tiny_hash(t);
        ends[i] = ncalls;
    }
    sy_sys_set_hook(NULL, NULL);
    sy_trainer_free(t);
}

/* The newest committed state, or the one being committed, must load from every crash at this
 * call. */
static int crash_once(struct sy_trainer *b, int64_t cut, uint64_t choice, const uint64_t *hashes,
                      const int64_t *ends)
{
    struct sy_saved s;
    const char *disk = under("disk");
    int committed = 0;
    while (committed < SAVES && ends[committed] <= cut)
        committed++;
    wipe(disk);
    materialize(disk, 0, choice, 0);
    int none = sy_checkpoint_find(disk, -1, &s, NULL);
    if (none)
        return committed > 0;
    if (sy_trainer_load(b, s.path, false, NULL))
        return 1;
    uint64_t h = tiny_hash(b);
    for (int i = committed ? committed - 1 : 0; i <= committed && i < SAVES; i++)
        if (h == hashes[i])
            return 0;
    return 1;
}

static void test_crashes(void)
{
    uint64_t hashes[SAVES];
    int64_t ends[SAVES];
    struct sy_rng r = {.seed = 11, .purpose = SY_RNG_USER};
    static char dir[256];
    snprintf(dir, sizeof dir, "%s/crash", root);
    crash_dir = dir;
    play(hashes, ends);
    struct sy_trainer *b = make(NULL);
    int wrong = 0, tried = 0;
    for (int64_t cut = 0; cut <= ncalls; cut++) {
        static const uint64_t plain[4] = {0, ~(uint64_t)0, ~(uint64_t)0xff, 0xff};
        disk_at(cut);
        for (int k = 0; k < 8; k++, tried++) {
            uint64_t choice = k < 4 ? plain[k] : sy_rng_u64(&r, (uint64_t)tried);
            if (crash_once(b, cut, choice, hashes, ends) && wrong++ < 3)
                tap_note("call %d of %d, choice %llx", (int)cut, (int)ncalls,
                         (unsigned long long)choice);
        }
    }
    tap_ok(ncalls > 80 && !wrong,
           "a crash at each of %d calls of four saves, %d states of the disk: %d do not load",
           (int)ncalls, tried, wrong);
    sy_trainer_free(b);
}

/* ---- damage ---- */

#define FILES 5
static const char *const names[FILES] = {"model.safetensors", "optimizer.safetensors",
                                         "state.safetensors",
                                         "state.json", "MANIFEST"};

/* MANIFEST anew over whatever the files are: so that the readers behind the hashes see the
 * damage. */
static void forge_manifest(const char *dir)
{
    struct sy_str s = SY_STR_INIT;
    char hex[17], path[1100];
    sy_str_puts(&s, "{\"format\":1,\"step\":3,\"config\":\"0000000000000000\",\"files\":{");
    for (int i = 0; i < 4; i++) {
        struct sy_file_sum sum;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        sy_file_sum("test", NULL, path, &sum, NULL);
        sy_hash_hex(sum.hash, hex);
        sy_str_printf(&s, "%s\"%s\":{\"bytes\":%llu,\"hash\":\"%s\"}", i ? "," : "", names[i],
                      (unsigned long long)sum.bytes, hex);
    }
    sy_str_puts(&s, "}");
    sy_hash_hex(sy_hash_bytes(s.data, s.len), hex);
    sy_str_printf(&s, ",\"sum\":\"%s\"}\n", hex);
    snprintf(path, sizeof path, "%s/MANIFEST", dir);
    put_file(path, s.data, s.len);
    sy_str_free(&s);
}

static void damage_file(struct sy_trainer *b, const char *dir, const char *name,
                        const struct sy_str *manifest)
{
    char path[1100], manifest_path[1100];
    struct sy_str good = SY_STR_INIT;
    struct sy_rng r = {.seed = 12, .purpose = SY_RNG_USER};
    int taken = 0, changed = 0, forged = 0, n = tap_fast() ? 100 : 1000;
    uint64_t was = tiny_hash(b);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(manifest_path, sizeof manifest_path, "%s/MANIFEST", dir);
    sy_file_read(path, 0, &good, NULL);
    size_t stride = tap_fast() ? 97 : 1;
    for (size_t i = 0; i < good.len; i += stride) {
        put_file(path, good.data, i);
        taken += !sy_trainer_load(b, dir, true, NULL);
    }
    for (int i = 0; i < n; i++) {
        uint64_t bit = sy_rng_below(&r, (uint64_t)i, good.len * 8);
        good.data[bit / 8] ^= (char)(1 << bit % 8);
        put_file(path, good.data, good.len);
        taken += !sy_trainer_load(b, dir, true, NULL);
        changed += tiny_hash(b) != was;
        if (strcmp(name, "MANIFEST")) {
            forge_manifest(dir);
            struct sy_trainer *c = i % 50 ? b : make(NULL);
            forged += !sy_trainer_load(c, dir, true, NULL);
            if (c != b)
                sy_trainer_free(c);
            put_file(manifest_path, manifest->data, manifest->len);
            was = tiny_hash(b);
        }
        good.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    put_file(path, good.data, good.len);
    tap_ok(!taken && !changed,
           "%s: %d truncations, %d flipped bits: %d taken, %d changed the run (%d of the forged "
           "loaded)",
           name, (int)good.len, n, taken, changed, forged);
    sy_str_free(&good);
}

static void test_damage(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = under("damage");
    char path[SY_PATH_MAX], manifest_path[SY_PATH_MAX + 16];
    struct sy_str manifest = SY_STR_INIT;
    struct sy_trainer *a = make(dir), *b = make(NULL);
    struct sy_journal_entry e = {
        .kind = SY_ENTRY_INPUT, .key = "mask", .n = 8, .values = (const float[8]){0, 1, 2}};
    tiny_run_to(a, 3);
    sy_params_freeze(sy_trainer_params(a), "layers.1", 2, true);
    sy_trainer_apply(a, &e, &err);
    sy_trainer_note(a, SY_ENTRY_NOTE, "a line");
    tap_ok(!sy_trainer_checkpoint(a, path, sizeof path, &err), "saved %s", err.msg);
    snprintf(manifest_path, sizeof manifest_path, "%s/MANIFEST", path);
    sy_file_read(manifest_path, 0, &manifest, &err);
    for (int i = 0; i < FILES; i++)
        damage_file(b, path, names[i], &manifest);
    tap_ok(!sy_trainer_load(b, path, false, &err) && tiny_hash(b) == tiny_hash(a),
           "undamaged again, it loads %s", err.msg);
    sy_str_free(&manifest);
    sy_trainer_free(a);
    sy_trainer_free(b);
}

/* ---- the program's fingerprint ---- */

/* state.json says of its program's fingerprint that it is `hash`, and then `version`. */
static void say_program(const char *dir, uint64_t hash, const char *version)
{
    char path[SY_PATH_MAX + 16], hex[17];
    struct sy_err err = SY_ERR_INIT;
    struct sy_str before = SY_STR_INIT, now = SY_STR_INIT;
    snprintf(path, sizeof path, "%s/state.json", dir);
    sy_file_read(path, 0, &before, &err);
    const char *at = strstr(before.data, "\"program\":"), *end = strstr(at, ",\"hash\"");
    sy_hash_hex(hash, hex);
    sy_str_printf(&now, "%.*s\"program\":\"%s\"%s%s", (int)(at - before.data), before.data, hex,
                  version, end);
    put_file(path, now.data, now.len);
    forge_manifest(dir);
    sy_str_free(&before);
    sy_str_free(&now);
}

static void test_fingerprint(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = under("fingerprint");
    char path[SY_PATH_MAX];
    struct sy_trainer *a = make(dir), *b = make(NULL);
    tiny_run_to(a, 3);
    tap_ok(!sy_trainer_checkpoint(a, path, sizeof path, &err), "saved %s", err.msg);
    say_program(path, sy__fingerprint(a, 1), "");
    tap_ok(!sy_trainer_load(b, path, false, &err) && tiny_hash(b) == tiny_hash(a),
           "a fingerprint of version 1 is compared as such %s", err.msg);
    say_program(path, sy__fingerprint(a, 2), "");
    tap_ok(sy_trainer_load(b, path, false, &err) && err.code == SY_E_STATE, "no other is: %s",
           err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    say_program(path, sy__fingerprint(a, 2), ",\"fingerprint\":2");
    tap_ok(!sy_trainer_load(b, path, false, &err), "version 2 %s", err.msg);
    say_program(path, sy__fingerprint(a, 2), ",\"fingerprint\":3");
    tap_ok(sy_trainer_load(b, path, false, &err) && err.code == SY_E_FORMAT,
           "one that is not known yet: %s", err.msg);
    sy_trainer_free(a);
    sy_trainer_free(b);
}

int main(void)
{
    /* in memory: most of the time would go into a disk's fsync */
    snprintf(root, sizeof root, "%s/sy-faults-%ld", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
             (long)getpid());
    mkdir(root, 0777);
    test_save_without_memory();
    test_load_without_memory();
    static const struct {
        int answer;
        const char *name;
    } kinds[] = {{EIO, "EIO"}, {ENOSPC, "ENOSPC"}, {SY_SYS_SHORT, "short"}};
    for (int i = 0; i < 3; i++) {
        test_save_io(kinds[i].answer, kinds[i].name);
        test_load_io(kinds[i].answer, kinds[i].name);
    }
    test_crashes();
    test_damage();
    test_fingerprint();
    wipe(root);
    return tap_done();
}
