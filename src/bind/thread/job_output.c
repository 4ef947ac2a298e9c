/* What a job prints: each line stands behind its number.  See job_int.h.  Layer bind/thread. */
#include "bind/thread/host.h"
#include "bind/thread/job_int.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

const char *lsy_job_tag_of(const struct lsy_job *j)
{
    static char tag[24];
    if (!j || !j->number)
        return "";
    snprintf(tag, sizeof tag, "[job %d] ", j->number);
    return tag;
}

void lsy_job_print_of(const struct lsy_job *j, const char *text)
{
    struct sy_str out = SY_STR_INIT;
    const char *tag = lsy_job_tag_of(j);
    for (bool more = true; more;) {
        size_t n = strcspn(text, "\n");
        sy_str_printf(&out, "%s%s", out.len ? "\n" : "", tag);
        sy_str_add(&out, text, n);
        more = text[n] && text[n + 1];
        text += n + (text[n] != 0);
    }
    if (out.data && !out.failed)
        sy_host_print(out.data);
    sy_str_free(&out);
}

void lsy_job_flush(struct lsy_job *j)
{
    if (j->nline) {
        j->line[j->nline] = 0;
        j->nline = 0;
        lsy_job_print_of(j, j->line);
    }
}

/* io.write of a job that the prompt has left: by whole lines, behind the tag. */
void lsy_job_write_of(struct lsy_job *j, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n' || j->nline == sizeof j->line - 1) {
            if (!j->nline)
                j->line[j->nline++] = ' ';
            lsy_job_flush(j);
        }
        if (s[i] != '\n' && s[i])
            j->line[j->nline++] = s[i];
    }
}

