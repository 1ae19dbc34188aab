/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training: epochs of shuffled batches, a loss over the known labels on the scaled values, Adam with
 * clipped gradients, scheduled sampling, and judging on the last windows, which stops in time and says
 * which weights are kept.
 */
#include <math.h>
#include <string.h>

#include "fit_net.h"

/* Streams of random numbers, by what they are for. */
enum { STREAM_ORDER = 1000, STREAM_FEED = 1u << 20, STREAM_WARMUP };

static void clear(stg__fit *f)
{
    stg__crew_destroy(f->crew);
    for (uint32_t i = 0; f->desk && i < f->threads; i++) {
        stg__back_clear(&f->desk[i].back);
        stg__run_clear(&f->desk[i].run);
        stg__free_aligned(f->ctx, f->desk[i].base);
    }
    stg__free(f->ctx, f->desk);
    stg__supports_clear(&f->supports);
    stg__data_clear(f->ctx, &f->data);
    stg__free_aligned(f->ctx, f->back_packed);
    stg__free_aligned(f->ctx, f->gradient);
    stg__free_aligned(f->ctx, f->best);
    stg__free_aligned(f->ctx, f->adam.m);
    stg__free_aligned(f->ctx, f->adam.v);
    stg__free(f->ctx, f->loss);
    stg__free(f->ctx, f->count);
    stg__free(f->ctx, f->feed);
}

/* --- a job: the samples of a batch, or all that judge ------------------------------------------- */

stg__feed stg__fit_feed(const stg__fit *f, const stg__desk *desk, size_t first, uint32_t warmup)
{
    const stg__shape *s = &f->m->net.shape;
    const size_t nodes = stg__model_nodes(f->m);
    const size_t then = first + f->m->history;
    const bool plain = f->m->kind->plain;
    if (!plain)
        stg__data_base(&f->data, f->m, first, desk->base);
    return (stg__feed){
        .x = f->data.x + (first + f->m->lags - 1) * nodes * s->inputs,
        .warmup = warmup < f->data.before[first] ? warmup : f->data.before[first],
        .extras = f->data.time + then * s->extras,
        .labels = f->data.y + then * nodes * s->targets,
        .feed = f->scale > 0 ? f->feed : NULL,
        .base = plain ? NULL : desk->base,
    };
}

/* Windows before sample i of the job: at random while training, all when it is judged, as in use. */
static uint32_t warmup_of(const stg__fit *f, size_t i)
{
    const stg_trainer_opts *o = &f->t->o;
    if (f->scale == 0)
        return o->warmup;
    return (uint32_t)(stg__uniform_at(o->seed, STREAM_WARMUP, f->batches * o->batch + i) *
                      (o->warmup + 1));
}

static void do_sample(stg__fit *f, stg__desk *desk, size_t i, real *gradient)
{
    const stg__shape *s = &f->m->net.shape;
    const stg__feed feed = stg__fit_feed(f, desk, f->sample[i], warmup_of(f, i));
    const size_t outputs = (size_t)s->horizon * stg__model_nodes(f->m) * s->targets;
    stg__run_forward(&desk->run, f->m->packed, &feed, s->horizon);
    f->loss[i] = stg__loss_sum(&f->t->course.loss, desk->run.out, feed.labels, outputs, f->scale,
                               gradient ? desk->back.dout : NULL, &f->count[i]);
    if (gradient)
        stg__back_run(&desk->back, f->back_packed, s->horizon, gradient);
}

static void do_groups(void *job, uint32_t worker)
{
    stg__fit *f = (stg__fit *)job;
    const size_t params = f->m->net.params;
    for (uint32_t g = worker; g < STG__GROUPS; g += f->threads) {
        real *gradient = f->scale > 0 ? f->gradient + g * params : NULL;
        if (gradient)
            memset(gradient, 0, params * sizeof *gradient);
        for (size_t i = f->samples * g / STG__GROUPS; i < f->samples * (g + 1) / STG__GROUPS; i++)
            do_sample(f, &f->desk[worker], i, gradient);
    }
}

/* Mean loss over the job's labels, summed in the order of the samples. */
static double run_job(stg__fit *f, const size_t *sample, size_t samples, real scale)
{
    double sum = 0;
    double count = 0;
    f->sample = sample;
    f->samples = samples;
    f->scale = scale;
    stg__crew_run(f->crew, do_groups, f);
    for (size_t i = 0; i < samples; i++) {
        sum += f->loss[i];
        count += f->count[i];
    }
    return count > 0 ? sum / count : 0;
}

/* --- training ----------------------------------------------------------------------------------- */

static double labels_in(const stg__fit *f, const size_t *sample, size_t samples)
{
    const stg__shape *s = &f->m->net.shape;
    const size_t row = (size_t)stg__model_nodes(f->m) * s->targets;
    double count = 0;
    for (size_t i = 0; i < samples; i++) {
        const real *y = f->data.y + (sample[i] + f->m->history) * row;
        for (size_t j = 0; j < s->horizon * row; j++)
            count += !isnan(y[j]);
    }
    return count;
}

