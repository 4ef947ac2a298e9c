/* Keys at random, from a seed, at the prompt in a pseudo-terminal.  Speaks TAP.
 *
 *     keys PROGRAM [KEYS [SEED]]       5,000 keys from seed 1
 *     keys PROGRAM once FILE           the keys of a file, in one burst, and how that ended
 *
 * They come in sessions: each begins the program anew, on the workbench or the plain screen, in
 * emacs' or vi's keys, with lines in the history, in a terminal of any size.
 *
 *  1. After every ROUND keys what is half done is given up (Ctrl-C) and a line is entered that
 *     writes a file: it must come.  So the prompt is known to live whatever the screen looks like.
 *  2. At a session's end `quit()` ends the program with 0, and the terminal is as it was: its
 *     modes, the normal screen, pastes not bracketed, the cursor seen.
 *  3. The keys depend on the seed alone; how they fall together with the program's work does not.
 *     So what failed is told with its keys, for `once`. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#define SESSION 500 /* keys */
#define ROUND 100
#define LIMIT_MS 60000
#define MODES 4 /* screen x keys */

static const char *const mode_names[MODES] = {"workbench", "workbench, vi", "plain screen",
                                              "plain screen, vi"};
static int terminal, slave;
static pid_t child;
static char folder[] = "/tmp/keys-XXXXXX";
static struct termios found;
static char seen[1 << 16]; /* the last that the program wrote, for its modes */
static size_t nseen;
static unsigned char sent[1 << 16]; /* this session */
static size_t nsent;
static bool gone; /* the program has ended: status */
static int status;

/* ---- chance ---- */

static uint64_t state;

static unsigned below(unsigned n) /* splitmix64 */
{
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (unsigned)((z ^ (z >> 31)) % n);
}

/* ---- the keys ---- */

static const char *const often[] = {"\033[A", "\033[B", "\033[A", "\033[B", "\033[C", "\033[D",
                                    "\025",   "\001",   "\005",   "\037",   "\013",   "\022",
                                    "\031",   "\020",   "\016",   "\177",   "\t",     "\r",
                                    "\033",   "\033[17~", "\033OP", "x",    " ",      "\003"};
static const char *const words[] = {
    "for i = 1, 2 do", "end", "x = 1", "tensor.", "print(", "\"abc", "'/us", ":theme ", "?tens",
    ":he",
    "y = {1, 2", "return 1", "\xc3\xa9", "\xe6\xbc\xa2\xe5\xad\x97", "e\xcc\x81",
    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb", "\xe2\x80\xae",
    "\033[200~a = 1\nb = 2\033[201~",
    "\033[200~yard> c = 3\n3\nyard> c\033[201~", "\033[200~", "\033[201~", "\033[H", "\033[F",
    "\033[3~",
    "\033[5~", "\033[6~", "\033[1;5C", "\033[1;5D", "\033OA", "\033OB", "\033[<0;5;5M",
    "\033[<64;5;5M",
    "\033[15~", "\033[", "\033O", "\033[1", "\x80", "\xff", "\030a", "\030(", "\030)", "\030e",
    "\030\005", "\0335", "\033-", "\033<", "\033>", "\033.", "\033p", "\033n", "\033r", "\033u"};

/* Of single keys those stay out that end the program by design: Ctrl-D and Ctrl-\, and with ! shell
 * commands; with q and Tab quit. */
static unsigned char any_byte(unsigned n)
{
    unsigned char c = (unsigned char)below(n);
    return c == 4 || c == 0x1c || c == '!' || c == 'q' ? 'z' : c;
}

static size_t key(char out[64])
{
    unsigned kind = below(20);
    if (kind < 9)
        return (size_t)sprintf(out, "%s", often[below(sizeof often / sizeof *often)]);
    if (kind < 13)
        return (size_t)sprintf(out, "%s", words[below(sizeof words / sizeof *words)]);
    size_t n = 0;
    if (kind == 13) /* Meta, Ctrl-X */
        out[n++] = below(2) ? '\033' : '\030';
    out[n++] = (char)any_byte(kind < 16 ? 32 : kind < 19 ? 127 : 256);
    return n;
}

