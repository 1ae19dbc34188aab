/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for one job after the other: of a trainer, and of a session that was given some. */
#ifndef STG_CREW_H
#define STG_CREW_H

#include "base_priv.h"

typedef struct stg__crew stg__crew;
typedef void (*stg__crew_fn)(void *job, uint32_t worker);
/* members: the calling thread included; the others sleep between jobs with all signals blocked. */
int32_t stg__crew_create(stg__crew **out, stg_ctx *ctx, uint32_t members);
void stg__crew_run(stg__crew *crew, stg__crew_fn fn, void *job); /* fn(job, 0 .. members - 1) */
uint32_t stg__crew_members(const stg__crew *crew);               /* NULL: 1, the caller */
void stg__crew_destroy(stg__crew *crew); /* NULL is allowed; after a fork it only frees */

#endif
