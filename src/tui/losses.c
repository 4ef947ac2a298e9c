/* Losses apart: the curves that the chart of the loss has beside that of the whole.  They come by
 * pages, for more than a page's nobody tells apart:
 *
 *      0  the whole   1  objectives   2  sources 1-7   3  sources 8-14   ...   a teacher's
 *
 * those that there are.
 *
 * Where several runs are drawn, the curves are theirs, and each is a whole. */
#include "tui/panel_int.h"

#include "base/find.h"

#include <stdio.h>
#include <string.h>

/* The kinds, in the order of their pages. */
static const struct {
    const char *name;
    enum sy_series_kind kind;
    const char *title;
    int least; /* parts: one objective is the whole, a teacher is something else */
} apart[] = {{"objectives", SY_SERIES_PART_LOSS, "by objective", 2},
             {"sources", SY_SERIES_SOURCE_LOSS, "by source", 2},
             {"teacher", SY_SERIES_DISTILL_LOSS, "and the teacher's", 1}};
#define APART ((int)(sizeof apart / sizeof *apart))
#define WHOLE "all"

/* 0: the whole. */
int sy_panel_find_losses(const char *name)
{
    int found = SY_FIND_NAME(apart, name);
    return found >= 0 ? found + 1 : strcmp(name, WHOLE) ? -1 : 0;
}

const char *sy_panel_losses_names(void)
{
    static _Thread_local char names[64];
    size_t n = (size_t)snprintf(names, sizeof names, WHOLE);
    for (int k = 0; k < APART; k++)
        n += (size_t)snprintf(names + n, sizeof names - n, ", %s", apart[k].name);
    return names;
}

/* Where the parts of a row of `apart` begin; how many there are. */
static int find_parts(const struct sy__run *r, int row, int *first)
{
    int n = *first = 0;
    for (int i = r->nparts - 1; i >= 0; i--)
        if (r->parts[i].kind == apart[row].kind) {
            *first = i;
            n++;
        }
    return n < apart[row].least ? 0 : n;
}

int sy__loss_pages(const struct sy__run *r)
{
    int pages = 1, first;
    for (int k = 0; k < APART; k++)
        pages += (find_parts(r, k, &first) + SY__LOSS_PARTS - 1) / SY__LOSS_PARTS;
    return pages;
}

const char *sy__losses_name(int losses)
{
    return losses ? apart[losses - 1].name : WHOLE;
}

int sy__loss_first_page(const struct sy__run *r, int losses)
{
    int page = losses > 0, first;
    for (int k = 0; k < losses - 1; k++)
        page += (find_parts(r, k, &first) + SY__LOSS_PARTS - 1) / SY__LOSS_PARTS;
    return !losses || find_parts(r, losses - 1, &first) ? page : -1;
}

static bool is_alone(const struct sy_panel *p)
{
    for (int i = 0; i < p->nruns; i++)
        if (i != p->front && p->runs[i]->over)
            return false;
    return true;
}

int sy__loss_page_number(const struct sy_panel *p)
{
    int pages = p->nruns && is_alone(p) ? sy__loss_pages(sy__front(p)) : 1;
    return p->losses >= 0 && p->losses < pages ? p->losses : pages > 1;
}

struct sy__loss_page sy__loss_page(const struct sy_panel *p)
{
    struct sy__loss_page page = {0};
    int number = sy__loss_page_number(p), first;
    for (int k = 0; k < APART && number > 0; k++) {
        int n = find_parts(sy__front(p), k, &first);
        int pages = (n + SY__LOSS_PARTS - 1) / SY__LOSS_PARTS;
        if (number <= pages) {
            int from = (number - 1) * SY__LOSS_PARTS, left = n - from;
            page.parts = sy__front(p)->parts + first + from;
            page.n = left < SY__LOSS_PARTS ? left : SY__LOSS_PARTS;
            page.from = from;
            page.of = n;
            page.title = apart[k].title;
        }
        number -= pages;
    }
    return page;
}

int sy__loss_title(const struct sy__loss_page *page, char *out, size_t size)
{
    if (!page->n)
        return snprintf(out, size, "loss");
    if (page->n == page->of)
        return snprintf(out, size, "loss %s", page->title);
    return snprintf(out, size, "loss %s %d–%d of %d", page->title, page->from + 1,
                    page->from + page->n, page->of);
}

static struct sy__of of_part(const struct sy__run *r, const struct sy__part *part, int series)
{
    return sy__of_column(sy_source_series(r->source, series), part->column);
}

void sy__losses_want(struct sy_panel *p, struct sy__run *r, double decay)
{
    struct sy__loss_page page = sy__loss_page(p);
    for (int i = 0; i < page.n && r == sy__front(p); i++) {
        const struct sy__part *part = &page.parts[i];
        sy__feed(r, of_part(r, part, part->series), decay);
        if (part->valid >= 0)
            sy__feed(r, of_part(r, part, part->valid), 0);
    }
}

static const struct sy_pyramid *rows_of_part(const struct sy__run *r, const struct sy__part *part,
                                             int series)
{
    return series < 0 ? NULL : sy__feed_rows(sy__find_feed(r, of_part(r, part, series)), 0);
}

/* The first part is drawn last, as the legend has it on top. */
int sy__losses_lines(const struct sy_panel *p, struct sy__run *r, struct sy_plot_line *out)
{
    struct sy__loss_page page = sy__loss_page(p);
    int n = 0;
    for (int i = page.n - 1; i >= 0; i--) {
        const struct sy__part *part = &page.parts[i];
        struct sy_plot_line l = {.p = rows_of_part(r, part, part->series),
                                 .valid = rows_of_part(r, part, part->valid),
                                 .x = sy__x_axis(p, r),
                                 .colour = i + 1,
                                 .label = part->called};
        if (l.p)
            out[n++] = l;
    }
    return n;
}
