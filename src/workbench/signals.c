/* See signals.h. */
#include "workbench/signals.h"

#include "base/bus.h"
#include "base/clock.h"
#include "workbench/capture.h"
#include "repl/editor.h"
#include "tui/screen.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#define LAST_FRAME 0.2 /* seconds */
#define STUCK_SECONDS 2

static volatile sig_atomic_t came[SY_SIGNAL_COUNT], ended_by;
static volatile sig_atomic_t crashed, later;
static bool (*first)(int number);
static void (*rescue)(int number);

/* What ends a program that does nothing about it; SIGALRM: an end that took too long. */
static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE,  SIGILL,  SIGABRT, SIGQUIT,
                              SIGTRAP, SIGSYS, SIGALRM, SIGXCPU, SIGUSR1, SIGUSR2};
static const int own[] = {SIGWINCH, SIGTSTP, SIGCONT, SIGQUIT};
#define OWN (sizeof own / sizeof *own)
static struct sigaction before[OWN];

static void note_signal(enum sy_signal s, char byte)
{
    came[s] = 1;
    sy_edit_wake(byte);
}

static void on_interrupt(int number)
{
    if (!first || !first(number))
        note_signal(SY_SIGNAL_INTERRUPT, SY_WAKE_INTERRUPT);
}

static void on_signal(int number)
{
    switch (number) {
    case SIGWINCH:
        note_signal(SY_SIGNAL_SIZE, SY_WAKE_SIZE);
        break;
    case SIGTSTP:
        note_signal(SY_SIGNAL_STOP, SY_WAKE_STOP);
        break;
    case SIGCONT:
        note_signal(SY_SIGNAL_CONTINUE, SY_WAKE_STOP);
        break;
    default:
        ended_by = number;
        note_signal(SY_SIGNAL_END, SY_WAKE_END);
    }
}

void sy_workbench_restore(void)
{
    sy_screen_restore();
    sy_capture_restore();
}

/* Elsewhere than on the loop's thread: that one may be drawing. */
static void on_crash(int number)
{
    crashed = 1;
    if (getpid() != gettid()) {
        sy_edit_wake(SY_WAKE_STOP);
        sy_sleep(LAST_FRAME);
    }
    sy_workbench_restore();
    bool late = number == SIGALRM && ended_by;
    if (rescue)
        rescue(late ? ended_by : number);
    if (late)
        _exit(128 + ended_by);
    signal(number, SIG_DFL);
    raise(number);
}

bool sy_signals_crashed(void)
{
    return crashed;
}

void sy_signals_rescue(void (*save)(int number))
{
    rescue = save;
}

/* A signal that somebody sends may come while the loop holds a lock that saving needs: the loop
 * ends the program when it holds none, or an alarm does when it does not come to that. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    bool from_outside = number == SIGQUIT || (info->si_code <= 0 && info->si_pid != getpid());
    if (number == SIGALRM && later) /* it did not */
        number = later;
    else if (from_outside && getpid() == gettid() && !later && number != SIGALRM) {
        later = number;
        alarm(STUCK_SECONDS);
        sy_edit_wake(SY_WAKE_END);
        return;
    }
    on_crash(number);
}

void sy_signals_end_now(void)
{
    if (later)
        on_crash(later);
}

static void handle_faults(void)
{
    struct sigaction a = {.sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_ONSTACK)}, now;
    a.sa_sigaction = on_fault;
    sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        if (!sigaction(crashes[i], NULL, &now) && now.sa_handler != SIG_IGN)
            sigaction(crashes[i], &a, NULL);
    sy_bus_again();
}

void sy_signal_handle(int number, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_flags = flags};
    a.sa_handler = handler;
    sigemptyset(&a.sa_mask);
    sigaction(number, &a, NULL);
}

void sy_signals_fatal(void (*handler)(int number))
{
    struct sigaction now;
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        if (!sigaction(crashes[i], NULL, &now) && now.sa_handler != SIG_IGN)
            sy_signal_handle(crashes[i], handler, (int)(SA_RESETHAND | SA_ONSTACK));
    sy_bus_again();
}

void sy_signals_begin(bool (*interrupt)(int number))
{
    first = interrupt;
    for (size_t i = 0; i < OWN; i++)
        sigaction(own[i], NULL, &before[i]);
    sy_signal_handle(SIGINT, on_interrupt, 0); /* no SA_RESTART: a read in a chunk must end */
    sy_signal_handle(SIGPIPE, SIG_IGN, 0);
    sy_signal_handle(SIGXFSZ, SIG_IGN, 0); /* a write beyond the quota fails instead */
    sy_signal_handle(SIGTERM, on_signal, 0);
    sy_signal_handle(SIGHUP, on_signal, 0);
    sy_signal_handle(SIGWINCH, on_signal, SA_RESTART);
    sy_signal_handle(SIGTSTP, on_signal, SA_RESTART);
    sy_signal_handle(SIGCONT, on_signal, SA_RESTART);
    handle_faults();
}

void sy_signals_end(void)
{
    for (size_t i = 0; i < OWN; i++)
        sigaction(own[i], &before[i], NULL);
}

bool sy_signals_take(enum sy_signal s)
{
    bool was = came[s] != 0;
    came[s] = 0;
    return was;
}

int sy_signals_ended_by(void)
{
    return ended_by;
}
