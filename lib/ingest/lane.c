/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's end of a lane: calls, gauges and names become slots of the ring. A push copies into
 * slots that the reader cannot see yet and then releases the tail; a writer that dies or stops in
 * between leaves nothing behind. It keeps its own copy of every size and counter and reads from the
 * shared page only the reader's head, which it checks.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring_priv.h"

struct stg_lane {
    stg__slot *slots;
    uint64_t mask;
    uint64_t tail;      /* of this end; the page's copy is for the reader */
    uint64_t head_seen; /* the reader's head when last looked at */
    const volatile uint32_t *alive; /* reads 0 in a child process */
    stg__lane_page *page;
    uint64_t refused;
    uint64_t key[2];
    stg_ctx *ctx;
    stg__names *names[2]; /* of STG_NODE, STG_ROUTE: id is the place */
    uint32_t names_max;
    uint32_t records;
    bool mapped;
};

static bool lane_forked(const stg_lane *lane)
{
    return lane->alive && *lane->alive == 0;
}

/* A page that the kernel empties in children: lanes may be attached with an inherited context, so
 * that the context's own page would not tell. NULL: cannot tell. */
static const volatile uint32_t *alive_page(void)
{
    void *page = mmap(NULL, STG__LANE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, STG__LANE_PAGE, MADV_WIPEONFORK) != 0) {
        munmap(page, STG__LANE_PAGE);
        return NULL;
    }
    *(uint32_t *)page = 1;
    return (const volatile uint32_t *)page;
}

static void lane_free(stg_lane *lane)
{
    stg_ctx *ctx = lane->ctx;
    stg__names_destroy(lane->names[STG_NODE]);
    stg__names_destroy(lane->names[1]);
    if (lane->mapped) {
        munmap(lane->page, stg__lane_bytes(lane->records));
        if (lane->alive)
            munmap((void *)(uintptr_t)lane->alive, STG__LANE_PAGE);
    }
    stg__free_aligned(ctx, lane);
    stg__ctx_unref(ctx);
}

static int32_t lane_names(stg_lane *lane, uint32_t limit)
{
    uint32_t id;
    for (uint32_t i = 0; i < 2; i++)
        STG_RETURN_IF_ERROR(stg__names_create(&lane->names[i], lane->ctx, limit + 1));
    STG_RETURN_IF_ERROR(
        stg__names_add(lane->names[0], "external", sizeof "external" - 1, &id));
    return stg__names_add(lane->names[1], "", 0, &id);
}

int32_t stg__lane_new(stg_lane **out, stg_ctx *ctx, stg__lane_page *page, uint32_t records,
                      uint32_t names, bool mapped)
{
    stg_lane *lane = (stg_lane *)stg__alloc_aligned(ctx, 1, sizeof *lane);
    if (!lane)
        return STG_E_NOMEM;
    lane->ctx = stg__ctx_ref(ctx);
    lane->page = page;
    lane->slots = (stg__slot *)(page + 1);
    lane->records = records;
    lane->mask = records - 1;
    lane->names_max = names;
    memcpy(lane->key, page->sketch_key, sizeof lane->key);
    const int32_t status = lane_names(lane, names);
    if (status != STG_OK) {
        lane_free(lane);
        return status;
    }
    lane->mapped = mapped;
    lane->alive = mapped ? alive_page() : ctx->alive;
    *out = lane;
    return STG_OK;
}

int32_t stg_lane_attach(stg_lane **out, stg_ctx *ctx, int fd)
{
    if (!out || !ctx)
        return STG_E_INVALID;
    *out = NULL;
    stg__lane_page *page;
    uint32_t records;
    uint32_t names;
    STG_RETURN_IF_ERROR(stg__lane_map(fd, &page, &records, &names));
    int32_t status = STG_E_STATE;
    stg_lane *lane = NULL;
    if (atomic_load_explicit(&page->claim, memory_order_relaxed) == 0)
        status = stg__lane_new(&lane, ctx, page, records, names, true);
    /* The claim comes last: a claim that fails for want of memory can be tried again. */
    if (status == STG_OK && atomic_exchange_explicit(&page->claim, 1, memory_order_acq_rel) != 0) {
        lane_free(lane);
        return STG_E_STATE;
    }
    if (status != STG_OK)
        munmap(page, stg__lane_bytes(records));
    else
        *out = lane;
    return status;
}

void stg_lane_close(stg_lane *lane)
{
    if (!lane)
        return;
    /* With this the memory of an in-process lane is the reader's to free. */
    if (!lane_forked(lane))
        atomic_store_explicit(&lane->page->closed, 1, memory_order_release);
    lane_free(lane);
}

