/* What may be asked of the screen by name: :dump, :overlay and their like.  Layer workbench. */
#include "workbench/workbench.h"

#include "base/mem.h"
#include "run/source.h"
#include "run/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 32
#define DUMP_TAKES "dump: takes the name of a file: .txt, .ans or .svg"
#define SPLIT_TAKES "split: takes the panel's share of the height, 0.1 to 0.9; 0: as it was"

struct order {
    char *args, *reply;
    size_t n;
    int status;
};

static void fail_order(struct order *r, const char *fmt, const char *what)
    __attribute__((format(printf, 2, 0)));
static void fail_order(struct order *r, const char *fmt, const char *what)
{
    r->status = -1;
    snprintf(r->reply, r->n, fmt, what);
}

static void dump(struct order *r)
{
    struct sy_err err = SY_ERR_INIT;
    if (!*r->args)
        fail_order(r, "%s", DUMP_TAKES);
    else if (sy_workbench_dump(r->args, &err))
        fail_order(r, "%s", err.msg);
    else
        snprintf(r->reply, r->n, "the screen is in %s", r->args);
}

/* A run that can be drawn: of this session, else a stored one, which joins the board. */
static bool find_run(struct order *r, const char *name)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_panel_has(sy_workbench_panel(), name))
        return true;
    struct sy_source *s = sy_source_stored(sy_runs_dir(), name, &err);
    if (!s || sy_board_add(s, &err))
        fail_order(r, "%s", err.msg);
    sy_source_unref(s);
    return !r->status;
}

static void overlay(struct order *r)
{
    const char *names[WORDS];
    struct sy_err err = SY_ERR_INIT;
    int n = 0;
    char *rest = r->args;
    for (char *word; !r->status && (word = strtok_r(rest, " ", &rest));) {
        if (n == WORDS)
            fail_order(r, "%s", "overlay: more than 32 runs");
        else if (find_run(r, word))
            names[n++] = word;
    }
    if (!r->status && sy_panel_overlay(sy_workbench_panel(), names, n, &err))
        fail_order(r, "%s", err.msg);
}

static void watch(struct order *r)
{
    if (!*r->args)
        snprintf(r->reply, r->n, "%s", sy_panel_selected(sy_workbench_panel()));
    else if (find_run(r, r->args))
        sy_panel_select(sy_workbench_panel(), r->args);
}

static void theme(struct order *r)
{
    if (!*r->args)
        snprintf(r->reply, r->n, "%s", sy_workbench_theme_names());
    else if (!sy_workbench_theme(r->args))
        fail_order(r, "theme: there are %s", sy_workbench_theme_names());
}

static void plain(struct order *r)
{
    (void)r;
    sy_workbench_go_plain();
}

static void mouse(struct order *r)
{
    if (!strcmp(r->args, "on") || !strcmp(r->args, "off"))
        sy_workbench_mouse(!strcmp(r->args, "on"));
    else
        fail_order(r, "%s", "mouse: on or off");
}

static void highlight(struct order *r)
{
    if (!strcmp(r->args, "on") || !strcmp(r->args, "off"))
        sy_workbench_highlight(!strcmp(r->args, "on"));
    else
        fail_order(r, "%s", "highlight: on or off");
}

static void filter(struct order *r)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_panel_filter(sy_workbench_panel(), r->args, &err))
        fail_order(r, "%s", err.msg);
}

static bool is_share(const char *text, double *share)
{
    char *end;
    *share = strtod(text, &end);
    return end != text && !*end && *share >= 0 && *share <= 0.9;
}

static void split(struct order *r)
{
    double share;
    if (!is_share(r->args, &share))
        fail_order(r, "%s", SPLIT_TAKES);
    else {
        sy_panel_set_split(sy_workbench_panel(), share);
        sy_workbench_repaint();
    }
}

static const struct {
    const char *name;
    void (*f)(struct order *r);
} commands[] = {{"dump", dump},           {"overlay", overlay}, {"watch", watch},
                {"theme", theme},         {"plain", plain},     {"mouse", mouse},
                {"highlight", highlight}, {"filter", filter},   {"split", split}};
#define COMMANDS (sizeof commands / sizeof *commands)

bool sy_workbench_knows(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(name, commands[i].name))
            return true;
    return false;
}

static bool is_theme(const char *name)
{
    const char *names = sy_workbench_theme_names();
    size_t n = strlen(name);
    for (size_t k; *names; names += k + strspn(names + k, ",; ")) {
        k = strcspn(names, ",; ");
        if (k == n && !strncmp(names, name, n))
            return true;
    }
    return false;
}

int sy_workbench_check(const char *name, const char *args, char *reply, size_t n)
{
    struct order r = {NULL, reply, n, 0};
    double share;
    *reply = 0;
    if (!strcmp(name, "theme") && *args && !is_theme(args))
        fail_order(&r, "theme: there are %s", sy_workbench_theme_names());
    else if (!strcmp(name, "split") && !is_share(args, &share))
        fail_order(&r, "%s", SPLIT_TAKES);
    else if (!strcmp(name, "dump") && !*args)
        fail_order(&r, "%s", DUMP_TAKES);
    return r.status;
}

int sy_workbench_command(const char *name, const char *args, char *reply, size_t n)
{
    struct order r = {sy_strdup(args), reply, n, 0};
    *reply = 0;
    for (size_t i = 0; i < COMMANDS && r.args; i++)
        if (!strcmp(name, commands[i].name))
            commands[i].f(&r);
    sy_free(r.args);
    return r.status;
}
