/* What may be asked of the screen by name: :dump, :overlay and their like.  Layer workbench. */
#include "workbench/workbench.h"

#include "base/mem.h"
#include "run/source.h"
#include "run/store.h"
#include "tui/theme.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 32
#define DUMP_TAKES "dump: takes the name of a file: .txt, .ans or .svg"
#define THEMES_ARE "theme: there are %s"
#define HEATS_ARE "heat: there are %s"
#define LOSSES_ARE "losses: there are %s"
#define SPLIT_TAKES "split: takes the panel's share of the height, 0.1 to 0.9; 0: as it was"

struct order {
    const char *name;
    char *args, *reply;
    size_t n;
    int status; /* -1: the reply says why not */
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
    if (sy_workbench_dump(r->args, &err))
        fail_order(r, "%s", err.msg);
    else
        snprintf(r->reply, r->n, "the screen is in %s", r->args);
}

static void check_dump(struct order *r)
{
    if (!*r->args)
        fail_order(r, "%s", DUMP_TAKES);
}

/* A run that can be drawn, by name or by the path of its directory: of this session, else a stored
 * one, which joins the board.  Its name there, within `word`; NULL: the reply says why not. */
static const char *find_run(struct order *r, const char *word)
{
    struct sy_err err = SY_ERR_INIT;
    const char *slash = strrchr(word, '/'), *name = slash && slash[1] ? slash + 1 : word;
    const char *folder, *last;
    char room[4096];
    if (sy_panel_has(sy_workbench_panel(), name))
        return name;
    sy_run_locate(word, room, &folder, &last);
    struct sy_source *s = sy_source_stored(folder, last, &err);
    if (!s || sy_board_add(s, &err))
        fail_order(r, "%s", err.msg);
    sy_source_unref(s);
    return r->status ? NULL : name;
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
        else if ((names[n] = find_run(r, word)) != NULL)
            n++;
    }
    if (!r->status && sy_panel_overlay(sy_workbench_panel(), names, n, &err))
        fail_order(r, "%s", err.msg);
}

static void watch(struct order *r)
{
    const char *name;
    if (!*r->args)
        snprintf(r->reply, r->n, "%s", sy_panel_selected(sy_workbench_panel()));
    else if ((name = find_run(r, r->args)) != NULL)
        sy_panel_select(sy_workbench_panel(), name);
}

static void theme(struct order *r)
{
    if (!*r->args)
        snprintf(r->reply, r->n, "%s", sy_theme_names());
    else
        sy_workbench_theme(r->args);
}

static void check_theme(struct order *r)
{
    if (*r->args && !sy_theme_find(r->args))
        fail_order(r, THEMES_ARE, sy_theme_names());
}

static void plain(struct order *r)
{
    (void)r;
    sy_workbench_go_plain();
}

static bool is_on(const struct order *r) { return !strcmp(r->args, "on"); }

static void check_switch(struct order *r)
{
    if (!is_on(r) && strcmp(r->args, "off") != 0)
        fail_order(r, "%s: on or off", r->name);
}

static void mouse(struct order *r) { sy_workbench_mouse(is_on(r)); }
static void highlight(struct order *r) { sy_workbench_highlight(is_on(r)); }

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

static void check_split(struct order *r)
{
    double share;
    if (!is_share(r->args, &share))
        fail_order(r, "%s", SPLIT_TAKES);
}

static void split(struct order *r)
{
    double share;
    if (is_share(r->args, &share))
        sy_panel_set_split(sy_workbench_panel(), share);
    sy_workbench_repaint();
}

static void check_heat(struct order *r)
{
    if (sy_panel_find_heat(r->args) < 0)
        fail_order(r, HEATS_ARE, sy_panel_heats());
}

static void heat(struct order *r)
{
    sy_panel_heat(sy_workbench_panel(), sy_panel_find_heat(r->args));
}

static void check_losses(struct order *r)
{
    if (sy_panel_find_losses(r->args) < 0)
        fail_order(r, LOSSES_ARE, sy_panel_losses_names());
}

static void losses(struct order *r)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_panel_losses(sy_workbench_panel(), sy_panel_find_losses(r->args), &err))
        fail_order(r, "%s", err.msg);
}

/* check: says in the reply why the words are not what the command takes, whatever the screen. */
static const struct command {
    const char *name;
    void (*check)(struct order *r); /* may be NULL */
    void (*f)(struct order *r);
} commands[] = {{"dump", check_dump, dump},
                {"overlay", NULL, overlay},
                {"watch", NULL, watch},
                {"theme", check_theme, theme},
                {"plain", NULL, plain},
                {"mouse", check_switch, mouse},
                {"highlight", check_switch, highlight},
                {"filter", NULL, filter},
                {"heat", check_heat, heat},
                {"losses", check_losses, losses},
                {"split", check_split, split}};
#define COMMANDS (sizeof commands / sizeof *commands)

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    return NULL;
}

bool sy_workbench_knows(const char *name) { return find_command(name) != NULL; }

/* Checked, and, where it is `to_be_done`, done. */
static int take_order(const char *name, const char *args, char *reply, size_t n, bool to_be_done)
{
    const struct command *c = find_command(name);
    struct order r = {name, sy_strdup(args), reply, n, 0};
    *reply = 0;
    if (c && r.args && c->check)
        c->check(&r);
    if (c && r.args && to_be_done && !r.status)
        c->f(&r);
    sy_free(r.args);
    return r.status;
}

int sy_workbench_check(const char *name, const char *args, char *reply, size_t n)
{
    return take_order(name, args, reply, n, false);
}

int sy_workbench_command(const char *name, const char *args, char *reply, size_t n)
{
    return take_order(name, args, reply, n, true);
}
