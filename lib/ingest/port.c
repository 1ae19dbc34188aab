/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's end of a lane: attach, detach, how far to read, signs of life. The writer may be
 * another process, dead, stopped or hostile: nothing here waits for it, and what its page says is
 * checked against what an honest writer can do.
 */
#include <math.h>
#include <sys/mman.h>

#include "ingest_priv.h"

static void port_memory_free(stg_ctx *ctx, stg__port *p)
{
    stg__free(ctx, p->map[0]);
    stg__free(ctx, p->map[1]);
    stg__free(ctx, p);
}

int32_t stg__port_new(stg_ingest *in, stg__lane_page *page, uint32_t records, uint32_t names,
                      bool mapped, uint64_t *id)
{
    if (in->port_count >= in->max_lanes)
        return STG_E_LIMIT;
    stg__port *p = (stg__port *)stg__calloc(in->ctx, 1, sizeof *p);
    if (!p)
        return STG_E_NOMEM;
    for (p->bits = 1; names >> p->bits; p->bits++)
        ;
    for (uint32_t i = 0; i < 2; i++) {
        p->map[i] = (uint32_t *)stg__alloc(in->ctx, sizeof *p->map[i] << p->bits);
        if (!p->map[i]) {
            port_memory_free(in->ctx, p);
            return STG_E_NOMEM;
        }
        p->map[i][0] = 0; /* "external" and the route "" */
        for (uint32_t k = 1; k < 1u << p->bits; k++)
            p->map[i][k] = STG__NONE;
    }
    p->id = ++in->next_id;
    p->page = page;
    p->slots = (stg__slot *)(page + 1);
    p->capacity = records;
    p->names = names;
    p->mapped = mapped;
    in->ports[in->port_count++] = p;
    if (id)
        *id = p->id;
    return STG_OK;
}

/* The writer's refusals since the last look; a count that goes down is nonsense. */
static void take_refused(stg_ingest *in, stg__port *p)
{
    const uint64_t refused = atomic_load_explicit(&p->page->refused, memory_order_relaxed);
    if (refused < p->refused) {
        in->malformed++;
        return;
    }
    in->refused += refused - p->refused;
    p->refused = refused;
}

void stg__port_free(stg_ingest *in, uint32_t index)
{
    stg__port *p = in->ports[index];
    take_refused(in, p);
    for (uint32_t i = 0; i < 2; i++)
        in->gone_active[i] += p->active[i];
    if (p->mapped)
        munmap(p->page, stg__lane_bytes((uint32_t)p->capacity));
    else
        stg__free_aligned(in->ctx, p->page);
    port_memory_free(in->ctx, p);
    /* Order decides whose turn it is, so the others keep theirs. */
    in->port_count--;
    for (uint32_t i = index; i < in->port_count; i++)
        in->ports[i] = in->ports[i + 1];
}

uint32_t stg__port_find(const stg_ingest *in, uint64_t id)
{
    for (uint32_t i = 0; i < in->port_count; i++)
        if (in->ports[i]->id == id)
            return i;
    return STG__NONE;
}

void stg__port_look(stg_ingest *in, stg__port *p)
{
    p->stuck = false;
    if (p->leaving) {
        p->limit = p->last;
        return;
    }
    /* "closed" is read before the tail: what was pushed before it closed is then seen. */
    const bool closed = atomic_load_explicit(&p->page->closed, memory_order_acquire) != 0;
    uint64_t tail = atomic_load_explicit(&p->page->tail, memory_order_acquire);
    if (tail - p->head > p->capacity) {
        /* No writer of ours publishes more than the ring holds, or takes something back. What is in
         * the ring has no meaning any more; start again where the page says. */
        in->malformed++;
        p->head = tail;
        atomic_store_explicit(&p->page->head, p->head, memory_order_release);
    }
    take_refused(in, p);
    p->limit = tail;
    if (closed) {
        p->leaving = true;
        p->last = tail;
    }
}