/* ---- the program ---- */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void keep(const char *bytes, size_t n)
{
    if (nseen + n > sizeof seen) { /* the modes of before are told again, or do not matter */
        memmove(seen, seen + nseen / 2, nseen - nseen / 2);
        nseen -= nseen / 2;
    }
    memcpy(seen + nseen, bytes, n);
    nseen += n;
}

/* Its end, or a stop that nobody sees: no shell is here to continue it. */
static void look_after(void)
{
    int s;
    if (gone || waitpid(child, &s, WNOHANG | WUNTRACED) != child)
        return;
    if (WIFSTOPPED(s))
        kill(child, SIGCONT);
    else {
        gone = true;
        status = s;
    }
}

static void drain(int ms)
{
    struct pollfd p = {.fd = terminal, .events = POLLIN};
    char part[4096];
    while (poll(&p, 1, ms) > 0) {
        ssize_t n = read(terminal, part, sizeof part);
        if (n <= 0)
            break;
        keep(part, (size_t)n);
        ms = 0;
    }
    look_after();
}

static void send_bytes(const char *bytes, size_t n)
{
    double end = now_ms() + LIMIT_MS;
    while (n && !gone && now_ms() < end) {
        ssize_t k = write(terminal, bytes, n);
        if (k > 0) {
            bytes += k;
            n -= (size_t)k;
        }
        drain(k > 0 ? 0 : 5);
    }
}

static void put(const char *bytes, size_t n)
{
    if (nsent + n <= sizeof sent) {
        memcpy(sent + nsent, bytes, n);
        nsent += n;
    }
    send_bytes(bytes, n);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    if (!f)
        return;
    fputs(text, f);
    fclose(f);
}

static void set_up(void)
{
    char path[256];
    static const char *const below_it[] = {"/state", "/state/switchyard", "/work"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", folder, below_it[i]);
        mkdir(path, 0700);
    }
    write_file("emacs", "");
    write_file("vi", "set editing-mode vi\n");
    write_file("said", "");
    write_file("leaks", "leak:libreadline\n"); /* a few bytes in vi's keys */
}

/* Each time anew: no key may find the last session's quit(). */
static void write_history(void)
{
    write_file("state/switchyard/history",
               "x = 1\nprint('one')\nprint('two')\nfor i = 1, 2 do\nend\n"
               "x = 'a long line that wraps in a narrow terminal'\n");
}

static void set_size(int rows, int columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    ioctl(terminal, TIOCSWINSZ, &size);
}

static void run_child(const char *program, int mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/state", folder);
    setenv("XDG_STATE_HOME", path, 1);
    snprintf(path, sizeof path, "%s/%s", folder, mode & 1 ? "vi" : "emacs");
    setenv("INPUTRC", path, 1);
    setenv("SWITCHYARD_SCREEN", mode & 2 ? "plain" : "panel", 1);
    setenv("TERM", "xterm-256color", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("EDITOR", "true", 1);
    snprintf(path, sizeof path, "suppressions=%s/leaks:print_suppressions=0", folder);
    setenv("LSAN_OPTIONS", path, 1);
    unsetenv("VISUAL");
    snprintf(path, sizeof path, "%s/work", folder);
    if (chdir(path))
        _exit(126);
    setenv("HOME", path, 1);
    setenv("SWITCHYARD_RUNS", path, 1);
    execl(program, program, "-E", "--threads", "1", "-i", (char *)NULL);
    _exit(127);
}

static bool begin(const char *program, int mode)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    if (openpty(&terminal, &slave, NULL, NULL, &size))
        return false;
    tcgetattr(slave, &found);
    found.c_lflag |= NOFLSH; /* else Ctrl-C throws away what was written and is not read yet */
    tcsetattr(slave, TCSANOW, &found);
    write_history();
    fcntl(terminal, F_SETFL, O_NONBLOCK);
    fcntl(terminal, F_SETFD, FD_CLOEXEC);
    gone = false;
    nseen = nsent = 0;
    child = fork();
    if (child == 0) {
        int own = dup(slave);
        login_tty(own);
        close(slave);
        run_child(program, mode);
    }
    for (double end = now_ms() + LIMIT_MS; child > 0 && !gone && now_ms() < end;) {
        drain(5);
        if (memmem(seen, nseen, "yard> ", 6)) /* until then Ctrl-C ends it */
            return true;
    }
    return false;
}

