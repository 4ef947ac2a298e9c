/* Progress of runs on standard output: a line at most every two seconds, at each evaluation and at
 * the end; or with --json one object a step.  See progress.h and API.md (Command line).
 *
 *   step 1240/5000  loss 2.913  val 2.981  lr 3.0e-04  tok/s 18432  mfu 71%  load max/mean 1.83
 *   dead 0  eta 2m10s
 */
#include "bind/thread/progress.h"
#include "bind/thread/host.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "base/sanitize.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL 2.0 /* seconds between lines */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum lsy_progress mode = LSY_PROGRESS_NONE;
static double last_line;
static char last_run[64]; /* with several runs a line names its own */
static FILE *alone;       /* of the objects; NULL: they share standard output */
static int cause;         /* guarded by lock */
static void (*tap)(bool is_step, const char *line, size_t n); /* guarded by lock */

void lsy_progress_mode(enum lsy_progress m) { mode = m; }
enum lsy_progress lsy_progress_get(void) { return mode; }

/* Descriptor 1 becomes a second standard error, or /dev/null where there is none. */
static int turn_output(void)
{
    if (dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
        return 0;
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int rc = nothing < 0 ? -1 : dup2(nothing, STDOUT_FILENO);
    if (nothing >= 0 && nothing != STDOUT_FILENO)
        close(nothing);
    return rc < 0 ? -1 : 0;
}

int lsy_progress_alone(struct sy_err *err)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f || turn_output()) {
        int why = errno;
        if (f)
            fclose(f);
        else if (fd >= 0)
            close(fd);
        return sy_err_sys(err, why, "--json: standard output cannot be written");
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* between the lines of others on standard error */
    alone = f;
    return 0;
}

FILE *lsy_progress_stream(void) { return alone ? alone : stdout; }

int lsy_progress_cause(void)
{
    pthread_mutex_lock(&lock);
    int c = cause;
    pthread_mutex_unlock(&lock);
    return c;
}

/* As one message: the newline at its end is the printer's. */
static void say_message(struct sy_str *o)
{
    if (!o->len || o->failed)
        return;
    if (alone) {
        errno = 0;
        if ((fwrite(o->data, 1, o->len, alone) < o->len || fflush(alone)) && !cause)
            cause = errno;
        return;
    }
    o->data[o->len - 1] = 0;
    sy_host_print(o->data);
}

static void put_line(struct sy_str *o, const char *run, const struct sy_status *s)
{
    char eta[16];
    if (last_run[0] && strcmp(last_run, run))
        sy_str_printf(o, "%s  ", run);
    snprintf(last_run, sizeof last_run, "%s", run);
    sy_str_printf(o, "step %lld/%lld  loss %.3f", (long long)s->step, (long long)s->steps, s->loss);
    if (!isnan(s->val_loss))
        sy_str_printf(o, "  val %.3f", s->val_loss);
    sy_str_printf(o, "  lr %.1e  tok/s %.0f", s->lr, s->tok_s);
    if (!isnan(s->mfu))
        sy_str_printf(o, "  mfu %.0f%%", 100 * s->mfu);
    if (!isnan(s->load_max_mean))
        sy_str_printf(o, "  load max/mean %.2f  dead %lld", s->load_max_mean, (long long)s->dead);
    if (s->state == SY_RUN_RUNNING && s->step < s->steps) {
        sy_human_duration(s->eta, eta);
        sy_str_printf(o, "  eta %s", eta);
    }
    sy_str_puts(o, "\n");
}

static void put_field(struct sy_str *o, const char *name, double v)
{
    if (isnan(v))
        return;
    sy_str_printf(o, ",\"%s\":", name);
    sy_json_number(o, v);
}

static void put_json(struct sy_str *o, const char *run, const struct sy_status *s, bool evaluated)
{
    sy_str_printf(o, "{\"step\":%lld,\"steps\":%lld", (long long)s->step, (long long)s->steps);
    put_field(o, "loss", s->loss);
    if (evaluated)
        put_field(o, "val", s->val_loss);
    put_field(o, "lr", s->lr);
    put_field(o, "grad_norm", s->grad_norm);
    put_field(o, "tok_s", s->tok_s);
    put_field(o, "mfu", s->mfu);
    put_field(o, "load_max_mean", s->load_max_mean);
    if (!isnan(s->load_max_mean))
        sy_str_printf(o, ",\"dead\":%lld", (long long)s->dead);
    put_field(o, "eta", s->eta);
    sy_str_puts(o, ",\"run\":");
    sy_json_quote(o, run, strlen(run));
    sy_str_puts(o, "}\n");
}

static void put_event(struct sy_str *o, const char *run, const char *event, const char *text)
{
    sy_str_puts(o, "{\"event\":");
    sy_json_quote(o, event, strlen(event));
    if (run) {
        sy_str_puts(o, ",\"run\":");
        sy_json_quote(o, run, strlen(run));
    }
    if (text) {
        sy_str_puts(o, ",\"text\":");
        sy_json_quote(o, text, strlen(text));
    }
    sy_str_puts(o, "}\n");
}

