/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of the net that is to be trained: the words of the options, and which go together.
 */
#include "train_priv.h"

static int32_t read_word(const stg__word *words, const char *text, const char *what, uint32_t *value,
                         stg_error *err)
{
    *value = words->value; /* the first is the default */
    return !text || stg__word_find(words, text, value)
               ? STG_OK
               : stg__fail(err, STG_E_INVALID, "%s: there is none called \"%.40s\"", what, text);
}

int32_t stg__form_read(stg__form *f, const stg_trainer_opts *o, stg_error *err)
{
    STG_RETURN_IF_ERROR(read_word(stg__filters, o->filter, "filter", &f->filter, err));
    STG_RETURN_IF_ERROR(read_word(stg__recursions, o->recursion, "recursion", &f->recursion, err));
    STG_RETURN_IF_ERROR(read_word(stg__decoders, o->decoder, "decoder", &f->decoder, err));
    STG_RETURN_IF_ERROR(read_word(stg__cells, o->cell, "cell", &f->cell, err));
    if (o->warmup > STG__MAX_WINDOWS || o->reserved)
        return stg__fail(err, STG_E_INVALID, "warmup is above %u, or reserved is not 0", STG__MAX_WINDOWS);
    if (o->time > STG_TIME_NONE)
        return stg__fail(err, STG_E_INVALID, "time is no such value");
    if (o->lags > o->history)
        return stg__fail(err, STG_E_INVALID, "%u lags are more than the %u windows looked back",
                         o->lags, o->history);
    return STG_OK;
}

void stg__form_shape(const stg__form *f, const stg_trainer_opts *o, stg_model *m, stg__shape *shape)
{
    m->lags = o->lags;
    m->stateful_ok = o->warmup > 0;
    m->time_inputs = o->time != STG_TIME_NONE;
    m->filter = (stg__filter){f->filter, STG__EXACT};
    *shape = (stg__shape){
        .targets = m->targets,
        .layers = o->layers,
        .units = o->units,
        .hops = o->hops,
        .walks = stg__filter_walks(f->filter),
        .recursion = f->recursion,
        .decoder = f->decoder,
        .cell = f->cell,
        .history = o->history - o->lags + 1,
        .horizon = o->horizon,
    };
    stg__net_inputs(m, shape);
}
