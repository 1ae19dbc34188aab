/* SPDX-License-Identifier: Apache-2.0 */
/* Go cannot name a C function pointer to a Go function, nor keep a number in a pointer; this can. */
#ifndef STG_GO_PROGRESS_H
#define STG_GO_PROGRESS_H

#include <stgraph/train.h>

int32_t stg_go_trainer_create(stg_trainer **out, stg_ctx *ctx, const stg_trainer_opts *opts,
                              uintptr_t handle, stg_error *err);

#endif
