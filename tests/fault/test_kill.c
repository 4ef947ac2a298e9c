/* SIGKILL at random moments of steps and saves.  A child trains on from the newest checkpoint; the
 * parent kills it, and starts another, until the run is done.  Its hash must be that of a run never
 * killed.  SY_KILLS: how many kills (200); `make check-kills` takes 2000.
 *
 * Half of the kills are aimed: whatever the machine's speed, they fall in the middle of a save.
 * The parent looks for the folder under construction, stops the child, and kills it if that is
 * still there then. */
#include "unit/tap.h"
#include "unit/tiny_run.h"

#include "base/clock.h"
#include "base/pool.h"
#include "base/rng.h"
#include "train/checkpoint.h"

#include <dirent.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS 600
#define EVERY 7

static char dir[64];
static struct sy_rng rng = {.seed = 21, .purpose = SY_RNG_USER};
static uint64_t draws;

static uint64_t below(uint64_t n) { return sy_rng_below(&rng, draws++, n); }

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind, (void)f;
    return remove(path);
}

static void wipe(void) { nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

/* In the child: go on from what is there; the hash at the end goes to `out`.  Never returns. */
static void train_on(const char *where, int threads, int out)
{
    struct sy_err err = SY_ERR_INIT;
    struct tiny_options o = {.steps = STEPS, .checkpoint_every = EVERY, .seed = 1, .accumulate = 2};
    struct sy_saved s;
    struct sy_trainer *t = tiny_trainer(&o, &err);
    sy_pool_set_threads(threads, NULL);
    if (!t || (where && sy_trainer_set_dir(t, where, 2, 0, &err)))
        _exit(2);
    if (where && !sy_checkpoint_find(where, -1, &s, &err) &&
        sy_trainer_load(t, s.path, false, &err))
        _exit(3);
    tiny_run_to(t, STEPS);
    uint64_t hash = tiny_hash(t);
    if (write(out, &hash, sizeof hash) != sizeof hash)
        _exit(4);
    _exit(0);
}

static bool is_saving(void)
{
    bool found = false;
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        found |= strstr(e->d_name, ".tmp") != NULL;
    if (d)
        closedir(d);
    return found;
}

/* Look until is_saving() is `wanted`; false: there is something to read first (or the child's
 * end). */
static bool look_until(bool wanted, int in)
{
    struct pollfd p = {.fd = in, .events = POLLIN};
    while (is_saving() != wanted) {
        if (poll(&p, 1, 0))
            return false;
        sy_sleep(20e-6);
    }
    return true;
}

/* Return with the child stopped in the middle of a save, or having something to read.  What its
 * predecessor left is cleared away first. */
static void catch_in_a_save(pid_t pid, int in)
{
    siginfo_t now;
    if (!look_until(false, in))
        return;
    while (look_until(true, in)) {
        kill(pid, SIGSTOP);
        if (waitid(P_PID, (id_t)pid, &now, WSTOPPED | WEXITED | WNOWAIT) ||
            now.si_code != CLD_STOPPED || is_saving())
            return;
        kill(pid, SIGCONT);
        waitid(P_PID, (id_t)pid, &now, WCONTINUED);
    }
}

/* Kill it after `seconds` (0: never), and then only in the middle of a save when it is `aimed`.
 * 1: it ended, and *hash is its; 0: it was killed; -1: it failed. */
static int child(const char *where, int threads, double seconds, bool aimed, uint64_t *hash)
{
    int ends[2], status;
    if (pipe(ends))
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        train_on(where, threads, ends[1]);
    close(ends[1]);
    if (seconds > 0) {
        sy_sleep(seconds);
        if (aimed)
            catch_in_a_save(pid, ends[0]);
        kill(pid, SIGKILL);
    }
    ssize_t got = read(ends[0], hash, sizeof *hash);
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (got == sizeof *hash)
        return 1;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : -1;
}

int main(void)
{
    const char *asked = getenv("SY_KILLS");
    int want = asked ? atoi(asked) : tap_fast() ? 20 : 200;
    int kills = 0, runs = 0, wrong = 0, failed = 0, saving = 0, aims = 0;
    uint64_t undisturbed = 0, hash = 0;
    snprintf(dir, sizeof dir, "%s/sy-kill-%ld", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
             (long)getpid());
    double start = sy_now();
    tap_ok(child(NULL, 1, 0, false, &undisturbed) == 1, "a run that is not disturbed");
    double whole = sy_now() - start;
    while (kills < want && failed < 10) {
        double seconds = 0.002 + 0.3 * whole * (double)below(1000) / 1000;
        bool aimed = kills % 2;
        int end = child(dir, 1 + (int)below(3), seconds, aimed, &hash);
        kills += end == 0;
        failed += end < 0;
        saving += end == 0 && is_saving();
        aims += end == 0 && aimed;
        if (end == 1) {
            runs++;
            wrong += hash != undisturbed;
            wipe();
        }
    }
    if (child(dir, 2, 0, false, &hash) == 1) { /* the last one comes to its end */
        runs++;
        wrong += hash != undisturbed;
    }
    wipe();
    tap_ok(kills >= want && !failed && !wrong && saving >= aims && aims >= want / 2,
           "%d kills (%d in the middle of a save), %d runs came to their end: %d failed, %d hashes "
           "differ",
           kills, saving, runs, failed, wrong);
    tap_note("%.1f s; a run alone takes %.2f s", sy_now() - start, whole);
    return tap_done();
}
