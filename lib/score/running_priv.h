/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of a detector's saved state: streams, pools and rows (running.c), incidents. */
#ifndef STG_RUNNING_PRIV_H
#define STG_RUNNING_PRIV_H

#include "score_priv.h"

#define STG__RUNNING_PREFIX "state/score/"

int32_t stg__incidents_put(const stg_detector *d, stg_bundle *bundle);
/* After entities and numbers: indices and windows are checked against them. */
int32_t stg__incidents_get(stg_detector *d, const stg_bundle *bundle, stg_error *err);

#endif
