/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few threads that do one job after the other, started only when asked for. The caller is one of
 * them; the others take no signals: those are the host's. Who waits looks a short time for what it
 * waits for, because jobs may be shorter than a call of the system, and then sleeps.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "crew.h"

#define LOOKS 200 /* some microseconds */

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
    pthread_mutex_t lock; /* of sleeping only */
    pthread_cond_t begin;
    pthread_cond_t done;
    atomic_uint jobs; /* given out so far */
    atomic_uint busy;
    atomic_uint asleep; /* workers */
    atomic_bool waits;  /* the caller sleeps */
    atomic_bool quit;
    stg__crew_fn fn;
    void *job;
};

static inline void pause_a_little(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* The number of a job that is not `seen`; the same one: the crew is to go. */
static unsigned next_job(stg__crew *c, unsigned seen)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&c->jobs, memory_order_acquire) != seen)
            return atomic_load(&c->jobs);
        pause_a_little();
    }
    pthread_mutex_lock(&c->lock);
    atomic_fetch_add(&c->asleep, 1); /* before the last look: either it or the caller sees the other */
    while (atomic_load(&c->jobs) == seen && !atomic_load(&c->quit))
        pthread_cond_wait(&c->begin, &c->lock);
    atomic_fetch_sub(&c->asleep, 1);
    pthread_mutex_unlock(&c->lock);
    return atomic_load(&c->jobs);
}

static void *work(void *arg)
{
    const hand *h = (const hand *)arg;
    stg__crew *c = h->crew;
    unsigned seen = 0;
    for (;;) {
        const unsigned job = next_job(c, seen);
        if (job == seen)
            return NULL;
        seen = job;
        c->fn(c->job, h->worker);
        if (atomic_fetch_sub(&c->busy, 1) == 1 && atomic_load(&c->waits)) {
            pthread_mutex_lock(&c->lock);
            pthread_cond_signal(&c->done);
            pthread_mutex_unlock(&c->lock);
        }
    }
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

static void wait_for_all(stg__crew *c)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&c->busy, memory_order_acquire) == 0)
            return;
        pause_a_little();
    }
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->waits, true);
    while (atomic_load(&c->busy))
        pthread_cond_wait(&c->done, &c->lock);
    atomic_store(&c->waits, false);
    pthread_mutex_unlock(&c->lock);
}

void stg__crew_run(stg__crew *c, stg__crew_fn fn, void *job)
{
    c->fn = fn;
    c->job = job;
    atomic_store(&c->busy, c->started);
    atomic_fetch_add(&c->jobs, 1);
    if (atomic_load(&c->asleep)) {
        pthread_mutex_lock(&c->lock);
        pthread_cond_broadcast(&c->begin);
        pthread_mutex_unlock(&c->lock);
    }
    fn(job, 0);
    wait_for_all(c);
}

uint32_t stg__crew_members(const stg__crew *c)
{
    return c ? c->members : 1;
}

void stg__crew_destroy(stg__crew *c)
{
    if (!c)
        return;
    if (!stg__ctx_forked(c->ctx)) { /* threads do not cross a fork: nobody to wait for */
        pthread_mutex_lock(&c->lock);
        atomic_store(&c->quit, true);
        pthread_cond_broadcast(&c->begin);
        pthread_mutex_unlock(&c->lock);
        for (uint32_t i = 0; i < c->started; i++)
            pthread_join(c->hands[i].thread, NULL);
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->begin);
        pthread_cond_destroy(&c->done);
    }
    stg__free(c->ctx, c->hands);
    stg__free(c->ctx, c);
}
