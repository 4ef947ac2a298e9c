/* Running what was typed, scripts and -e chunks.  Layer bind/prompt.  All on the Lua thread. */
#ifndef SY_BIND_CHUNK_H
#define SY_BIND_CHUNK_H

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

enum sy_chunk_result {
    SY_CHUNK_DONE,
    SY_CHUNK_INCOMPLETE, /* more lines are needed; nothing was run */
    SY_CHUNK_FAILED,
    SY_CHUNK_INTERRUPTED,
    SY_CHUNK_JOB, /* it waits, and goes on as a job (job.h): the prompt may take the next line */
    SY_CHUNK_QUIT /* quit or exit was typed, or quit() called */
};

/* Evaluate what was typed: ?name, ??name, !command, :command, an expression (whose values are
 * printed unless a ';' ends it) or statements.  An error is one line on standard error. */
enum sy_chunk_result sy_chunk_eval(struct lua_State *L, const char *text, size_t n);

/* Run a file (NULL: standard input) with arguments argv[0..n) as `...`.  An error goes to standard
 * error, the message first, then the traceback. */
enum sy_chunk_result sy_chunk_file(struct lua_State *L, const char *path, char *const *argv, int n);
/* The same as a job (job.h), which begins when the Lua thread does: `-i FILE`. */
enum sy_chunk_result sy_chunk_job(struct lua_State *L, const char *path, char *const *argv, int n);
/* Run text under a name ("=(command line)"). */
enum sy_chunk_result sy_chunk_text(struct lua_State *L, const char *text, size_t n,
                                   const char *name);
/* require a module and make it a global of its name. */
enum sy_chunk_result sy_chunk_require(struct lua_State *L, const char *module);
/* Global `arg`: arg[0] = script, arg[1..] its arguments, arg[-1].. the program's. */
int sy_chunk_set_arg(struct lua_State *L, char *const *argv, int argc, int script);
/* Call require(module)[function](text); for --dump-help and the like. */
enum sy_chunk_result sy_chunk_call(struct lua_State *L, const char *module, const char *function,
                                   const char *text);

/* Completions of the word that ends at `point` in line: an owned (sy_free) block of lines, the
 * first being the byte offset at which they stand, or NULL: none; *files: complete a file name
 * instead. */
char *sy_chunk_complete(struct lua_State *L, const char *line, size_t point, bool *files);

/* lua/cli/subcommands.lua's run(words...): a command and its arguments. */
enum sy_chunk_result sy_chunk_command(struct lua_State *L, char *const *words, int n);

/* The exit status that quit(n) or os.exit(n) at the prompt asked for. */
int sy_chunk_status(void);

/* f is called on the Lua thread when quit() ended a job: the prompt is to end. */
void sy_chunk_on_quit(void (*f)(void));

#endif
