/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile graphs through session, detector and planner of a good model: ordinary windows, with nodes,
 * edges, columns and values of the input laid over them, jumps in time, masks, topologies that grow or
 * are exchanged. Every status is one that the headers name, and whatever comes out is sane.
 */
#include "fuzz_base.h"
#include "fuzz_line.h"

#define OVERLAY 24u /* values laid over the next windows */
#define BUDGET 24   /* windows of one input */
#define LONG 48     /* of some: the planner proposes replicas after 30 */

typedef struct overlay {
    uint32_t kind;
    uint32_t index;
    uint32_t column;
    double value;
} overlay;

typedef struct target {
    stg_ctx *ctx;
    base_world w;
    uint32_t nodes;
    uint32_t edges;
    uint64_t at;
    uint64_t off; /* ns that windows start late */
    uint64_t length; /* 0: as they should be */
    double factor;
    int budget;
    uint8_t mask; /* which nodes a host masks on its own account; 0: the report's */
    bool bare;    /* nothing but the overlay */
    overlay over[OVERLAY];
    uint32_t overs;
    const stg_model *model;
    stg_session *s;
    stg_detector *d;
    stg_planner *p;
    stg__events events;
    const stg_forecast *fc; /* made after the last window that went through */
} target;

static bool among(int32_t status, int32_t a, int32_t b)
{
    return status == STG_OK || status == STG_E_NOMEM || status == a || status == b;
}

static void order_node(target *t, fuzz_input *in)
{
    char name[FUZZ_NAME_ROOM] = {0};
    uint32_t index = 0;
    const size_t len = fuzz_name(in, name);
    if (stg_graph_builder_node(t->w.b, name, len, &index) == STG_OK && index >= t->nodes)
        t->nodes = index + 1;
}

static void order_edge(target *t, fuzz_input *in)
{
    char name[FUZZ_NAME_ROOM] = {0};
    uint32_t index = 0;
    const uint32_t src = fuzz_u8(in) % t->nodes;
    const uint32_t dst = fuzz_u8(in) % t->nodes;
    const size_t len = fuzz_name(in, name);
    if (stg_graph_builder_edge(t->w.b, src, dst, name, len, &index) == STG_OK && index >= t->edges)
        t->edges = index + 1;
}

static void order_value(target *t, fuzz_input *in)
{
    overlay *o = &t->over[t->overs++ % OVERLAY];
    o->kind = fuzz_u8(in) & 1;
    o->index = fuzz_u8(in) % (o->kind == STG_NODE ? t->nodes : t->edges);
    o->column =
        fuzz_u8(in) % (o->kind == STG_NODE ? BASE_NODE_COLUMNS : BASE_EDGE_COLUMNS);
    o->value = fuzz_value(in);
}

static void order_column(target *t, fuzz_input *in) /* of one column, all items of a kind */
{
    const uint8_t how = fuzz_u8(in);
    const uint32_t kind = how & 1;
    const uint32_t column = how / 2 % (kind == STG_NODE ? BASE_NODE_COLUMNS : BASE_EDGE_COLUMNS);
    const double value = fuzz_value(in);
    for (uint32_t i = 0; i < (kind == STG_NODE ? t->nodes : t->edges); i++)
        t->over[t->overs++ % OVERLAY] = (overlay){kind, i, column, value};
}

static void order_time(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    switch (how & 7) {
    case 0:
        t->at = fuzz_u64(in) % (UINT64_MAX / BASE_WINDOW - 1);
        break;
    case 1:
        t->at -= how >> 3;
        break;
    case 2:
        t->off = fuzz_u64(in) % BASE_WINDOW;
        break;
    case 3:
        t->length = fuzz_u64(in) >> how / 8;
        break;
    case 4:
        t->off = t->length = 0;
        break;
    default:
        t->at += how >> 3;
    }
}