static void repack(stg__fit *f)
{
    stg__net_pack(&f->m->net, f->m->params, f->m->packed);
    stg__net_pack_back(&f->m->net, f->m->params, f->back_packed);
}

/* One step of the optimiser; the loss of the batch before it. */
static double step(stg__fit *f, const size_t *sample, size_t samples, double rate)
{
    const stg_trainer_opts *o = &f->t->o;
    const size_t params = f->m->net.params;
    const double count = labels_in(f, sample, samples);
    const double k = o->curriculum;
    const double chance =
        o->curriculum == UINT32_MAX ? 0 : k / (k + exp((double)f->batches / k));
    for (uint32_t d = 0; d < o->horizon; d++)
        f->feed[d] =
            stg__uniform_at(o->seed, STREAM_FEED, f->batches * o->horizon + d) < chance;
    f->batches++;
    if (count == 0)
        return 0;
    const double loss = run_job(f, sample, samples, (real)(1 / count));
    for (uint32_t g = 1; g < STG__GROUPS; g++)
        for (size_t i = 0; i < params; i++)
            f->gradient[i] += f->gradient[g * params + i];
    const double norm = stg__clip(f->gradient, params, o->clip_norm);
    if (isfinite(norm)) /* a step that overflowed is left out */
        stg__adam_step(&f->adam, f->m->params, f->gradient, params, rate);
    repack(f);
    return loss;
}

static void shuffle(stg__fit *f, uint32_t epoch)
{
    stg__rng rng;
    stg__rng_init(&rng, f->t->o.seed, STREAM_ORDER + (uint64_t)epoch);
    for (size_t i = f->data.trains; i > 1; i--) {
        const size_t j = stg__rng_below(&rng, (uint32_t)i);
        const size_t other = f->data.train[j];
        f->data.train[j] = f->data.train[i - 1];
        f->data.train[i - 1] = other;
    }
}

static int32_t run_epoch(stg__fit *f)
{
    const stg_trainer_opts *o = &f->t->o;
    stg_train_progress *p = &f->progress;
    while (p->batch < p->batches) {
        const size_t first = (size_t)p->batch * o->batch;
        const size_t left = f->data.trains - first;
        f->sum += step(f, f->data.train + first, left < o->batch ? left : o->batch, p->learning_rate);
        p->batch++;
        p->train_loss = f->sum / p->batch;
        if (o->progress && o->progress(p, o->progress_user) != 0)
            return STG_E_CANCELLED;
    }
    return STG_OK;
}

static void judge_epoch(stg__fit *f)
{
    stg_train_progress *p = &f->progress;
    p->valid_loss = run_job(f, f->data.valid, f->data.valids, 0);
    if (isfinite(p->valid_loss) && !(p->valid_loss >= p->best_loss)) {
        p->best_loss = p->valid_loss;
        memcpy(f->best, f->m->params, f->m->net.params * sizeof(real));
        f->idle = 0;
    } else {
        f->idle++;
    }
}

static int32_t run_epochs(stg__fit *f)
{
    const stg_trainer_opts *o = &f->t->o;
    stg_train_progress *p = &f->progress;
    for (uint32_t e = 0; e < p->epoch && e < o->epochs; e++) /* the order goes from epoch to epoch */
        shuffle(f, e);
    for (; p->epoch < o->epochs && f->idle < o->patience; p->epoch++) {
        shuffle(f, p->epoch);
        STG_RETURN_IF_ERROR(run_epoch(f));
        judge_epoch(f);
        p->learning_rate = stg__course_rate(&f->t->course, o->learning_rate, p->learning_rate,
                                            p->epoch + 1, o->epochs, f->idle);
        p->batch = 0;
        f->sum = 0;
    }
    memcpy(f->m->params, f->best, f->m->net.params * sizeof(real));
    repack(f);
    return STG_OK;
}

/* Where a training begins. */
static void start(stg__fit *f)
{
    const stg_trainer_opts *o = &f->t->o;
    stg_model *m = f->m;
    f->progress = (stg_train_progress){
        .size = sizeof f->progress,
        .epochs = o->epochs,
        .batches = (uint32_t)((f->data.trains + o->batch - 1) / o->batch),
        .valid_loss = NAN,
        .best_loss = NAN,
        .learning_rate = o->learning_rate,
    };
    stg__net_start(&m->net, m->params, o->seed);
    /* Outputs begin as what is left of the present deviation, and get better from there. */
    if (!m->kind->plain)
        memset(m->params + m->net.proj_w, 0, (size_t)o->units * m->net.outputs * sizeof(real));
    memcpy(f->best, m->params, m->net.params * sizeof(real));
}

/* --- setting up --------------------------------------------------------------------------------- */

