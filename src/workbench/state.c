/* The one workbench of the program, and what can be asked of it.  See workbench_int.h. */
#include "config.h"
#include "workbench/workbench_int.h"

#include "tui/screen.h"
#include "workbench/capture.h"

#define DRAIN (64 << 10)

struct sy_workbench sy__workbench = {.coloured = true, .busy.told = -1};

bool sy_workbench_built(void)
{
#if defined HAVE_READLINE && defined HAVE_NCURSES
    return true;
#else
    return false;
#endif
}

bool sy_workbench_possible(void)
{
    bool captured = sy_capture_on();
    return sy_workbench_built() &&
           sy_screen_usable(captured ? sy_capture_in() : 0, captured ? sy_capture_out() : 1);
}

bool sy_workbench_is_open(void)
{
    return sy__workbench.terminal != SY__CLOSED;
}

struct sy_panel *sy_workbench_panel(void)
{
    return sy__workbench.panel;
}

void sy__drain(struct sy_workbench *d)
{
    static char bytes[DRAIN];
    size_t n = sy_capture_read(bytes, sizeof bytes);
    if (n)
        sy_scroll_write(d->scroll, bytes, n);
}
