/* See job.h. */
#include "bind/job.h"

#include <stdatomic.h>

static atomic_bool detaching;

void sy_job_detach(bool on) { atomic_store(&detaching, on); }
bool sy_job_interrupt(void) { return false; }
int sy_job_count(void) { return 0; }
