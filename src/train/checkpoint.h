/* Checkpoints: the state of a training run as a folder that is whole or not there.  Layer train.
 *
 *     DIR/step-000500/
 *         model.safetensors      parameters, by their names
 *         optimizer.safetensors  NAME.STATE, as the optimizer declares them: AdamW's are NAME.m
 *                                and NAME.v
 *         state.safetensors      state.N (nn.state), input.NAME, eval.NAME, journal.N
 *         state.json             step, hyper-parameters, journal, hashes of what it depends on
 *         MANIFEST               the run's id; size and XXH64 of each file, and of itself
 *
 *  1. Commit: space is asked for; all files are written and synchronized in step-N.tmp, MANIFEST
 *     last; the folder, rename, the parent; all is read back and verified; only then older ones go.
 *     An error at any of these ends this checkpoint, and the older ones stay.
 *  2. A folder is a checkpoint when MANIFEST and every hash in it hold; its name is only where to
 *     look.
 *  3. A checkpoint lies between two optimizer steps: one that is asked for while a step of several
 *     micro-batches runs takes effect at its end.  The step number is all the state that randomness
 *     has, and the place (sy_place) all that the data order has.
 *  4. A checkpoint bears the id of its run (128 random bits; none in older ones).  One that
 *     bears another is not the run's: it is never replaced, deleted or taken for its own.
 *  5. Who writes holds the folder open (base/dir.h): a folder that gets another name goes on being
 *     written, and one that took its name is not.  Links in it are not followed.
 *  6. Files are hostile: read by pread, every size checked against what is there and what the run
 *     has before anything is taken or changed.  A load that fails changes nothing.
 */
#ifndef SY_TRAIN_CHECKPOINT_H
#define SY_TRAIN_CHECKPOINT_H

#include "base/dir.h"
#include "switchyard/train.h"
#include "tensor/tensor.h"
#include "train/spike.h"

/* Read as well: 1, without the window of the spike rule; 2, without the number of the rules
 * (switchyard/hyper.h), which is 1 there, and without the place in the data. */
#define SY_CHECKPOINT_FORMAT 3
/* Raised whenever any kernel or sampler gives other bits than before: resumes across it are not
 * exact. */
#define SY_EXACT_VERSION 1
#define SY_PATH_MAX 1024

/* What a small tensor is: a state of the model, which counts for the run's hash, or an input of the
 * program of steps or of evaluations. */
enum sy_image_part { SY_IMAGE_STATE, SY_IMAGE_INPUT, SY_IMAGE_EVAL };

struct sy_image_value { /* one small tensor */
    enum sy_image_part part;
    char name[128]; /* in the file (sy__value_name) */
    enum sy_dtype dtype;
    int ndim;
    int64_t shape[SY_MAX_DIMS];
    size_t bytes;
    const void *data; /* in image.block, or borrowed */
};

struct sy_frozen { /* all of parameter `param`, or one expert of it (-1: all) */
    int param, expert;
};

/* What a checkpoint holds: taken from a trainer for writing, or read from state.json for loading
 * (then without params, p, kept and values). */
struct sy_image {
    char id[SY_RUN_ID]; /* of the run; "": none */
    char *run, *config; /* owned; config may be NULL */
    struct sy_status status; /* step, tokens, loss, val_loss, val_step, lr, grad_norm */
    struct sy_hyper hyper;
    struct sy_window window;
    enum sy_sample_mode sampling;
    struct sy_place place; /* in the data */
    bool by_step;          /* there is none: a run from before windows were counted */
    uint64_t data, tokenizer, program; /* hashes; tokenizer 0: none */
    int fingerprint;                   /* version of the program's (switchyard/graph.h) */
    uint64_t hash;                     /* as sy_params_hash; when read, 0: not told */
    int format, exact;
    char optimizer[16]; /* its name; when not told, what runs had then */
    char bf16[16]; /* of a bf16 run: sy_cpu_bf16; "": fp32, or not told */
    const struct sy_params *params; /* borrowed: the layout, never the values */
    const float *p, *kept;          /* borrowed */
    struct sy_image_value *values;
    int nvalues;
    void *block; /* owned: bytes of values */
    struct sy_journal_entry *journal; /* owned, with values */
    int njournal;
    struct sy_frozen *frozen;
    char **frozen_names; /* when read: parameter of each; owned */
    int nfrozen;
};
void sy_image_free(struct sy_image *image);

/* Write, verify, make the name's; then delete older ones but the newest `keep` and those whose step
 * is a multiple of keep_every.  Any thread.  Fills *out.  Errors: IO, MEMORY. */
int sy_checkpoint_write(const struct sy_dir *dir, int keep, int64_t keep_every,
                        const struct sy_image *image, struct sy_saved *out, struct sy_err *err);
/* The same into dir/sub (or dir, without), which is made. */
int sy_checkpoint_write_to(const char *dir, const char *sub, const struct sy_image *image,
                           struct sy_saved *out, struct sy_err *err);
/* Sizes and hashes as MANIFEST says?  Fills step and bytes of *out. */
int sy_checkpoint_verify(const char *path, struct sy_saved *out, struct sy_err *err);
/* Verify and read state.json; owned. */
struct sy_image *sy_checkpoint_read(const char *path, struct sy_err *err);

/* Not for others: state.json (checkpoint_fields.c). */
struct sy_str;
void sy__state_print(struct sy_str *out, const struct sy_image *image);
struct sy_image *sy__state_parse(const char *text, size_t n, struct sy_err *err);

#endif
