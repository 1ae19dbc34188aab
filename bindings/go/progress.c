/* SPDX-License-Identifier: Apache-2.0 */
/* The callback of a training, handed on to Go by the number of a handle. */
#include "progress.h"

#include "_cgo_export.h"

static int32_t progress(const stg_train_progress *state, void *user)
{
    return stgGoProgress((stg_train_progress *)state, (uintptr_t)user);
}

int32_t stg_go_trainer_create(stg_trainer **out, stg_ctx *ctx, const stg_trainer_opts *opts,
                              uintptr_t handle, stg_error *err)
{
    stg_trainer_opts with = *opts;
    with.progress = handle ? progress : NULL;
    with.progress_user = (void *)handle;
    return stg_trainer_create(out, ctx, &with, err);
}