/* ---- what must hold ---- */

static bool file_says(int number)
{
    char path[256], text[32] = "";
    snprintf(path, sizeof path, "%s/said", folder);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    return atoi(text) == number;
}

static void give_up_all(void)
{
    static const char *const keys[] = {"\033[201~", "\007", "\003", "\003"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        send_bytes(keys[i], strlen(keys[i]));
        drain(20);
    }
}

/* NULL, or what is wrong. */
static const char *answers(void)
{
    static int number;
    char line[256];
    double end = now_ms() + LIMIT_MS;
    snprintf(line, sizeof line, "do local f = io.open('%s/said', 'w') f:write(%d) f:close() end\r",
             folder, ++number);
    while (!gone && now_ms() < end) {
        give_up_all();
        send_bytes(line, strlen(line));
        for (double until = now_ms() + 3000; now_ms() < until && !gone;) {
            drain(5);
            if (file_says(number))
                return NULL;
        }
    }
    return gone ? "the program has ended" : "the prompt does not answer";
}

/* Of two codes that the program writes the later one decides. */
static bool last_is(const char *off, const char *on)
{
    const char *at_off = NULL, *at_on = NULL;
    for (const char *s = seen; (s = memmem(s, (size_t)(seen + nseen - s), off, strlen(off))); s++)
        at_off = s;
    for (const char *s = seen; (s = memmem(s, (size_t)(seen + nseen - s), on, strlen(on))); s++)
        at_on = s;
    return !at_on || at_off > at_on;
}

static const char *terminal_is_back(void)
{
    struct termios now;
    if (tcgetattr(slave, &now) || now.c_iflag != found.c_iflag || now.c_oflag != found.c_oflag ||
        now.c_lflag != found.c_lflag || memcmp(now.c_cc, found.c_cc, sizeof now.c_cc))
        return "the terminal's modes are not as they were";
    if (!last_is("\033[?1049l", "\033[?1049h"))
        return "the alternate screen stays";
    if (!last_is("\033[?2004l", "\033[?2004h"))
        return "pastes stay bracketed";
    return last_is("\033[?25h", "\033[?25l") ? NULL : "the cursor stays hidden";
}

static const char *leaves(void)
{
    for (double end = now_ms() + LIMIT_MS; now_ms() < end && !gone;) {
        give_up_all(); /* once it may have ended what was running, and left what is typed */
        send_bytes("quit()\r", 7);
        for (double until = now_ms() + 3000; now_ms() < until && !gone;)
            drain(5);
    }
    if (!gone)
        return "quit() does not end it";
    drain(0);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return "the program has not ended with 0";
    return terminal_is_back();
}

static void end_session(void)
{
    if (!gone) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    close(terminal);
    close(slave);
}

/* ---- sessions ---- */

/* What once ended the program (of Readline 8.2, or a terminal with next to no room). */
static const struct {
    int rows, columns;
    const char *keys;
} known[] = {
    {24, 80, "\033[A\025\033[A\025\033[B\033[B\033[Ax\033[A"},
    {24, 80, "\033[A\025\033[A\001\033[B\037"},
    {24, 80, "\022\033\013\033[17~"},
    {24, 80, "\033\012\033[1\377"},  /* vi's keys from here on, but in the next session */
    {24, 80, "\033[17~\030\025\031"}, /* half a key of the panes */
    {24, 80, "(\351\220\033\033E"}, /* half a character */
    {24, 80, "\342\200\033\033w%*0tu"},
    {1, 2, "\ttensor.\t\t"},
    {1, 1, "\033[Ax\033[A"},
};
#define KNOWN (sizeof known / sizeof *known)