static const stg_graph *make(target *t)
{
    const stg_graph *g = NULL;
    const uint64_t start = t->at * BASE_WINDOW + t->off;
    if (base_fill(&t->w, t->at, t->factor) != STG_OK)
        return NULL;
    if ((t->off || t->length || t->bare) && /* begins again, without anything in it */
        stg_graph_builder_begin(t->w.b, start, start + (t->length ? t->length : BASE_WINDOW)) != STG_OK)
        return NULL;
    for (uint32_t i = 0; i < t->overs && i < OVERLAY; i++) {
        const overlay *o = &t->over[i];
        FUZZ_CHECK(stg_graph_builder_set(t->w.b, o->kind, o->index, t->w.column[o->kind][o->column],
                                         o->value) == STG_OK);
    }
    FUZZ_CHECK(among(stg_graph_builder_finish(t->w.b, &g), STG_OK, STG_OK));
    return g;
}

/* Forecasts of nodes that have a past are known; called when the model saw the node in training. */
static void forecast_known(const target *t, const stg_forecast *fc, const stg_graph *g)
{
    const double *mean = stg_forecast_mean(fc, STG_NODE, "calls", 5, 0);
    const double *calls = stg_graph_column(g, STG_NODE, "calls", 5);
    FUZZ_CHECK(mean && calls);
    for (uint32_t i = 0; i < BASE_NODES; i++) {
        const uint32_t at = stg_graph_find(g, base_names[i], strlen(base_names[i]));
        if (!t->bare && at != UINT32_MAX && isfinite(calls[at]) && calls[at] >= 0)
            FUZZ_CHECK(!isnan(mean[at]));
    }
}

static void step(target *t, const stg_graph *g, const stg_report *report, const stg_forecast **next)
{
    uint8_t own[64];
    stg_report_info info = {.size = sizeof info};
    if (report)
        FUZZ_CHECK(stg_report_get_info(report, &info) == STG_OK);
    for (uint32_t i = 0; i < sizeof own; i++)
        own[i] = t->mask >> i % 8 & 1;
    const uint8_t *mask = t->mask == 255 ? NULL : t->mask ? own : info.mask;
    const int32_t status = stg_session_step(t->s, g, mask);
    FUZZ_CHECK(among(status, STG_E_TIME, STG_E_MISMATCH));
    if (status != STG_OK)
        return;
    const int32_t made = stg_session_forecast(t->s, 1 + t->mask % 3, next);
    FUZZ_CHECK(made == STG_OK || made == STG_E_NOMEM);
    if (!*next)
        return;
    line_forecast(*next);
    if (mask == NULL)
        forecast_known(t, *next, g);
}

static void window(target *t)
{
    const stg_graph *g = make(t);
    const stg_report *report = NULL;
    const stg_forecast *next = NULL;
    const stg_plan *plan = NULL;
    t->at++;
    if (!g)
        return;
    const int32_t status = stg_detector_score(t->d, g, t->fc, &report);
    FUZZ_CHECK(among(status, STG_E_TIME, STG_E_MISMATCH) && (report != NULL) == (status == STG_OK));
    if (status == STG_E_MISMATCH && t->fc) { /* the forecast is of other windows: without it */
        const int32_t again = stg_detector_score(t->d, g, NULL, &report);
        FUZZ_CHECK(among(again, STG_E_TIME, STG_E_MISMATCH));
    }
    if (report)
        line_report(report, g);
    step(t, g, report, &next);
    if (report) {
        const int32_t planned = stg_planner_plan(t->p, g, report, next, &plan);
        FUZZ_CHECK(among(planned, STG_E_TIME, STG_E_MISMATCH) && (plan != NULL) == (planned == STG_OK));
        if (plan)
            line_plan(plan, g);
        line_events(&t->events, report, plan);
    }
    if (next || !t->fc) {
        stg_unref(t->fc);
        t->fc = (const stg_forecast *)stg_ref(next);
    }
    stg_unref(next);
    stg_unref(plan);
    stg_unref(report);
    stg_unref(g);
}

