/* Signals of the prompt and of scripts; see prompt.c for what they do.  Layer prompt. */
#include "prompt/prompt_int.h"

#include "bind/thread/host.h"
#include "bind/thread/interrupt.h"
#include "repl/editor.h"
#include "workbench/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

atomic_bool sy__running; /* lock-free: signal handlers read it */
static volatile sig_atomic_t prompting, interrupts, ended_by;
static volatile sig_atomic_t leaving_by; /* SIGTERM or SIGHUP came at the prompt */
static volatile sig_atomic_t stopping;   /* the plain screen waits for sy__stop_runs */
static atomic_bool saving;               /* lock-free as well */

int sy_prompt_ended_by(void)
{
    return ended_by;
}

static bool ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/* What runs does not end: its runs are saved by other threads.  One more signal ends the program at
 * once. */
static void end_script(void)
{
    sigset_t these;
    sigemptyset(&these);
    sigaddset(&these, SIGINT);
    sigaddset(&these, SIGTERM);
    sigaddset(&these, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &these, NULL);
    if (!ignored(SIGHUP))
        signal(SIGHUP, SIG_DFL); /* as sy_rescue does with the others */
    sy_rescue(ended_by);
    signal(ended_by, SIG_DFL);
    raise(ended_by);
}

static void on_late(int number)
{
    (void)number;
    if (sy_interrupt_is_shielded())
        sy__limit_end();
    else if (!saving)
        end_script();
}

/* May come to any thread, for libraries start some that block no signal: sy_host_interrupt brings
 * it to the Lua thread. */
static void interrupt_script(int number)
{
    if (!ended_by) {
        ended_by = number;
        sy__limit_end();
    }
    if (sy_host_is_lua_thread() && ++interrupts >= 3)
        end_script();
    if (!sy_host_interrupt())
        _exit(128 + number);
}

static void on_interrupt(int number)
{
    if (!prompting)
        interrupt_script(number);
    else if (stopping)
        sy_host_end();
    else if (!sy__running || !sy_host_interrupt())
        sy_edit_wake(SY_WAKE_INTERRUPT);
}

static void on_size(int number)
{
    (void)number;
    sy_edit_wake(SY_WAKE_SIZE);
}

void sy__limit_end(void)
{
    alarm(SY_END_SECONDS);
    if (saving) /* looked at afterwards: it may begin in between */
        alarm(0);
}

static void on_end(int number)
{
    if (leaving_by && number == SIGHUP) /* kernel and shell both tell of a terminal's end */
        return;
    if (leaving_by) { /* asked twice */
        sy_edit_restore_terminal();
        _exit(128 + number);
    }
    leaving_by = number;
    sy__limit_end();
    sy_host_end();
    sy_edit_wake(SY_WAKE_END);
}

/* At the prompt the terminal is Readline's: it must be put back before we stop. */
static void on_stop(int number)
{
    if (sy__running || !sy_edit_is_terminal()) {
        (void)number;
        kill(getpid(), SIGSTOP);
    } else
        sy_edit_wake(SY_WAKE_STOP);
}

static void on_fatal(int number)
{
    sy_edit_restore_terminal();
    bool late = number == SIGALRM && leaving_by;
    sy_rescue(late ? leaving_by : number);
    if (late)
        _exit(128 + leaving_by);
    signal(number, SIG_DFL);
    raise(number);
}

void sy_prompt_signals(bool at_prompt)
{
    prompting = at_prompt;
    sy_signal_handle(SIGINT, on_interrupt, 0); /* no SA_RESTART: a read in a chunk must end */
    sy_signal_handle(SIGPIPE, SIG_IGN, 0);
    sy_signal_handle(SIGXFSZ, SIG_IGN, 0); /* a write beyond the quota fails: no run is lost */
    if (!at_prompt) {
        sy_signal_handle(SIGALRM, on_late, 0);
        /* a batch system's end: the runs are saved, as after Ctrl-C */
        sy_signal_handle(SIGTERM, on_interrupt, 0);
        if (!ignored(SIGHUP)) /* nohup */
            sy_signal_handle(SIGHUP, on_interrupt, 0);
        return;
    }
    if (!leaving_by) { /* what a script was told is over with it */
        alarm(0);
        ended_by = interrupts = 0;
    }
    sy_signal_handle(SIGWINCH, on_size, SA_RESTART);
    sy_signal_handle(SIGTERM, on_end, 0);
    sy_signal_handle(SIGHUP, on_end, 0);
    sy_signal_handle(SIGTSTP, on_stop, SA_RESTART);
    sy_signals_fatal(on_fatal);
}

void sy_prompt_saves(void)
{
    saving = true;
    alarm(0);
}

int sy__leaving_by(void) { return leaving_by; }
void sy__set_stopping(bool on) { stopping = on; }
