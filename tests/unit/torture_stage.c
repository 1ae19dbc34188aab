/* SPDX-License-Identifier: Apache-2.0 */
/* The torture tests' allocator and the story of the whole line. */
#include <stdint.h>

#include "torture.h"

/* --- memory ----------------------------------------------------------------------------------- */

#define FENCE 0x746f727475726521u /* in front of and behind every block */
#define GONE 0x6672656564206f66u
#define FILLED 4096u /* bytes of a block that get a pattern: large ones take too long */

typedef struct head {
    size_t bytes;
    uint64_t fence;
} head;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WATCHED true
#endif
#endif
#ifndef WATCHED
#define WATCHED false
#endif

bool torture_sanitized(void)
{
    return WATCHED;
}

static void damaged(torture_memory *m, const char *how)
{
    if (!m->damage)
        m->damage = how;
}

static void check_fence(torture_memory *m, const head *h)
{
    const uint64_t fence = FENCE;
    if (memcmp((const char *)(h + 1) + h->bytes, &fence, sizeof fence) != 0)
        damaged(m, "a block was written behind its end");
}

static size_t filled(const head *h)
{
    return h->bytes < FILLED ? h->bytes : FILLED;
}

/* A freed block that nobody wrote to since. */
static void let_go(torture_memory *m, void *block)
{
    static unsigned char untouched[FILLED];
    head *h = (head *)block;
    if (!untouched[0])
        memset(untouched, 0xdd, sizeof untouched);
    if (memcmp(h + 1, untouched, filled(h)) != 0)
        damaged(m, "freed memory was written to");
    free(h);
}

/* Keeps the block for a while, so that freeing it again is seen; a sanitizer sees that itself. */
static void put_away(torture_memory *m, head *h)
{
    if (WATCHED || test_valgrind()) {
        free(h);
        return;
    }
    h->fence = GONE;
    memset(h + 1, 0xdd, filled(h));
    if (m->kept[m->kept_at])
        let_go(m, m->kept[m->kept_at]);
    m->kept[m->kept_at] = h;
    m->kept_at = (m->kept_at + 1) % TORTURE_KEPT;
}

static bool fails(torture_memory *m)
{
    m->requests++;
    if (!m->from || m->requests < m->from || m->requests > m->to)
        return false;
    m->failed++;
    return true;
}

static void *fenced(torture_memory *m, size_t bytes)
{
    const uint64_t fence = FENCE;
    head *h = (head *)malloc(sizeof *h + bytes + sizeof fence);
    if (!h)
        return NULL;
    *h = (head){bytes, FENCE};
    memset(h + 1, 0xa5, filled(h));
    memcpy((char *)(h + 1) + bytes, &fence, sizeof fence);
    m->live++;
    return h + 1;
}

static void unfence(torture_memory *m, void *block)
{
    head *h = (head *)block - 1;
    if (h->fence != FENCE) {
        damaged(m, h->fence == GONE ? "a block was freed twice" : "no block of ours was freed");
        return;
    }
    check_fence(m, h);
    m->live--;
    put_away(m, h);
}

static void *take(size_t bytes, void *user)
{
    torture_memory *m = (torture_memory *)user;
    pthread_mutex_lock(&m->lock);
    void *block = fails(m) ? NULL : fenced(m, bytes);
    pthread_mutex_unlock(&m->lock);
    return block;
}

/* Always moves: who keeps the old pointer is found out. */
static void *retake(void *block, size_t bytes, void *user)
{
    torture_memory *m = (torture_memory *)user;
    pthread_mutex_lock(&m->lock);
    void *moved = fails(m) ? NULL : fenced(m, bytes);
    if (moved && block) {
        const size_t had = ((head *)block - 1)->bytes;
        memcpy(moved, block, had < bytes ? had : bytes);
        unfence(m, block);
    }
    pthread_mutex_unlock(&m->lock);
    return moved;
}

static void give_back(void *block, void *user)
{
    torture_memory *m = (torture_memory *)user;
    if (!block)
        return;
    pthread_mutex_lock(&m->lock);
    unfence(m, block);
    pthread_mutex_unlock(&m->lock);
}

void torture_memory_init(torture_memory *m)
{
    *m = (torture_memory){.allocator = {take, retake, give_back, m}};
    pthread_mutex_init(&m->lock, NULL);
}

void torture_memory_arm(torture_memory *m, size_t from, size_t to)
{
    m->requests = m->failed = 0;
    m->from = from;
    m->to = to;
}

void torture_memory_calm(torture_memory *m)
{
    m->from = 0;
}

void torture_memory_fini(torture_memory *m)
{
    for (size_t i = 0; i < TORTURE_KEPT; i++)
        if (m->kept[i])
            let_go(m, m->kept[i]);
    ck_assert_msg(!m->damage, "%s", m->damage);
    ck_assert_msg(m->live == 0, "%zu blocks are left", m->live);
    pthread_mutex_destroy(&m->lock);
}