static int32_t make_supports(stg__fit *f)
{
    const stg_model *m = f->m;
    const size_t edges = m->edges;
    uint32_t *ends = (uint32_t *)stg__calloc(f->ctx, 2 * edges, sizeof *ends);
    stg__arc *arc = (stg__arc *)stg__calloc(f->ctx, edges, sizeof *arc);
    int32_t status = STG_E_NOMEM;
    if (ends && arc) {
        for (size_t e = 0; e < edges; e++) {
            ends[e] = m->edge[e].src;
            ends[edges + e] = m->edge[e].dst;
        }
        const uint32_t arcs = (m->kind->plain ? stg__make_plain_arcs : stg__make_arcs)(
            ends, ends + edges, m->edge_calls, m->edges, arc);
        status =
            stg__supports_build(&f->supports, f->ctx, stg__model_nodes(m), m->filter, arc, arcs);
    }
    stg__free(f->ctx, ends);
    stg__free(f->ctx, arc);
    return status;
}

static real *vector(stg_ctx *ctx, size_t count)
{
    return (real *)stg__alloc_aligned(ctx, count, sizeof(real));
}

static int32_t make_desks(stg__fit *f)
{
    f->desk = (stg__desk *)stg__calloc(f->ctx, f->threads, sizeof *f->desk);
    if (!f->desk)
        return STG_E_NOMEM;
    for (uint32_t i = 0; i < f->threads; i++) {
        stg__desk *d = &f->desk[i];
        STG_RETURN_IF_ERROR(
            stg__run_create(&d->run, f->ctx, &f->m->net, stg__model_nodes(f->m), true));
        d->run.supports = &f->supports;
        STG_RETURN_IF_ERROR(stg__back_create(&d->back, f->ctx, &d->run));
        d->base = vector(f->ctx, (size_t)f->m->horizon * stg__model_nodes(f->m) * f->m->targets);
        if (!d->base)
            return STG_E_NOMEM;
    }
    return stg__crew_create(&f->crew, f->ctx, f->threads);
}

static int32_t make_room(stg__fit *f)
{
    const stg__net *net = &f->m->net;
    const stg__course *c = &f->t->course;
    size_t most = f->t->o.batch < f->data.trains ? f->t->o.batch : f->data.trains;
    if (most < f->data.valids)
        most = f->data.valids;
    f->back_packed = vector(f->ctx, net->back_size);
    f->gradient = vector(f->ctx, STG__GROUPS * net->params);
    f->best = vector(f->ctx, net->params);
    f->adam = (stg__adam){vector(f->ctx, net->params), vector(f->ctx, net->params), 0, c->beta1,
                          c->beta2, c->epsilon, c->decay, c->optimizer == STG__ADAM};
    f->loss = (double *)stg__calloc(f->ctx, most, sizeof *f->loss);
    f->count = (double *)stg__calloc(f->ctx, most, sizeof *f->count);
    f->feed = (uint8_t *)stg__calloc(f->ctx, net->shape.horizon, 1);
    const bool ok = f->back_packed && f->gradient && f->best && f->adam.m && f->adam.v && f->loss &&
                    f->count && f->feed;
    return ok ? STG_OK : STG_E_NOMEM;
}

static int32_t set_up(stg__fit *f, const uint32_t *order, size_t train, stg_error *err)
{
    const stg_trainer_opts *o = &f->t->o;
    stg_model *m = f->m;
    const bool plain = m->kind->plain;
    stg__shape shape;
    stg__form_shape(&f->t->form, o, m, &shape);
    STG_RETURN_IF_ERROR(stg__model_net_room(m, &shape));
    STG_RETURN_IF_ERROR(stg__data_create(&f->data, m, f->t, order, train));
    if (f->data.trains == 0 || f->data.valids == 0)
        return stg__fail(err, STG_E_STATE,
                         "%zu windows with their gaps hold no sample of %u windows to train on and "
                         "one to judge by",
                         f->t->windows, o->history + o->horizon);
    if (!plain)
        stg__data_pull(&f->data, m);
    STG_RETURN_IF_ERROR(make_supports(f));
    STG_RETURN_IF_ERROR(make_room(f));
    return make_desks(f);
}

int32_t stg__fit_net(stg_model *m, const stg_trainer *t, const uint32_t *order, size_t train,
                     stg__halt *halt, stg_error *err)
{
    stg__fit f = {.ctx = t->ctx, .m = m, .t = t, .threads = t->o.threads};
    if (f.threads > STG__GROUPS)
        f.threads = STG__GROUPS;
    int32_t status = set_up(&f, order, train, err);
    if (status == STG_OK) {
        start(&f);
        stg__halt_resume(&f, halt);
        repack(&f);
        status = run_epochs(&f);
    }
    if (status == STG_OK && !m->kind->plain)
        status = stg__fit_smear(&f);
    if (status == STG_E_CANCELLED) {
        stg__halt_keep(&f, halt);
        stg__fail(err, status, "stopped by the callback");
    }
    clear(&f);
    return status;
}
