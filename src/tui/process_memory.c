/* The memory of this process: what the engine holds, and what the system counts.  See panel_int.h.
 */
#include "tui/panel_int.h"

#include "base/machine.h"
#include "base/mem.h"
#include "base/str.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool sy__memory_read(struct sy_panel *p, double now)
{
    struct sy__memory *m = &p->memory;
    if (!sy__shows(p, SY__MEMORY) || m->fixed || (m->n && now - m->at < 1))
        return false;
    if (!m->used)
        m->used = sy_pyramid_new(0, NULL);
    int64_t second = m->n + 1;
    m->live = (double)sy_mem_live();
    m->most = (double)sy_mem_peak();
    float v = (float)(m->live / 1e6);
    if (!m->used || sy_pyramid_add(m->used, &second, &v, 1, 1))
        return false;
    m->resident = (double)sy_machine_resident();
    m->total = (double)sy_machine_memory();
    m->at = now;
    m->n++;
    return true;
}

static void draw_line(const struct sy_panel *p, struct sy_grid *g, struct sy_rect r, int y,
                      const char *name, double bytes)
{
    char text[16];
    if (y >= r.h)
        return;
    sy_human_bytes(bytes, text);
    sy_grid_text(g, r.x + 1, r.y + y, r.w - 1, name, sy_theme_pen(&p->look, SY_ROLE_DIM));
    int n = (int)strlen(text),
        x = r.w - 1 - n > (int)strlen(name) + 2 ? r.w - 1 - n : (int)strlen(name) + 2;
    sy_grid_text(g, r.x + x, r.y + y, r.w - x, text, sy_theme_pen(&p->look, SY_ROLE_VALUE));
}

void sy__memory_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g)
{
    const struct sy__memory *m = &p->memory;
    bool focus = p->pane_mode && slot == &p->slots[p->focus];
    bool of_run = !sy__front(p) || sy_source_is_live(sy__front(p)->source);
    struct sy_rect r =
        sy_frame(g, &p->look, slot->r, of_run ? "memory" : "memory  of this viewer", focus);
    if (!m->used || !m->n)
        return;
    draw_line(p, g, r, 0, "engine", m->live);
    draw_line(p, g, r, 1, "at most", m->most);
    draw_line(p, g, r, 2, "process", m->resident);
    draw_line(p, g, r, 3, "machine", m->total);
    if (r.h < 6)
        return;
    struct sy_x_axis x = {SY_X_STEP, NULL, 0};
    struct sy_rect strip = {r.x + 1, r.y + 5, r.w - 2, r.h - 5};
    double x1 = m->n > 60 ? m->n : 60;
    sy_strip_draw(m->used, &x, x1 - (x1 > 600 ? 600 : x1), x1, 5, &p->look, g, strip);
}
