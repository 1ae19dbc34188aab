/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the rings into the accumulators of the two open windows: the hot loop. Calls go in batches
 * through stages, so that the cache misses of one call overlap with those of the others: copy, check
 * and hash; find the edge; find the accumulator; count. All is copied before it is checked.
 * A stage that needs memory and gets none cuts the batch there; nothing is counted twice.
 */
#include <string.h>

#include "ingest_priv.h"

#define TURN 64u /* batches of one lane before the next lane has its turn */

/* --- time ------------------------------------------------------------------------------------- */

/* What the window of an end makes of a record; before the host has closed a first window the
 * records themselves say where time begins, and nothing is late or refused. */
static uint32_t fate_of(stg_ingest *in, uint64_t end_ns)
{
    if (!in->have) {
        in->have = true;
        in->cur = end_ns / in->window_ns;
        in->cur_start = in->cur * in->window_ns;
    }
    if (end_ns >= in->cur_start) {
        const uint64_t into = end_ns - in->cur_start;
        if (into < in->window_ns)
            return (uint32_t)(in->cur & 1);
        if (into - in->window_ns < in->window_ns)
            return (uint32_t)(in->cur & 1) ^ 1;
        return in->closed_any && into - in->window_ns > in->ahead_ns ? STG__REFUSE : STG__WAIT;
    }
    if (in->closed_any)
        return STG__LATE;
    if (in->cur_start - end_ns > in->window_ns || in->touched[(in->cur & 1) ^ 1])
        return STG__WAIT;
    in->cur--; /* nothing is in the later window: the two open ones move back by one */
    in->cur_start -= in->window_ns;
    return (uint32_t)(in->cur & 1);
}

void stg__window_clear(stg_ingest *in, uint32_t parity)
{
    if (in->touched[parity])
        stg__edges_clear(in, parity);
    in->open_calls[parity] = 0;
    in->open_other_nodes[parity] = 0;
    in->open_other_edges[parity] = 0;
    in->touched[parity] = false;
    in->gone_active[parity] = 0;
    for (uint32_t i = 0; i < in->port_count; i++)
        in->ports[i]->active[parity] = false;
}

static void window_forget(stg_ingest *in, uint32_t parity, uint64_t *to)
{
    const uint64_t calls = in->open_calls[parity];
    in->windowed -= calls;
    *to += calls;
    in->other_nodes -= in->open_other_nodes[parity];
    in->other_edges -= in->open_other_edges[parity];
    stg__groups_forget(in, parity);
    stg__window_clear(in, parity);
}

void stg__windows_move(stg_ingest *in, uint64_t cur)
{
    for (uint64_t i = 0; in->have && i < 2; i++) {
        const uint64_t window = in->cur + i;
        if (window < cur)
            window_forget(in, window & 1, &in->late);
        else if (window > cur + 1) /* only before the first close: a clock that was ahead */
            window_forget(in, window & 1, &in->refused);
    }
    if (in->have && cur > in->cur)
        stg__gauges_move(in);
    in->have = true;
    in->cur = cur;
    in->cur_start = cur * in->window_ns;
    stg__groups_age(in, in->cur_start);
}

/* --- names and gauges ------------------------------------------------------------------------- */

