/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trainer's threads, started only when asked for. The caller is one of the crew; the others wait
 * on a condition between jobs. They take no signals: those are the host's.
 */
#include <pthread.h>
#include <signal.h>

#include "train_priv.h"

typedef struct hand {
    stg__crew *crew;
    pthread_t thread;
    uint32_t worker;
} hand;

struct stg__crew {
    stg_ctx *ctx;
    uint32_t members;
    uint32_t started; /* threads, the caller not counted */
    hand *hands;
    pthread_mutex_t lock;
    pthread_cond_t begin;
    pthread_cond_t done;
    uint64_t jobs; /* given out so far */
    uint32_t busy;
    bool quit;
    stg__crew_fn fn;
    void *job;
};

static void *work(void *arg)
{
    hand *h = (hand *)arg;
    stg__crew *c = h->crew;
    uint64_t seen = 0;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (c->jobs == seen && !c->quit)
            pthread_cond_wait(&c->begin, &c->lock);
        if (c->quit)
            break;
        seen = c->jobs;
        pthread_mutex_unlock(&c->lock);
        c->fn(c->job, h->worker);
        pthread_mutex_lock(&c->lock);
        if (--c->busy == 0)
            pthread_cond_signal(&c->done);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static int32_t start(stg__crew *c)
{
    sigset_t all;
    sigset_t before;
    int failed = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* new threads inherit it */
    for (uint32_t i = 1; i < c->members && !failed; i++) {
        hand *h = &c->hands[i - 1];
        *h = (hand){c, 0, i};
        failed = pthread_create(&h->thread, NULL, work, h);
        c->started += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? STG_E_NOMEM : STG_OK;
}

int32_t stg__crew_create(stg__crew **out, stg_ctx *ctx, uint32_t members)
{
    *out = NULL;
    stg__crew *c = (stg__crew *)stg__calloc(ctx, 1, sizeof *c);
    hand *hands = (hand *)stg__calloc(ctx, members, sizeof *hands);
    if (!c || !hands) {
        stg__free(ctx, c);
        stg__free(ctx, hands);
        return STG_E_NOMEM;
    }
    c->ctx = ctx;
    c->members = members;
    c->hands = hands;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->begin, NULL);
    pthread_cond_init(&c->done, NULL);
    const int32_t status = start(c);
    if (status != STG_OK) {
        stg__crew_destroy(c);
        return status;
    }
    *out = c;
    return STG_OK;
}

void stg__crew_run(stg__crew *c, stg__crew_fn fn, void *job)
{
    pthread_mutex_lock(&c->lock);
    c->fn = fn;
    c->job = job;
    c->busy = c->started;
    c->jobs++;
    pthread_cond_broadcast(&c->begin);
    pthread_mutex_unlock(&c->lock);
    fn(job, 0);
    pthread_mutex_lock(&c->lock);
    while (c->busy)
        pthread_cond_wait(&c->done, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void stg__crew_destroy(stg__crew *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_broadcast(&c->begin);
    pthread_mutex_unlock(&c->lock);
    for (uint32_t i = 0; i < c->started; i++)
        pthread_join(c->hands[i].thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->begin);
    pthread_cond_destroy(&c->done);
    stg__free(c->ctx, c->hands);
    stg__free(c->ctx, c);
}