/* --- ring ------------------------------------------------------------------------------------- */

static uint64_t room_of(stg_lane *lane, uint64_t need)
{
    uint64_t used = lane->tail - lane->head_seen;
    if (lane->records - used >= need)
        return lane->records - used;
    const uint64_t head = atomic_load_explicit(&lane->page->head, memory_order_acquire);
    used = lane->tail - head;
    if (used > lane->records) /* nonsense: nothing may be overwritten */
        return lane->records - (lane->tail - lane->head_seen);
    lane->head_seen = head;
    return lane->records - used;
}

static void publish(stg_lane *lane, uint64_t slots)
{
    lane->tail += slots;
    atomic_store_explicit(&lane->page->tail, lane->tail, memory_order_release);
}

size_t stg_lane_push(stg_lane *lane, const stg_call *calls, size_t n)
{
    if (!lane || !calls || lane_forked(lane))
        return 0;
    const uint64_t room = room_of(lane, n);
    const size_t take = n <= room ? n : (size_t)room;
    for (size_t i = 0; i < take; i++) {
        stg__slot *slot = &lane->slots[(lane->tail + i) & lane->mask];
        memcpy(slot, &calls[i], sizeof *slot);
        slot->bytes[63] = STG__SLOT_CALL;
    }
    if (take)
        publish(lane, take);
    if (take < n) {
        lane->refused += n - take;
        atomic_store_explicit(&lane->page->refused, lane->refused, memory_order_relaxed);
    }
    return take;
}

int32_t stg_lane_gauge(stg_lane *lane, const stg_gauge *gauge)
{
    if (!lane || !gauge)
        return STG_E_INVALID;
    if (lane_forked(lane))
        return STG_E_FORK;
    if (room_of(lane, 1) < 1)
        return STG_AGAIN;
    stg__slot *slot = &lane->slots[lane->tail & lane->mask];
    memcpy(slot, gauge, sizeof *slot);
    slot->bytes[63] = STG__SLOT_GAUGE;
    publish(lane, 1);
    return STG_OK;
}

void stg_lane_beat(stg_lane *lane, uint64_t now_ns)
{
    if (lane && !lane_forked(lane))
        atomic_store_explicit(&lane->page->beat_ns, now_ns, memory_order_relaxed);
}

static void write_name(stg_lane *lane, uint32_t kind, uint32_t id, const char *name, size_t len)
{
    stg__slot slot = {.name = {.kind = kind, .id = id, .len = (uint32_t)len, .is = STG__SLOT_NAME}};
    size_t done = len < sizeof slot.name.text ? len : sizeof slot.name.text;
    memcpy(slot.name.text, name, done);
    memcpy(&lane->slots[lane->tail & lane->mask], &slot, sizeof slot);
    const uint32_t slots = stg__name_slots(len);
    for (uint32_t i = 1; i < slots; i++) {
        const size_t part = len - done < sizeof slot.more.text ? len - done : sizeof slot.more.text;
        memset(&slot, 0, sizeof slot);
        memcpy(slot.more.text, name + done, part);
        slot.more.is = STG__SLOT_MORE;
        memcpy(&lane->slots[(lane->tail + i) & lane->mask], &slot, sizeof slot);
        done += part;
    }
    publish(lane, slots); /* all of it at once */
}

int32_t stg_lane_intern(stg_lane *lane, uint32_t kind, const char *name, size_t len, uint32_t *id)
{
    if (!lane || !name || !id || (kind != STG_NODE && kind != STG_ROUTE) || len == 0 ||
        len > STG_NAME_MAX)
        return STG_E_INVALID;
    if (lane_forked(lane))
        return STG_E_FORK;
    stg__names *names = lane->names[kind == STG_ROUTE];
    *id = stg__names_find(names, name, len);
    if (*id != UINT32_MAX)
        return STG_OK;
    *id = 0;
    if (stg__names_count(lane->names[0]) + stg__names_count(lane->names[1]) - 2 >= lane->names_max)
        return STG_E_LIMIT;
    if (room_of(lane, stg__name_slots(len)) < stg__name_slots(len))
        return STG_AGAIN;
    STG_RETURN_IF_ERROR(stg__names_add(names, name, len, id));
    write_name(lane, kind, *id, name, len);
    return STG_OK;
}

uint64_t stg_lane_hash(const stg_lane *lane, const void *data, size_t len)
{
    if (!lane || (!data && len))
        return 1;
    const uint64_t hash = stg__siphash(lane->key, data, len);
    return (uint32_t)hash ? hash : hash | 1; /* the lower half alone is never 0 either */
}