static int32_t take_name(stg_ingest *in, stg__port *p, const stg__slot *first, uint64_t *used)
{
    char text[STG_NAME_MAX + 63];
    const uint32_t kind = first->name.kind;
    const uint32_t id = first->name.id;
    const uint32_t len = first->name.len;
    if ((kind != STG_NODE && kind != STG_ROUTE) || id == 0 || id > p->names || len == 0 ||
        len > STG_NAME_MAX || stg__name_slots(len) > p->limit - p->head) {
        in->malformed++;
        return STG_OK;
    }
    memcpy(text, first->name.text, sizeof first->name.text);
    size_t have = sizeof first->name.text;
    for (uint32_t i = 1; i < stg__name_slots(len); i++) {
        stg__slot more;
        memcpy(&more, &p->slots[(p->head + i) & (p->capacity - 1)], sizeof more);
        atomic_signal_fence(memory_order_seq_cst);
        if (more.more.is != STG__SLOT_MORE) {
            in->malformed++;
            *used = i;
            return STG_OK;
        }
        memcpy(text + have, more.more.text, sizeof more.more.text);
        have += sizeof more.more.text;
    }
    uint32_t known = 0;
    STG_RETURN_IF_ERROR(kind == STG_NODE ? stg__node_id(in, text, len, &known)
                                         : stg__route_id(in, text, len, &known));
    p->map[kind == STG_ROUTE][id] = known;
    *used = stg__name_slots(len);
    return STG_OK;
}

static int32_t take_gauge(stg_ingest *in, stg__port *p, const stg__slot *slot)
{
    stg_gauge gauge = slot->gauge;
    if (gauge.node >> p->bits != 0 || p->map[0][gauge.node] == STG__NONE) {
        in->malformed++;
        return STG_OK;
    }
    const uint32_t fate = fate_of(in, gauge.time_ns);
    if (fate == STG__WAIT) {
        p->stuck = true;
        return STG_OK;
    }
    if (fate == STG__REFUSE) {
        in->malformed++;
        return STG_OK;
    }
    gauge.node = p->map[0][gauge.node];
    /* A late reading can still be the last one of its producer. */
    STG_RETURN_IF_ERROR(
        stg__gauges_take(in, &gauge, fate <= STG__TAKE1 && fate != (in->cur & 1)));
    p->alive = true;
    if (fate <= STG__TAKE1)
        p->active[fate] = true;
    return STG_OK;
}

/* The slot at the head, which is not a call. */
static int32_t take_other(stg_ingest *in, stg__port *p)
{
    stg__slot slot;
    memcpy(&slot, &p->slots[p->head & (p->capacity - 1)], sizeof slot);
    atomic_signal_fence(memory_order_seq_cst);
    uint64_t used = 1;
    if (slot.bytes[63] == STG__SLOT_NAME)
        STG_RETURN_IF_ERROR(take_name(in, p, &slot, &used));
    else if (slot.bytes[63] == STG__SLOT_GAUGE)
        STG_RETURN_IF_ERROR(take_gauge(in, p, &slot));
    else
        in->malformed++;
    p->head += p->stuck ? 0 : used;
    return STG_OK;
}

/* --- calls ------------------------------------------------------------------------------------ */

static inline uint32_t judge(stg_ingest *in, const stg__port *p, stg_call *c)
{
    if (((c->src | c->dst | c->route) >> p->bits) != 0 || c->side >= STG__SIDES)
        return STG__MALFORMED;
    c->src = p->map[0][c->src];
    c->dst = p->map[0][c->dst];
    c->route = p->map[1][c->route];
    if ((c->src | c->dst | c->route) > INT32_MAX) /* one of them is STG__NONE: never told */
        return STG__MALFORMED;
    if (in->have && c->end_ns - in->cur_start < in->window_ns)
        return (uint32_t)(in->cur & 1);
    return fate_of(in, c->end_ns);
}

/* First stage: copies calls until a slot of another kind, or one for a window not open yet. */
static uint32_t stage_copy(stg_ingest *in, stg__port *p)
{
    const uint64_t left = p->limit - p->head;
    const uint32_t most = left < STG__BATCH ? (uint32_t)left : STG__BATCH;
    uint32_t n = 0;
    in->batch_outside = false;
    for (; n < most; n++) {
        stg__item *item = &in->batch[n];
        memcpy(&item->call, &p->slots[(p->head + n) & (p->capacity - 1)], sizeof item->call);
        atomic_signal_fence(memory_order_seq_cst); /* from here on only the copy is looked at */
        if (item->call.reserved != STG__SLOT_CALL)
            break;
        item->fate = judge(in, p, &item->call);
        if (item->fate == STG__WAIT) {
            p->stuck = true;
            break;
        }
        if (item->fate > STG__TAKE1)
            continue;
        in->touched[item->fate] = true;
        item->outside = (item->call.client | item->call.group | item->call.user) != 0;
        in->batch_outside |= item->outside;
        item->hash = stg__edge_hash(in, item->call.src, item->call.dst, item->call.route);
        __builtin_prefetch(&in->edges.table[item->hash & (in->edges.slots - 1)]);
    }
    return n;
}

