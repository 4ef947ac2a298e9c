/* Shared by guard.c and keymap.c, which see Readline's types. */
#ifndef SY_REPL_KEYMAP_INT_H
#define SY_REPL_KEYMAP_INT_H

#include "repl/editor_int.h"

#include <stdio.h>

#include <readline/readline.h>

#define NO_KEY 034 /* Ctrl-\\: a signal, which never comes as a key */
#define KEYS 256 /* of a keymap; one more entry is for "anything else" */

int sy__nothing(int count, int key); /* a bell; the rest of a key that nobody knows goes with it */
int sy__quiet(int count, int key);
/* In one map and, as `below` says, in those of its prefixes; fill: keys without a function get one
 * of the two above. */
void sy__replace_in(Keymap map, const struct sy__instead *list, size_t n, bool fill, bool below);

#endif
