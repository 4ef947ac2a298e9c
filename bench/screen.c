/* What the workbench costs, seen from the other end of its terminal:  bench/screen [PROGRAM]
 *
 *     first frame          from exec to the prompt on the screen
 *     key to echo          a '~' is typed, and its coming back is timed: idle, while a run trains
 *                          on all processors, and while a print flood runs as well
 *     bytes a second       to an 80x24 terminal while a run trains
 *     wake-ups when idle   context switches of all threads in ten seconds
 *     screen's thread      the processor time that panel and screen take, whatever else runs
 *     cost of the panel    steps a second of one run with the panel and on the plain screen,
 *                          in turn
 *
 * Each figure stands beside its target.  Whoever runs it: nothing else should run. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS 200
#define PAIRS 8
#define LIMIT 60.0

static int terminal;
static pid_t child;
static char dir[] = "/tmp/sy-bench-XXXXXX";
static long bytes; /* that came */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void start(const char *program, const char *script)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    child = forkpty(&terminal, NULL, NULL, &size);
    if (child)
        return;
    setenv("TERM", "xterm-256color", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("INPUTRC", "/dev/null", 1);
    setenv("XDG_STATE_HOME", dir, 1);
    setenv("SWITCHYARD_RUNS", dir, 1);
    if (script)
        execl(program, program, "-i", script, (char *)NULL);
    else
        execl(program, program, (char *)NULL);
    _exit(127);
}

/* Until the text came or `seconds` are over; what comes is thrown away. */
static bool wait_for(const char *text, double seconds)
{
    static char seen[1 << 17];
    size_t n = 0;
    for (double end = now() + seconds, left; (left = end - now()) > 0;) {
        struct pollfd p = {.fd = terminal, .events = POLLIN};
        if (poll(&p, 1, (int)(left * 1e3) + 1) <= 0)
            continue;
        if (n > sizeof seen / 2) {
            memmove(seen, seen + n - 256, 256);
            n = 256;
        }
        ssize_t k = read(terminal, seen + n, sizeof seen - 1 - n);
        if (k <= 0)
            return false;
        bytes += k;
        n += (size_t)k;
        seen[n] = 0;
        if (text && strstr(seen, text))
            return true;
    }
    return false;
}

static void type(const char *text)
{
    if (write(terminal, text, strlen(text)) < 0)
        perror("write");
}

static void stop(void)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(terminal);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void keys(const char *when)
{
    static double ms[KEYS];
    int lost = 0;
    for (int i = 0; i < KEYS; i++) {
        double begin = now();
        type("~");
        lost += !wait_for("~", 2);
        ms[i] = (now() - begin) * 1e3;
        wait_for(NULL, 0.01 + 0.0173 * (i % 7) / 7);
        if (i % 40 == 39) { /* an empty line again, and surely drawn */
            type("\025");
            wait_for(NULL, 0.3);
        }
    }
    type("\025");
    wait_for(NULL, 0.3);
    qsort(ms, KEYS, sizeof *ms, by_value);
    printf("key to echo, %-22s median %6.2f ms (5)   99th %6.2f ms (20)   lost %d (0)\n", when,
           ms[KEYS / 2], ms[KEYS * 99 / 100], lost);
}

/* Voluntary and other context switches of all threads. */
static long switches(void)
{
    char path[64], line[128];
    long sum = 0, v;
    snprintf(path, sizeof path, "/proc/%d/task", (int)child);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/status", (int)child, e->d_name);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
            if (sscanf(line, "voluntary_ctxt_switches: %ld", &v) == 1 ||
                sscanf(line, "nonvoluntary_ctxt_switches: %ld", &v) == 1)
                sum += v;
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return sum;
}

/* Seconds of processor that the screen's thread (the first) has had. */
static double cpu(void)
{
    char path[64];
    long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)child, (int)child);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lld", &ns) != 1)
        ns = 0;
    if (f)
        fclose(f);
    return (double)ns * 1e-9;
}

static const char *write_script(void)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/train.lua", dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return NULL;
    fprintf(f, "local d = data.synthetic{tokens = 1e6}\n"
               "local m = model.moe{layers = 4, dim = 128, heads = 4, experts = 8, top_k = 2, "
               "expert_dim = 128,\n"
               "                    context = 128, vocab = 256}\n"
               "r = train(m, d, {steps = 1000000, batch = 4, name = 'bench', eval_every = 0, "
               "checkpoint_every = 0})\n"
               "print('rea' .. 'dy')\n");
    fclose(f);
    return path;
}

/* Steps of the run so far, told through a file. */
static long steps(void)
{
    char line[320], path[64];
    long n = -1;
    snprintf(path, sizeof path, "%s/steps", dir);
    unlink(path);
    snprintf(line, sizeof line,
             "do local f = io.open('%s.new', 'w') f:write(r.step) f:close() "
             "os.rename('%s.new', '%s') end\r",
             path, path, path);
    type(line);
    for (double end = now() + LIMIT; now() < end && n < 0; wait_for(NULL, 0.002)) {
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%ld", &n) != 1)
            n = -1;
        if (f)
            fclose(f);
    }
    return n;
}

static double rate(double seconds)
{
    wait_for(NULL, 0.5);
    long a = steps();
    double begin = now();
    wait_for(NULL, seconds);
    long b = steps();
    return (double)(b - a) / (now() - begin);
}

static void cost(void)
{
    double lost[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        double with = rate(4);
        type("\030a"); /* C-x a */
        double without = rate(4);
        type("\030a");
        lost[i] = 100 * (1 - with / without);
    }
    qsort(lost, PAIRS, sizeof *lost, by_value);
    printf("cost of the panel    median %.2f %% of steps (1)   quartiles %.2f to %.2f, %d pairs\n",
           (lost[PAIRS / 2] + lost[PAIRS / 2 - 1]) / 2, lost[PAIRS / 4],
           lost[PAIRS - 1 - PAIRS / 4], PAIRS);
}

static void first_frame(const char *program)
{
    double ms[9];
    for (int i = 0; i < 9; i++) {
        double begin = now();
        start(program, NULL);
        wait_for("yard>", LIMIT);
        ms[i] = (now() - begin) * 1e3;
        stop();
    }
    qsort(ms, 9, sizeof *ms, by_value);
    printf("first frame          median %.1f ms (50), slowest of 9 %.1f\n", ms[4], ms[8]);
}

int main(int argc, char **argv)
{
    const char *program = argc > 1 ? argv[1] : "./switchyard", *script;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!mkdtemp(dir) || !(script = write_script()))
        return 1;
    first_frame(program);
    start(program, NULL);
    wait_for("yard>", LIMIT);
    keys("idle");
    wait_for(NULL, 1);
    long before = switches();
    wait_for(NULL, 10);
    printf("wake-ups when idle   %ld in 10 s (0)\n", switches() - before);
    stop();

    start(program, script);
    wait_for("ready", LIMIT);
    wait_for(NULL, 5);
    bytes = 0;
    double used = cpu();
    wait_for(NULL, 10);
    used = cpu() - used;
    printf("bytes a second       %.1f KB while a run trains, 80x24 (30)\n", (double)bytes / 10e3);
    printf("screen's thread      %.2f %% of one processor meanwhile\n", 10 * used);
    keys("a run trains");
    cost();
    type("j = 0 while true do j = j + 1 print('a line of a print flood', j) end\r");
    wait_for("flood", LIMIT);
    keys("trains, and a flood");
    stop();
    return 0;
}