/* Second stage: where the edges are. */
static void stage_guess(stg_ingest *in, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        stg__item *item = &in->batch[i];
        if (item->fate > STG__TAKE1)
            continue;
        item->place = stg__edge_guess(in, item->hash);
        if (item->place != STG__NONE)
            __builtin_prefetch(&in->edges.at[item->place]);
    }
}

/* The accumulator, if the edge is where it was guessed and all the call needs is there. */
static inline stg__acc *acc_of(const stg_ingest *in, const stg__item *item)
{
    const stg_call *c = &item->call;
    if (item->place == STG__NONE)
        return NULL;
    const stg__edge *e = &in->edges.at[item->place];
    stg__seen *seen = e->seen[c->side];
    if (((e->src ^ c->src) | (e->dst ^ c->dst) | (e->route ^ c->route)) != 0 || !seen)
        return NULL;
    if (item->outside && !seen->acc[0].outside)
        return NULL;
    return &seen->acc[item->fate];
}

/* Third stage: the accumulators. Returns how many items have theirs. */
static uint32_t stage_find(stg_ingest *in, uint32_t n, int32_t *status)
{
    for (uint32_t i = 0; i < n; i++) {
        stg__item *item = &in->batch[i];
        if (item->fate > STG__TAKE1)
            continue;
        item->acc = acc_of(in, item);
        if (!item->acc)
            *status = stg__edge_acc(in, &item->call, item->hash, item->fate, &item->acc);
        if (*status != STG_OK)
            return i;
        item->bin = stg__dd_bin(&in->dd, item->call.duration_us);
        __builtin_prefetch(item->acc, 1);
        __builtin_prefetch(&stg__acc_bins(item->acc, item->fate)[item->bin], 1);
        if (item->outside)
            item->new_group =
                item->call.group ? stg__groups_see(in, item->call.group, item->fate) : 0;
    }
    return n;
}

/* Calls for what the last stage will touch. */
static void fetch_outside(const stg__outside *o, const stg_call *c)
{
    __builtin_prefetch(&o->clients.rank[stg__hll_place(c->client)], 1);
    __builtin_prefetch(&o->groups.rank[stg__hll_place(c->group)], 1);
    __builtin_prefetch(o->top.tag, 1);
    __builtin_prefetch(&o->dirty, 1);
}

/* Fifth stage, for calls from outside. */
static void count_outside(stg__outside *o, const stg_call *c)
{
    o->dirty = true;
    if (c->client) {
        stg__hll_add(&o->clients, c->client);
        stg__top_add(&o->top, c->client);
    }
    if (c->group)
        stg__hll_add(&o->groups, c->group);
    if (c->user && c->flags & STG_CALL_LOGIN)
        stg__hll_add(&o->users, c->user);
}

static void count_rare(stg__acc *a, const stg_call *c)
{
    const uint32_t flags = c->flags;
    a->logins += (flags & STG_CALL_LOGIN) != 0;
    a->login_failures += (flags & STG_CALL_LOGIN_FAILED) != 0;
    a->registers += (flags & STG_CALL_REGISTER) != 0;
    a->assets += (flags & STG_CALL_ASSET) != 0;
    a->timeouts += (flags & STG_CALL_TIMEOUT) != 0;
    a->retries += c->attempt > 0 || (flags & STG_CALL_RETRY) != 0;
    a->injections += c->injection > 0;
}