/* Before its first step a run has no loss. */
static void put_end(struct sy_str *o, const char *run, const char *state, const struct sy_status *s)
{
    sy_str_printf(o, "[%s] %s at step %lld of %lld", run, state, (long long)s->step,
                  (long long)s->steps);
    if (s->step > 0 || !isnan(s->loss))
        sy_str_printf(o, ", loss %.3f", s->loss);
    sy_str_puts(o, "\n");
}

/* A run stopped running.  Where lines are shown, the last one has said it when all went well. */
static void put_state(struct sy_str *o, const char *run, const struct sy_status *s)
{
    const char *text = s->error.code ? s->error.msg : NULL, *state = sy_run_state_name(s->state);
    if (mode == LSY_PROGRESS_JSON)
        put_event(o, run, state, text);
    else if (text) {
        sy_str_printf(o, "[%s] failed: ", run);
        sy_utf8_line(o, text, strlen(text));
        sy_str_puts(o, "\n");
    }
    else if (mode == LSY_PROGRESS_NONE || s->state != SY_RUN_DONE)
        put_end(o, run, state, s);
}

/* The lock is held; o ends in a newline. */
static void tell_tap(bool is_step, const struct sy_str *o)
{
    if (tap && o->len && !o->failed)
        tap(is_step, o->data, o->len - 1);
}

void lsy_progress_tap(void (*f)(bool is_step, const char *line, size_t n))
{
    pthread_mutex_lock(&lock);
    tap = f;
    pthread_mutex_unlock(&lock);
}

static void tap_step(const char *run, const struct sy_status *s, bool evaluated)
{
    static struct sy_str o; /* as below */
    bool is_step = s->state == SY_RUN_RUNNING;
    sy_str_clear(&o);
    if (is_step)
        put_json(&o, run, s, evaluated);
    else
        put_event(&o, run, sy_run_state_name(s->state), s->error.code ? s->error.msg : NULL);
    tell_tap(is_step, &o);
}

static void tap_event(const char *run, const char *event, const char *text)
{
    struct sy_str o = SY_STR_INIT;
    put_event(&o, run, event, text);
    tell_tap(false, &o);
    sy_str_free(&o);
}

static bool line_due(const struct sy_status *s, bool evaluated)
{
    double now = sy_now();
    if (evaluated || s->step == s->steps || now - last_line >= INTERVAL) {
        last_line = now;
        return true;
    }
    return false;
}

void lsy_progress_step(const char *run, const struct sy_status *s, bool evaluated)
{
    static struct sy_str o; /* kept, so that a step allocates nothing; guarded by lock */
    pthread_mutex_lock(&lock);
    sy_str_clear(&o);
    if (s->state != SY_RUN_RUNNING)
        put_state(&o, run, s);
    else if (mode == LSY_PROGRESS_JSON)
        put_json(&o, run, s, evaluated);
    else if (mode == LSY_PROGRESS_LINES && line_due(s, evaluated))
        put_line(&o, run, s);
    say_message(&o);
    if (tap)
        tap_step(run, s, evaluated);
    pthread_mutex_unlock(&lock);
}

void lsy_progress_object(const char *object, size_t n)
{
    struct sy_str o = SY_STR_INIT;
    sy_str_add(&o, object, n);
    sy_str_puts(&o, "\n");
    pthread_mutex_lock(&lock);
    say_message(&o);
    pthread_mutex_unlock(&lock);
    sy_str_free(&o);
}

void lsy_progress_text(const char *kind, const char *text, size_t n)
{
    struct sy_str o = SY_STR_INIT;
    sy_str_puts(&o, "{\"event\":");
    sy_json_quote(&o, kind, strlen(kind));
    sy_str_puts(&o, ",\"text\":");
    sy_json_quote(&o, text, n);
    sy_str_puts(&o, "}\n");
    pthread_mutex_lock(&lock);
    say_message(&o);
    pthread_mutex_unlock(&lock);
    sy_str_free(&o);
}

void lsy_progress_event(const char *run, enum sy_event_kind kind, const char *text)
{
    struct sy_str o = SY_STR_INIT;
    pthread_mutex_lock(&lock);
    if (tap)
        tap_event(run, sy_event_name(kind), text);
    pthread_mutex_unlock(&lock);
    if (mode != LSY_PROGRESS_JSON) {
        lsy_progress_line("[%s] %s", run, text);
        return;
    }
    put_event(&o, run, sy_event_name(kind), text);
    pthread_mutex_lock(&lock);
    say_message(&o);
    pthread_mutex_unlock(&lock);
    sy_str_free(&o);
}

void lsy_progress_line(const char *fmt, ...)
{
    struct sy_str text = SY_STR_INIT, o = SY_STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    sy_str_vprintf(&text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&lock);
    if (mode == LSY_PROGRESS_JSON)
        put_event(&o, NULL, "note", text.data ? text.data : "");
    else {
        sy_utf8_sanitize(&o, text.data ? text.data : "", text.len);
        sy_str_puts(&o, "\n");
    }
    say_message(&o);
    pthread_mutex_unlock(&lock);
    sy_str_free(&text);
    sy_str_free(&o);
}
