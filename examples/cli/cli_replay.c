/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays recorded calls and gauges in the order of their time: pushes them on a lane and calls back
 * at the end of every window. On a live standard input silence ends windows too, by the clock.
 */
#include <time.h>

#include "cli.h"

#define PUSHES_BETWEEN_POLLS 8192

typedef struct merge {
    cli_replay *r;
    stg_lane *lane;
    cli_source *source[2]; /* calls, gauges: the file of each that is open */
    int next_file[2];
    uint64_t window_end; /* of the open window; 0: no record yet */
    uint64_t last;       /* time of the last record */
    bool cut;            /* the open window began before the records did */
    unsigned pushes;
} merge;

/* Opens the next file of a kind: 1 open, 0 none left, -1 failed. */
static int next_source(merge *m, int kind)
{
    const cli_files *files = kind == 0 ? m->r->calls : m->r->gauges;
    if (m->source[kind]) {
        m->r->bad_lines += cli_source_bad_lines(m->source[kind]);
        cli_source_close(m->source[kind]);
        m->source[kind] = NULL;
    }
    if (!files || m->next_file[kind] == files->count)
        return 0;
    m->source[kind] = cli_source_open(files->name[m->next_file[kind]++], m->r->ctx, m->lane);
    if (!m->source[kind])
        return -1;
    cli_source_wait_by(m->source[kind], m->r->wait, m->r->user);
    return 1;
}

/* Looks at the next record of a kind, over the ends of files: 1, 0 the end, -1 not now, -2 failed. */
static int peek(merge *m, int kind, stg_record *record, int timeout_ms)
{
    for (;;) {
        if (!m->source[kind]) {
            const int opened = next_source(m, kind);
            if (opened <= 0)
                return opened == 0 ? 0 : -2;
        }
        const int got = cli_source_peek(m->source[kind], record, timeout_ms);
        if (got != 0)
            return got;
        const int opened = next_source(m, kind);
        if (opened <= 0)
            return opened == 0 ? 0 : -2;
    }
}

static int close_until(merge *m, uint64_t now)
{
    while (m->window_end && now >= m->window_end + m->r->grace_ns) {
        int code = CLI_OK;
        int32_t status = STG_OK;
        if (!m->cut)
            code = m->r->window(m->window_end, m->r->user);
        else
            status = stg_ingest_close(m->r->ingest, m->window_end, NULL);
        if (status < 0 && status != STG_E_TIME) /* closed by an earlier run that this one goes on from */
            code = cli_fail("out of memory");
        if (code)
            return code;
        m->cut = false;
        m->window_end += m->r->window_ns;
    }
    return CLI_OK;
}

static int push(merge *m, const stg_record *record)
{
    const uint64_t t = cli_record_time(record);
    const uint64_t w = m->r->window_ns;
    if (m->window_end == 0) {
        m->window_end = t / w * w + w;
        m->cut = !m->r->partial && t % w > w / 10;
    }
    m->last = t;
    /* A long silence is a gap, not thousands of empty windows. */
    if (t > m->window_end + 1000 * w) {
        const int code = close_until(m, m->window_end + m->r->grace_ns);
        if (code)
            return code;
        m->window_end = t / w * w + w;
    }
    const int code = close_until(m, t);
    if (code)
        return code;
    if (record->kind == STG_RECORD_CALL) {
        stg_lane_push(m->lane, &record->u.call, 1);
        m->r->records++;
    } else {
        stg_lane_gauge(m->lane, &record->u.gauge);
    }
    if (++m->pushes % PUSHES_BETWEEN_POLLS == 0)
        return stg_ingest_poll(m->r->ingest) < 0 ? cli_fail("out of memory") : CLI_OK;
    return CLI_OK;
}

static uint64_t wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One record, the earlier of both kinds: 1 pushed, 0 the end, else the exit code below 0. */
static int one(merge *m)
{
    stg_record record[2];
    int got[2];
    for (int kind = 0; kind < 2; kind++) {
        /* Gauges beside a live stream of calls must not hold it up. */
        got[kind] = peek(m, kind, &record[kind], 200);
        if (got[kind] == -2)
            return -CLI_FAILED;
    }
    if (m->r->bad_lines + (m->source[0] ? cli_source_bad_lines(m->source[0]) : 0) > m->r->max_bad)
        return -cli_fail("too many bad lines");
    int pick = -1;
    for (int kind = 0; kind < 2; kind++)
        if (got[kind] == 1 &&
            (pick < 0 || cli_record_time(&record[kind]) < cli_record_time(&record[pick])))
            pick = kind;
    if (pick < 0) {
        if (got[0] == 0 && got[1] == 0)
            return 0;
        const int code = close_until(m, wall_clock()); /* live and silent */
        return code ? -code : 1;
    }
    const int code = push(m, &record[pick]);
    if (code)
        return -code;
    cli_source_take(m->source[pick]);
    return 1;
}

int cli_replay_run(cli_replay *r)
{
    merge m = {.r = r};
    const stg_lane_opts opts = {.size = sizeof opts, .names = 65536};
    if (stg_lane_open(&m.lane, r->ingest, &opts) != STG_OK)
        return cli_fail("out of memory");
    int state = 1;
    while (state > 0)
        state = one(&m);
    if (state == 0 && m.window_end && (r->partial || m.last >= m.window_end - r->window_ns / 20))
        state = -r->window(m.window_end, r->user);
    for (int kind = 0; kind < 2; kind++) {
        if (m.source[kind])
            r->bad_lines += cli_source_bad_lines(m.source[kind]);
        cli_source_close(m.source[kind]);
    }
    stg_lane_close(m.lane);
    if (state < 0)
        return -state;
    if (r->records == 0)
        return cli_fail("no calls in the input");
    return CLI_OK;
}
