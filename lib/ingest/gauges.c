/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gauges: the last reading of every producer of a node. A producer that has been silent for the
 * time to live is dead and no longer counted. The reading of the window that closes next and that of the
 * window after it are kept apart, so that closing late changes nothing.
 */
#include <string.h>

#include "ingest_priv.h"

static uint32_t slot_of(const stg_ingest *in, const uint32_t *table, uint32_t slots,
                        uint32_t node, uint32_t producer)
{
    uint32_t slot = (uint32_t)stg__edge_hash(in, node, producer, 0) & (slots - 1);
    for (; table[slot]; slot = (slot + 1) & (slots - 1)) {
        const stg_gauge *g = &in->gauges.at[table[slot] - 1].now;
        if (g->node == node && g->producer == producer)
            break;
    }
    return slot;
}

static bool dead(const stg_ingest *in, const stg__producer *p)
{
    const uint64_t last = p->next.time_ns > p->now.time_ns ? p->next.time_ns : p->now.time_ns;
    return last < in->cur_start && in->cur_start - last > in->gauge_ttl_ns;
}

static void table_fill(stg_ingest *in, uint32_t *table, uint32_t slots)
{
    for (uint32_t i = 0; i < in->gauges.count; i++) {
        const stg_gauge *g = &in->gauges.at[i].now;
        table[slot_of(in, table, slots, g->node, g->producer)] = i + 1;
    }
}

/* Lets go of the dead, so that restarted producers need no new memory for ever. */
static void bury(stg_ingest *in)
{
    stg__gauges *g = &in->gauges;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->count; i++)
        if (!dead(in, &g->at[i]))
            g->at[kept++] = g->at[i];
    if (kept == g->count)
        return;
    g->count = kept;
    memset(g->table, 0, g->slots * sizeof *g->table);
    table_fill(in, g->table, g->slots);
}

static int32_t gauge_room(stg_ingest *in)
{
    stg__gauges *g = &in->gauges;
    if (g->count == g->cap)
        bury(in);
    if (g->count < g->cap)
        return STG_OK;
    if (g->cap >= g->max)
        return STG_E_LIMIT;
    const uint32_t cap = g->cap ? g->cap * 2 : 32;
    stg__producer *grown = (stg__producer *)stg__realloc(in->ctx, g->at, cap, sizeof *grown);
    if (!grown)
        return STG_E_NOMEM;
    g->at = grown; /* cap stays until the table has grown too */
    uint32_t *table = (uint32_t *)stg__calloc(in->ctx, (size_t)cap * 2, sizeof *table);
    if (!table)
        return STG_E_NOMEM;
    table_fill(in, table, cap * 2);
    stg__free(in->ctx, g->table);
    g->table = table;
    g->slots = cap * 2;
    g->cap = cap;
    return STG_OK;
}

static void keep_later(stg_gauge *to, const stg_gauge *from)
{
    if (from->time_ns >= to->time_ns)
        *to = *from;
}

int32_t stg__gauges_take(stg_ingest *in, const stg_gauge *gauge, bool next)
{
    stg__gauges *g = &in->gauges;
    uint32_t slot = 0;
    uint32_t place = STG__NONE;
    if (g->slots) {
        slot = slot_of(in, g->table, g->slots, gauge->node, gauge->producer);
        place = g->table[slot] - 1;
    }
    if (place == STG__NONE) {
        const int32_t status = gauge_room(in);
        if (status == STG_E_LIMIT) { /* more producers than anybody has: not counted */
            in->malformed++;
            return STG_OK;
        }
        STG_RETURN_IF_ERROR(status);
        slot = slot_of(in, g->table, g->slots, gauge->node, gauge->producer);
        place = g->count++;
        g->at[place] = (stg__producer){
            .now = {.node = gauge->node, .producer = gauge->producer},
            .next = {.node = gauge->node, .producer = gauge->producer},
        };
        g->table[slot] = place + 1;
    }
    keep_later(next ? &g->at[place].next : &g->at[place].now, gauge);
    in->gauge_count++;
    return STG_OK;
}

void stg__gauges_move(stg_ingest *in)
{
    for (uint32_t i = 0; i < in->gauges.count; i++) {
        stg__producer *p = &in->gauges.at[i];
        keep_later(&p->now, &p->next);
        p->next.time_ns = 0;
    }
}

void stg__gauges_free(stg_ingest *in)
{
    stg__free(in->ctx, in->gauges.at);
    stg__free(in->ctx, in->gauges.table);
}