/* --- the story -------------------------------------------------------------------------------- */

stg_bundle *torture_parse(stg_ctx *ctx, const torture_file *file)
{
    stg_bundle *b = NULL;
    stg_error err = {0};
    ck_assert_msg(stg_bundle_parse(&b, ctx, file->bytes, file->len, &err) == STG_OK, "%s", err.text);
    return b;
}

#define FIRST (TRAFFIC_START_NS + 1440 * TRAFFIC_WINDOW_NS) /* the model learnt up to here */

uint64_t torture_window_end(uint32_t window)
{
    return FIRST + (window + 1) * TRAFFIC_WINDOW_NS;
}

/* From CHANGE on there is a further service behind "web". */
static void push_more(stage *s, uint32_t window)
{
    stg_call call = {.end_ns = torture_window_end(window) - 1000000000,
                     .duration_us = 900,
                     .status = 200,
                     .src = s->traffic.web,
                     .side = STG_SIDE_CLIENT};
    OK(stg_lane_intern(s->lane, STG_NODE, "cart", 4, &call.dst));
    OK(stg_lane_intern(s->lane, STG_ROUTE, "GET /cart", 9, &call.route));
    for (int i = 0; i < 20; i++)
        SURE(stg_lane_push(s->lane, &call, 1) == 1);
}

void torture_keep(stage *s, const void *object)
{
    if (!s->bundle)
        OK(stg_bundle_open(&s->bundle, s->ctx, NULL, NULL));
    OK(stg_state_save(object, s->bundle, NULL));
}

void torture_traffic(stage *s, uint32_t window)
{
    if (window == 0)
        OK(traffic_open(&s->traffic, s->lane, 3));
    traffic_window(&s->traffic, torture_window_end(window) - TRAFFIC_WINDOW_NS,
                   window >= CALM ? 150 : 0);
    if (window >= CHANGE)
        push_more(s, window);
}

bool torture_opens(const stg_report *r)
{
    stg_incident_info inc = {.size = sizeof inc};
    for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++)
        if (inc.state == STG_INCIDENT_OPEN)
            return true;
    return false;
}

static bool limits(const stg_plan *plan)
{
    stg_action a = {.size = sizeof a};
    for (uint32_t i = 0; stg_plan_action(plan, i, &a) == STG_OK; i++)
        if (a.kind == STG_ACTION_LIMIT)
            return true;
    return false;
}

static void play_window(scene *sc, stage *s, uint32_t w)
{
    stg_report_info info = {.size = sizeof info};
    torture_traffic(s, w);
    OK(stg_ingest_close(s->in, torture_window_end(w), &sc->graph[w]));
    sc->judge[w] = w ? (const stg_forecast *)stg_ref(sc->next[w - 1]) : NULL;
    OK(stg_detector_score(s->detector, sc->graph[w], sc->judge[w], &sc->report[w]));
    OK(stg_report_get_info(sc->report[w], &info));
    OK(stg_session_step(s->session, sc->graph[w], info.mask));
    OK(stg_session_forecast(s->session, 2, &sc->next[w]));
    OK(stg_planner_plan(s->planner, sc->graph[w], sc->report[w], sc->next[w], &s->plan));
    if (!sc->opens && torture_opens(sc->report[w]))
        sc->opens = w;
    if (!sc->acts && limits(s->plan))
        sc->acts = w;
    stg_unref(s->plan);
}

const scene *torture_scene(void)
{
    static scene sc;
    static stage s; /* its parts live as long as the process */
    if (sc.ctx)
        return &sc;
    const stg_ingest_opts opts = {
        .size = sizeof opts, .window_ns = TRAFFIC_WINDOW_NS, .snapshots = SCENE};
    OK(stg_ctx_create(&sc.ctx, NULL));
    sc.bundle = torture_parse(sc.ctx, &torture_line);
    OK(stg_model_load(&sc.model, sc.bundle, NULL));
    OK(stg_ingest_create(&s.in, sc.ctx, &opts));
    OK(stg_ingest_restore(s.in, sc.bundle, NULL));
    OK(stg_lane_open(&s.lane, s.in, NULL));
    OK(stg_session_create(&s.session, sc.ctx, sc.model, NULL));
    OK(stg_detector_create(&s.detector, sc.ctx, sc.bundle, NULL, NULL));
    OK(stg_planner_create(&s.planner, sc.ctx, NULL));
    for (uint32_t w = 0; w < SCENE; w++)
        play_window(&sc, &s, w);
    SURE(sc.opens > CHANGE + 4);
    SURE(sc.acts > CHANGE + 4);
    stg_lane_close(s.lane);
    stg_ingest_destroy(s.in);
    stg_session_destroy(s.session);
    stg_detector_destroy(s.detector);
    stg_planner_destroy(s.planner);
    return &sc;
}