static void order_windows(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    t->factor = how & 16 ? 1 << how / 32 : 1;
    for (int n = 1 + how % 16; n > 0 && t->budget > 0; n--, t->budget--)
        window(t);
}

static void order_how(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    t->bare = how & 1;
    if (how & 2)
        t->overs = 0;
    if (how & 4)
        t->mask = fuzz_u8(in);
    if (how & 8) {
        stg_unref(t->fc);
        t->fc = NULL;
    }
}

/* Hostile windows as what is normal: learnt, fitted, stored. */
static void order_learn(target *t, fuzz_input *in)
{
    stg_error err;
    stg_bundle *bundle = NULL;
    const uint8_t how = fuzz_u8(in);
    for (int n = how; n > 0 && t->budget > 0; n--) {
        const stg_graph *g = make(t);
        t->at++;
        t->budget -= n % 3 == 0; /* cheaper than the others */
        if (!g)
            continue;
        FUZZ_CHECK(among(stg_detector_learn(t->d, g, NULL), STG_E_TIME, STG_E_MISMATCH));
        stg_unref(g);
    }
    FUZZ_CHECK(among(stg_detector_fit(t->d, &err), STG_E_STATE, STG_E_STATE));
    FUZZ_CHECK(stg_bundle_open(&bundle, t->ctx, NULL, &err) == STG_OK);
    FUZZ_CHECK(stg_detector_store(t->d, bundle) == STG_OK);
    stg_detector *again = NULL; /* what was stored can be read */
    FUZZ_CHECK(stg_detector_create(&again, t->ctx, bundle, NULL, &err) == STG_OK);
    stg_detector_destroy(t->d);
    t->d = again;
    stg_bundle_destroy(bundle);
}

static void open_rooms(target *t, uint8_t how)
{
    const base_file *f = base_bundle(how % BASE_KINDS);
    stg_bundle *bundle = NULL;
    stg_error err;
    FUZZ_CHECK(stg_bundle_parse(&bundle, t->ctx, f->bytes, f->len, &err) == STG_OK);
    FUZZ_CHECK(stg_model_load(&t->model, bundle, &err) == STG_OK);
    FUZZ_CHECK(stg_session_create(&t->s, t->ctx, t->model, NULL) == STG_OK);
    FUZZ_CHECK(stg_detector_create(&t->d, t->ctx, how & 128 ? NULL : bundle, NULL, &err) == STG_OK);
    FUZZ_CHECK(stg_planner_create(&t->p, t->ctx, NULL) == STG_OK);
    FUZZ_CHECK(base_open(&t->w, t->ctx, how) == STG_OK);
    stg__events_init(&t->events, t->ctx, 64);
    stg_bundle_destroy(bundle);
    t->nodes = BASE_NODES;
    t->edges = BASE_EDGES;
    t->at = BASE_FIRST;
    t->factor = 1;
    t->budget = how & 64 ? LONG : BUDGET;
}

static void close_rooms(target *t)
{
    stg_unref(t->fc);
    stg__events_fini(&t->events);
    stg_graph_builder_destroy(t->w.b);
    stg_planner_destroy(t->p);
    stg_detector_destroy(t->d);
    stg_session_destroy(t->s);
    stg_unref(t->model);
}

static void run(stg_ctx *ctx, fuzz_input in)
{
    static void (*const orders[])(target *, fuzz_input *) = {
        order_windows, order_node, order_edge, order_value, order_value, order_column,
        order_time,    order_how,  order_learn, order_windows,
    };
    target t = {.ctx = ctx};
    open_rooms(&t, fuzz_u8(&in));
    for (int n = 0; in.left && n < 200 && t.budget > 0; n++)
        orders[fuzz_u8(&in) % (sizeof orders / sizeof *orders)](&t, &in);
    t.bare = false;
    t.off = t.length = 0;
    t.overs = 0;
    for (int n = 0; n < 3; n++) /* and after all that, ordinary windows */
        window(&t);
    close_rooms(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    run(ctx, (fuzz_input){data, size});
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
    return 0;
}
