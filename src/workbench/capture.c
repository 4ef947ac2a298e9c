/* See capture.h. */
#include "workbench/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int saved[3] = {-1, -1, -1};
static int ends[2] = {-1, -1};
static volatile int on;

static void close_all(void)
{
    for (int i = 0; i < 3; i++) {
        if (saved[i] >= 0)
            close(saved[i]);
        saved[i] = -1;
    }
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
        ends[i] = -1;
    }
}

static int fail_redirect(struct sy_err *err, int nothing)
{
    int why = errno;
    if (nothing >= 0)
        close(nothing);
    close_all();
    return sy_err_sys(err, why, "screen: cannot redirect the standard streams");
}

int sy_capture_begin(struct sy_err *err)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 3; i++)
        if ((saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 3)) < 0)
            return fail_redirect(err, nothing);
    if (nothing < 0 || pipe2(ends, O_CLOEXEC) || fcntl(ends[0], F_SETFL, O_NONBLOCK) ||
        dup2(nothing, 0) < 0 || dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0) {
        for (int i = 0; i < 3; i++)
            dup2(saved[i], i);
        return fail_redirect(err, nothing);
    }
    close(nothing);
    close(ends[1]); /* 1 and 2 are its other end */
    ends[1] = -1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    on = 1;
    return 0;
}

void sy_capture_restore(void)
{
    if (!on)
        return;
    on = 0;
    dup2(saved[1], 1);
    dup2(saved[2], 2);
}

void sy_capture_end(void)
{
    if (!on)
        return;
    fflush(stdout);
    fflush(stderr);
    sy_capture_restore();
    dup2(saved[0], 0);
    close_all();
}

bool sy_capture_on(void)
{
    return on;
}
int sy_capture_in(void)
{
    return saved[0];
}
int sy_capture_out(void)
{
    return saved[1];
}
int sy_capture_fd(void)
{
    return ends[0];
}

size_t sy_capture_read(char *bytes, size_t n)
{
    ssize_t k = ends[0] < 0 ? -1 : read(ends[0], bytes, n);
    return k > 0 ? (size_t)k : 0;
}