static void say_how(void)
{
    if (gone && WIFSIGNALED(status))
        printf("# it was ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (gone)
        printf("# it ended with %d\n", WEXITSTATUS(status));
}

/* The keys, for `once`, and what the program wrote. */
static void keep_files(uint64_t seed, int number)
{
    char name[2][64];
    snprintf(name[0], sizeof name[0], "keys-%llu-%d", (unsigned long long)seed, number);
    snprintf(name[1], sizeof name[1], "keys-%llu-%d.out", (unsigned long long)seed, number);
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(name[i], "w");
        if (!f)
            return;
        fwrite(i ? seen : (char *)sent, 1, i ? nseen : nsent, f);
        fclose(f);
    }
    printf("# the keys are in %s, what came in %s\n", name[0], name[1]);
}

static const char *type_round(int n)
{
    char bytes[64];
    while (n-- > 0 && !gone) {
        put(bytes, key(bytes));
        switch (below(40)) {
        case 0: drain(70); break; /* a lone Esc is a key by now */
        case 1:
            set_size(1 + (int)below(below(3) ? 60 : 4), 1 + (int)below(below(3) ? 200 : 12));
            break;
        case 2: case 3: case 4: drain(1); break;
        default: break; /* in one burst with the next */
        }
    }
    return answers();
}

static const char *session(const char *program, int mode, int n)
{
    const char *wrong = begin(program, mode) ? answers() : "no prompt";
    for (int done = 0; !wrong && done < n; done += ROUND)
        wrong = type_round(n - done < ROUND ? n - done : ROUND);
    return wrong ? wrong : leaves();
}

static const char *known_session(const char *program, int mode)
{
    const char *wrong = begin(program, mode) ? answers() : "no prompt";
    for (size_t i = 0; i < KNOWN && !wrong; i++) {
        set_size(known[i].rows, known[i].columns);
        put(known[i].keys, strlen(known[i].keys));
        wrong = answers();
        set_size(24, 80);
    }
    return wrong ? wrong : leaves();
}

static int once(const char *program, const char *file, int mode)
{
    static char keys[1 << 16];
    FILE *f = fopen(file, "r");
    size_t n = f ? fread(keys, 1, sizeof keys, f) : 0;
    if (f)
        fclose(f);
    const char *wrong = begin(program, mode) ? answers() : "no prompt";
    put(keys, n);
    drain(100);
    wrong = wrong ? wrong : answers();
    wrong = wrong ? wrong : leaves();
    printf("%s\n", wrong ? wrong : "all is well");
    say_how();
    end_session();
    return wrong != NULL;
}

static int cases, failed;

static void tell(const char *wrong, const char *what, int mode, uint64_t seed)
{
    printf("%s %d - %s, %s\n", wrong ? "not ok" : "ok", ++cases, what, mode_names[mode]);
    if (wrong) {
        printf("# %s (seed %llu)\n", wrong, (unsigned long long)seed);
        say_how();
        keep_files(seed, cases);
        failed++;
    }
    fflush(stdout);
    end_session();
}

static int fuzz(const char *program, int keys, uint64_t seed)
{
    char what[32];
    for (int mode = 0; mode < MODES; mode++)
        tell(known_session(program, mode), "keys that are known", mode, seed);
    for (int done = 0, mode = 0; done < keys; done += SESSION, mode = (mode + 1) % MODES) {
        int n = keys - done < SESSION ? keys - done : SESSION;
        state = seed << 32 | (unsigned)cases;
        const char *wrong = session(program, mode, n);
        snprintf(what, sizeof what, "%d keys", n);
        tell(wrong, what, mode, seed);
    }
    printf("1..%d\n", cases);
    return failed != 0;
}

int main(int argc, char **argv)
{
    char program[4096];
    if (argc < 2 || !realpath(argv[1], program) || !mkdtemp(folder)) {
        fprintf(stderr,
                "usage: keys PROGRAM [KEYS [SEED]]\n       keys PROGRAM once FILE [MODE]\n");
        return 99;
    }
    set_up();
    int status_now = argc > 3 && !strcmp(argv[2], "once")
                     ? once(program, argv[3], argc > 4 ? atoi(argv[4]) : 0)
                     : fuzz(program, argc > 2 ? atoi(argv[2]) : 5000,
                            argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) ? 99 : status_now;
}
