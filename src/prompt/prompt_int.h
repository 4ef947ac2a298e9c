/* Shared inside prompt/. */
#ifndef SY_PROMPT_PROMPT_INT_H
#define SY_PROMPT_PROMPT_INT_H

#include "prompt/prompt.h"

#include "base/str.h"
#include "bind/prompt/chunk.h"

#include <stdatomic.h>

#define SY_PROMPT "yard> "
#define SY_CONTINUATION "  ..> "
/* After so many seconds an end that was asked for from outside does not wait for what runs on the
 * Lua thread any more: other threads save the runs.  Saving by itself may take as long as it
 * takes. */
#define SY_END_SECONDS 60

/* What is being entered or runs, on the plain screen and in the workbench. */
struct sy_session {
    struct sy_str text; /* lines of the chunk, complete or not */
    enum sy_chunk_result result;
    bool ended;
    bool failed; /* a chunk of a pipe did: the status is 1 unless quit gives one */
    int status;
};
extern atomic_bool sy__running; /* a chunk is on the Lua thread, or on its way there */

/* Post the session's text; done is called on the Lua thread afterwards. */
void sy__evaluate(struct sy_session *s, void (*done)(void *ctx));
/* After it: the text is kept when it is incomplete, else forgotten. */
void sy__handle_result(struct sy_session *s);
/* A line, without the prompts of a pasted session, behind what is there. */
void sy__add_line(struct sy_session *s, const char *line, size_t n);
/* Is this a pasted session, and which of its lines (of n bytes) is typed input? */
bool sy__has_prompts(const char *text);
bool sy__is_prompted(const char *line);
/* Of a pasted session the next that was entered, its rows without their prompts, in *one, which is
 * freed at the end; *text moves on. */
bool sy__session_next(const char **text, struct sy_str *one);
int sy__live_runs(void);
void sy__on_quit(void); /* for sy_chunk_on_quit */
bool sy__quit_asked(void); /* by a job: sy_chunk_status has the status */
void sy__leave_question(char *out, size_t n, int runs);
void sy__stop_runs(struct lua_State *L, void *ctx); /* posted: each run is saved */
void sy__limit_end(void); /* SY_END_SECONDS from now, or saving has begun; async-signal-safe */
void sy__no_interrupt(struct lua_State *L);

bool sy__must_end(struct sy_session *s); /* a signal or a job's quit() */

/* signals.c */
int sy__leaving_by(void);        /* the signal that ends the prompt; 0: none came */
void sy__set_stopping(bool on); /* the plain screen waits for sy__stop_runs */

/* complete.c: Tab. */
char *sy__complete(const char *line, size_t point, bool *files);

/* screen_commands.c: :dump, :overlay and their like, called on the Lua thread. */
int sy__screen_command(const char *name, const char *args, char *reply, size_t n);
bool sy__bench_wanted(void); /* :plain on the plain screen; asking answers */

/* session.c.  false: it could not be opened (a message is in err). */
enum sy__session_end { SY__SESSION_LEFT, SY__SESSION_PLAIN, SY__SESSION_FAILED };
enum sy__session_end sy__session_run(struct sy_session *s, const struct sy_prompt_start *start);
void sy__session_free(void);

#endif