uint64_t stg__port_waiting(const stg__port *p)
{
    const uint64_t tail = p->leaving
                              ? p->last
                              : atomic_load_explicit(&p->page->tail, memory_order_acquire);
    if (tail - p->head > p->capacity)
        return 0;
    uint64_t calls = 0;
    for (uint64_t at = p->head; at != tail; at++)
        calls += *(const volatile uint8_t *)&p->slots[at & (p->capacity - 1)].bytes[63] ==
                 STG__SLOT_CALL;
    return calls;
}

double stg__ports_coverage(const stg_ingest *in, uint64_t start_ns, uint32_t parity)
{
    uint32_t lanes = in->gone_active[parity];
    uint32_t live = lanes;
    for (uint32_t i = 0; i < in->port_count; i++) {
        stg__port *p = in->ports[i];
        const uint64_t beat = atomic_load_explicit(&p->page->beat_ns, memory_order_relaxed);
        const bool active = p->active[parity] || (beat != 0 && beat >= start_ns);
        p->alive = p->alive || beat != 0;
        if (p->leaving ? active : p->alive) { /* one that has left counts where it was seen */
            lanes++;
            live += active;
        }
    }
    return lanes ? (double)live / lanes : NAN;
}

/* --- public ----------------------------------------------------------------------------------- */

int32_t stg_lane_open(stg_lane **out, stg_ingest *in, const stg_lane_opts *opts)
{
    if (!out || !in)
        return STG_E_INVALID;
    *out = NULL;
    if (stg__ctx_forked(in->ctx))
        return STG_E_FORK;
    uint32_t records;
    uint32_t names;
    STG_RETURN_IF_ERROR(stg__lane_sizes(opts, &records, &names));
    stg__lane_page *page =
        (stg__lane_page *)stg__alloc_aligned(in->ctx, 1, stg__lane_bytes(records));
    if (!page)
        return STG_E_NOMEM;
    stg__lane_page_init(page, in->ctx, records, names);
    stg_lane *lane = NULL;
    int32_t status = stg__lane_new(&lane, in->ctx, page, records, names, false);
    if (status == STG_OK)
        status = stg__port_new(in, page, records, names, false, NULL);
    if (status != STG_OK) {
        stg_lane_close(lane); /* touches the page: before it goes */
        stg__free_aligned(in->ctx, page);
        return status;
    }
    *out = lane;
    return STG_OK;
}

int32_t stg_ingest_attach(stg_ingest *in, int fd, uint64_t *id)
{
    if (!in || !id)
        return STG_E_INVALID;
    *id = 0;
    if (stg__ctx_forked(in->ctx))
        return STG_E_FORK;
    stg__lane_page *page;
    uint32_t records;
    uint32_t names;
    STG_RETURN_IF_ERROR(stg__lane_map(fd, &page, &records, &names));
    int32_t status = STG_E_STATE;
    if (atomic_load_explicit(&page->reader, memory_order_relaxed) == 0)
        status = stg__port_new(in, page, records, names, true, id);
    if (status != STG_OK) {
        munmap(page, stg__lane_bytes(records));
        return status;
    }
    if (atomic_exchange_explicit(&page->reader, 1, memory_order_acq_rel) != 0) {
        stg__port_free(in, in->port_count - 1);
        *id = 0;
        return STG_E_STATE;
    }
    return STG_OK;
}

int32_t stg_ingest_detach(stg_ingest *in, uint64_t id)
{
    if (!in)
        return STG_E_INVALID;
    if (stg__ctx_forked(in->ctx))
        return STG_E_FORK;
    const uint32_t index = stg__port_find(in, id);
    if (index == STG__NONE)
        return STG_E_NOTFOUND;
    stg__port *p = in->ports[index];
    if (!p->leaving) {
        stg__port_look(in, p);
        p->leaving = true;
        p->last = p->limit;
    }
    return stg__drain(in);
}