static void count_status(stg__acc *a, uint32_t status)
{
    a->errors += status == 0 || status >= 500;
    a->client_errors += status - 400u < 100u;
    a->denied += status == 401 || status == 403 || status == 429;
}

static void count_other(stg_ingest *in, const stg__item *item)
{
    const stg_call *c = &item->call;
    if (c->src == in->other_node || c->dst == in->other_node) {
        in->open_other_nodes[item->fate]++;
        in->other_nodes++;
    }
    if (c->route == in->other_route) {
        in->open_other_edges[item->fate]++;
        in->other_edges++;
    }
}

/* Fourth stage: counts a call that has its accumulator. */
static inline void count(stg_ingest *in, const stg__item *item)
{
    const stg_call *c = &item->call;
    stg__acc *a = item->acc;
    const uint32_t status = c->status;
    a->calls++;
    if (status - 100u >= 300u) /* what is not an answer of success or redirection */
        count_status(a, status);
    a->bytes_in += c->bytes_in;
    a->bytes_out += c->bytes_out;
    a->duration_us += c->duration_us;
    stg__dd_add(&a->latency, item->bin);
    if (c->flags | c->attempt | c->injection)
        count_rare(a, c);
    if (item->outside) {
        a->new_group_calls += item->new_group;
        fetch_outside(a->outside, c);
    }
    if ((in->other_node & in->other_route) != STG__NONE)
        count_other(in, item);
}

static void stage_count(stg_ingest *in, stg__port *p, uint32_t n)
{
    uint64_t fates[STG__WAIT] = {0};
    for (uint32_t i = 0; i < n; i++) {
        const stg__item *item = &in->batch[i];
        fates[item->fate]++;
        if (item->fate <= STG__TAKE1)
            count(in, item);
    }
    for (uint32_t i = 0; in->batch_outside && i < n; i++)
        if (in->batch[i].outside && in->batch[i].fate <= STG__TAKE1)
            count_outside(in->batch[i].acc->outside, &in->batch[i].call);
    in->open_calls[0] += fates[STG__TAKE0];
    in->open_calls[1] += fates[STG__TAKE1];
    in->windowed += fates[STG__TAKE0] + fates[STG__TAKE1];
    in->late += fates[STG__LATE];
    in->malformed += fates[STG__MALFORMED];
    in->refused += fates[STG__REFUSE] + fates[STG__MALFORMED];
    p->alive |= n > 0;
    p->active[0] |= fates[STG__TAKE0] > 0;
    p->active[1] |= fates[STG__TAKE1] > 0;
}

static int32_t drain_batch(stg_ingest *in, stg__port *p)
{
    int32_t status = STG_OK;
    const uint32_t copied = stage_copy(in, p);
    if (copied) {
        stage_guess(in, copied);
        const uint32_t found = stage_find(in, copied, &status);
        stage_count(in, p, found);
        p->head += found;
        p->stuck = p->stuck && found == copied;
    } else if (!p->stuck) {
        status = take_other(in, p);
    }
    atomic_store_explicit(&p->page->head, p->head, memory_order_release);
    return status;
}

static bool port_done(const stg__port *p)
{
    return p->stuck || p->head == p->limit;
}

int32_t stg__drain(stg_ingest *in)
{
    for (uint32_t i = 0; i < in->port_count; i++)
        stg__port_look(in, in->ports[i]);
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < in->port_count; i++) {
            stg__port *p = in->ports[i];
            for (uint32_t turn = 0; turn < TURN && !port_done(p); turn++)
                STG_RETURN_IF_ERROR(drain_batch(in, p));
            more |= !port_done(p);
        }
    }
    for (uint32_t i = in->port_count; i-- > 0;)
        if (in->ports[i]->leaving && in->ports[i]->head == in->ports[i]->last)
            stg__port_free(in, i);
    return STG_OK;
}
