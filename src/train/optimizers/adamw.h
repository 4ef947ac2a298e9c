/* AdamW's update of a chunk, for those that leave some parameters to it: their states 0 and 1 are
 * then its moments m and v. */
#ifndef SY_TRAIN_OPTIMIZERS_ADAMW_H
#define SY_TRAIN_OPTIMIZERS_ADAMW_H

#include "cpu/kern_optim.h"
#include "train/optimizers/optimizer.h"

struct sy__adamw {
    struct sy_adamw args[2]; /* without and with weight decay */
};
struct sy__adamw sy__adamw_of(const struct sy_update *u);
void sy__adamw_chunk(const struct sy_params *ps, const struct sy__adamw *a,
                     const struct sy_chunk *c);

#endif
