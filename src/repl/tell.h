/* What the program tells a person by itself: "switchyard: ..." on standard error, always one line,
 * and without what a terminal would obey, whatever names, files and stores brought in.  Layer
 * repl. */
#ifndef SY_REPL_TELL_H
#define SY_REPL_TELL_H

void sy_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same text on standard output, without the prefix and the end of the line. */
void sy_tell_text(const char *text);

#endif
