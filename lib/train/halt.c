/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training that was stopped: weights, the best ones so far, the optimiser's moments and where it was.
 * Nothing is copied or allocated when it stops: the vectors change hands. Order of the samples and all
 * random numbers follow from epoch, batch and seed, so that it goes on to the same bits.
 */
#include <math.h>
#include <string.h>

#include "fit_net.h"

static const char *const vectors[STG__HALT_VECTORS] = {"halt.weights", "halt.best", "halt.first",
                                                       "halt.second"};

void stg__halt_clear(stg_ctx *ctx, stg__halt *h)
{
    for (uint32_t i = 0; i < STG__HALT_VECTORS; i++)
        stg__free_aligned(ctx, h->vector[i]);
    memset(h, 0, sizeof *h);
}

static uint64_t mix(uint64_t h, double x)
{
    return stg__mix_digest(h, &x, sizeof x);
}

/* What a training depends on but for how long it may take; windows are only ever added. */
static uint64_t digest_of(const stg_trainer *t)
{
    const stg_trainer_opts *o = &t->o;
    const stg__course *c = &t->course;
    const double number[] = {
        (double)t->windows, (double)o->day_ns, o->learning_rate, o->clip_norm, o->valid_share,
        o->history, o->horizon, o->layers, o->units, o->hops, o->batch, o->curriculum, t->inputs,
        c->loss.kind, c->loss.delta, c->optimizer, c->schedule, c->epsilon, c->beta1, c->beta2,
        c->decay, c->factor, c->floor, c->schedule == STG__COSINE ? o->epochs : 0, t->form.filter,
        t->form.recursion, t->form.decoder, t->form.cell, o->lags,
        o->time, o->warmup,
    };
    uint64_t h = stg__mix_digest(0, t->kind->name, strlen(t->kind->name));
    h = stg__mix_digest(h, &o->seed, sizeof o->seed);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        h = mix(h, number[i]);
    for (uint32_t i = 0; i < c->milestones; i++)
        h = mix(h, c->milestone[i]);
    return stg__mix_digest(h, t->target, t->targets * sizeof *t->target);
}

static void change_hands(stg__fit *f, stg__halt *h)
{
    real **const own[STG__HALT_VECTORS] = {&f->m->params, &f->best, &f->adam.m, &f->adam.v};
    for (uint32_t i = 0; i < STG__HALT_VECTORS; i++) {
        real *mine = *own[i];
        *own[i] = h->vector[i];
        h->vector[i] = mine;
    }
}

void stg__halt_keep(stg__fit *f, stg__halt *h)
{
    const stg_train_progress *p = &f->progress;
    change_hands(f, h);
    h->params = f->m->net.params;
    h->digest = digest_of(f->t);
    const double number[] = {p->learning_rate, f->sum, p->valid_loss, p->best_loss};
    const uint64_t count[] = {p->epoch, p->batch, f->idle, f->adam.steps, f->batches};
    memcpy(h->number, number, sizeof number);
    memcpy(h->count, count, sizeof count);
}

bool stg__halt_resume(stg__fit *f, stg__halt *h)
{
    stg_train_progress *p = &f->progress;
    const bool same = h->params && h->params == f->m->net.params && h->digest == digest_of(f->t) &&
                      h->count[1] <= p->batches;
    if (same) {
        change_hands(f, h);
        p->learning_rate = h->number[0];
        f->sum = h->number[1];
        p->valid_loss = h->number[2];
        p->best_loss = h->number[3];
        p->epoch = (uint32_t)h->count[0];
        p->batch = (uint32_t)h->count[1];
        f->idle = (uint32_t)h->count[2];
        f->adam.steps = h->count[3];
        f->batches = h->count[4];
    }
    stg__halt_clear(f->ctx, h);
    return same;
}

/* --- state ------------------------------------------------------------------------------------ */

int32_t stg__halt_put(const stg__halt *h, stg_bundle *bundle, const char *prefix)
{
    if (!h->params)
        return STG_OK;
    for (uint32_t i = 0; i < STG__HALT_VECTORS; i++)
        STG_RETURN_IF_ERROR(
            stg__put(bundle, prefix, vectors[i], STG__F32, h->params, 0, h->vector[i]));
    STG_RETURN_IF_ERROR(
        stg__put(bundle, prefix, "halt.numbers", STG__F64, STG__HALT_NUMBERS, 0, h->number));
    STG_RETURN_IF_ERROR(
        stg__put(bundle, prefix, "halt.counts", STG__U64, STG__HALT_COUNTS, 0, h->count));
    return stg__put_number(bundle, prefix, "halt", h->digest);
}

static int32_t get_vector(stg__halt *h, uint32_t i, stg_ctx *ctx, const stg_bundle *bundle,
                          const char *prefix, stg_error *err)
{
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__get(bundle, prefix, vectors[i], STG__F32, i ? h->params : UINT64_MAX,
                                 0, &t, err));
    const float *from = (const float *)t->data;
    h->params = t->shape[0];
    for (uint64_t k = 0; k < h->params; k++)
        if (!isfinite(from[k]) || (i == STG__HALT_VECTORS - 1 && from[k] < 0))
            return stg__fail(err, STG_E_FORMAT, "%s%s: number %llu is not usable", prefix, vectors[i],
                             (unsigned long long)k);
    h->vector[i] = (real *)stg__alloc_aligned(ctx, h->params, sizeof(real));
    if (!h->vector[i])
        return STG_E_NOMEM;
    memcpy(h->vector[i], from, t->bytes);
    return STG_OK;
}

int32_t stg__halt_get(stg__halt *h, stg_ctx *ctx, const stg_bundle *bundle, const char *prefix,
                      stg_error *err)
{
    const stg__tensor *numbers;
    const stg__tensor *counts;
    char key[STG__KEY_MAX];
    if (!stg__bundle_meta(bundle, stg__key(key, prefix, "halt")))
        return STG_OK; /* it was not stopped in the middle */
    STG_RETURN_IF_ERROR(stg__get_number(bundle, prefix, "halt", UINT64_MAX, &h->digest, err));
    STG_RETURN_IF_ERROR(
        stg__get(bundle, prefix, "halt.numbers", STG__F64, STG__HALT_NUMBERS, 0, &numbers, err));
    STG_RETURN_IF_ERROR(
        stg__get(bundle, prefix, "halt.counts", STG__U64, STG__HALT_COUNTS, 0, &counts, err));
    memcpy(h->number, numbers->data, sizeof h->number);
    memcpy(h->count, counts->data, sizeof h->count);
    const bool usable = h->number[0] >= 0 && h->number[0] <= 1e3 && isfinite(h->number[1]) &&
                        !isinf(h->number[2]) && !isinf(h->number[3]) && h->count[0] < UINT32_MAX &&
                        h->count[2] < UINT32_MAX;
    if (!usable)
        return stg__fail(err, STG_E_FORMAT, "%shalt.numbers cannot be", prefix);
    for (uint32_t i = 0; i < STG__HALT_VECTORS; i++)
        STG_RETURN_IF_ERROR(get_vector(h, i, ctx, bundle, prefix, err));
    return STG_OK;
}
