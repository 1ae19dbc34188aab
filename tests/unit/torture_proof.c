/* SPDX-License-Identifier: Apache-2.0 */
/* What objects say of themselves, as bytes: two runs that gave the same are equal here. */
#include "torture.h"

void prove_bytes(proof *p, const void *bytes, size_t len)
{
    if (p->len + len > p->cap) {
        p->cap = 2 * (p->len + len) + 4096;
        p->bytes = (char *)realloc(p->bytes, p->cap);
        SURE(p->bytes);
    }
    if (len)
        memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

void prove_number(proof *p, double x)
{
    prove_bytes(p, &x, sizeof x);
}

void prove_text(proof *p, const char *text)
{
    prove_bytes(p, text, strlen(text) + 1);
}

static void prove_column(proof *p, const stg_graph *g, uint32_t kind, uint32_t index, uint32_t n)
{
    size_t len;
    const char *name = stg_graph_name(g, kind ? STG_EDGE_COLUMN : STG_NODE_COLUMN, index, &len);
    SURE(name);
    const double *column = stg_graph_column(g, kind, name, len);
    SURE(column);
    prove_text(p, name);
    prove_bytes(p, column, n * sizeof *column);
}

void prove_graph(proof *p, const stg_graph *g)
{
    stg_graph_info i = {.size = sizeof i};
    stg_edges e = {.size = sizeof e};
    OK(stg_graph_get_info(g, &i));
    OK(stg_graph_get_edges(g, &e));
    i.topology = 0; /* numbered anew in every run */
    prove_bytes(p, &i, sizeof i);
    for (uint32_t n = 0; n < i.nodes; n++)
        prove_text(p, stg_graph_name(g, STG_NODE, n, NULL));
    for (uint32_t r = 0; r < i.routes; r++)
        prove_text(p, stg_graph_name(g, STG_ROUTE, r, NULL));
    prove_bytes(p, e.src, i.edges * sizeof *e.src);
    prove_bytes(p, e.dst, i.edges * sizeof *e.dst);
    prove_bytes(p, e.route, i.edges * sizeof *e.route);
    prove_bytes(p, e.in_edge, i.edges * sizeof *e.in_edge);
    for (uint32_t c = 0; c < i.node_columns; c++)
        prove_column(p, g, STG_NODE, c, i.nodes);
    for (uint32_t c = 0; c < i.edge_columns; c++)
        prove_column(p, g, STG_EDGE, c, i.edges);
}

void prove_forecast(proof *p, const stg_forecast *f)
{
    static const char *const column[] = {"calls", "errors", "mean_us"};
    stg_forecast_info i = {.size = sizeof i};
    OK(stg_forecast_get_info(f, &i));
    i.topology = 0; /* numbered anew in every run */
    prove_bytes(p, &i, sizeof i);
    for (uint32_t step = 0; step < i.horizon; step++) {
        for (size_t c = 0; c < 3; c++) {
            const double *mean = stg_forecast_mean(f, STG_NODE, column[c], strlen(column[c]), step);
            prove_number(p, mean != NULL);
            prove_bytes(p, mean, mean ? i.nodes * sizeof *mean : 0);
        }
        const double *mean = stg_forecast_mean(f, STG_EDGE, "calls", 5, step);
        prove_bytes(p, mean, mean ? i.edges * sizeof *mean : 0);
    }
}

static void prove_item(proof *p, const stg_item *item)
{
    const char *const text[] = {item->node, item->src, item->dst, item->route, item->column};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        prove_text(p, text[i]);
    prove_number(p, item->observed);
    prove_number(p, item->expected);
    prove_number(p, item->value);
}

void prove_report(proof *p, const stg_report *r)
{
    stg_report_info info = {.size = sizeof info};
    stg_incident_info inc = {.size = sizeof inc};
    stg_item item = {.size = sizeof item};
    OK(stg_report_get_info(r, &info));
    prove_bytes(p, info.mask, info.nodes);
    info.mask = NULL;
    prove_bytes(p, &info, sizeof info);
    for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++) {
        prove_text(p, inc.class_name);
        prove_text(p, inc.technique);
        prove_text(p, inc.text);
        inc.class_name = inc.technique = inc.text = NULL;
        prove_bytes(p, &inc, sizeof inc);
        for (uint32_t part = STG_ITEM_NODE; part <= STG_ITEM_EVIDENCE; part++)
            for (uint32_t k = 0; stg_report_item(r, i, part, k, &item) == STG_OK; k++)
                prove_item(p, &item);
    }
}

void prove_plan(proof *p, const stg_plan *plan)
{
    stg_action a = {.size = sizeof a};
    prove_number(p, stg_plan_actions(plan));
    for (uint32_t i = 0; stg_plan_action(plan, i, &a) == STG_OK; i++) {
        const char *const text[] = {a.verb, a.node, a.src, a.route, a.reason};
        for (size_t k = 0; k < sizeof text / sizeof *text; k++)
            prove_text(p, text[k]);
        a.verb = a.node = a.src = a.route = a.reason = NULL;
        prove_bytes(p, &a, sizeof a);
    }
}

void prove_bundle(proof *p, const stg_bundle *b)
{
    size_t len = 0;
    SURE(stg_bundle_serialize(b, NULL, 0, &len) == STG_MORE);
    char *bytes = (char *)malloc(len);
    SURE(bytes);
    OK(stg_bundle_serialize(b, bytes, len, &len));
    prove_bytes(p, bytes, len);
    free(bytes);
}

void prove_stats(proof *p, const stg_ingest *in)
{
    stg_ingest_stats st = {.size = sizeof st};
    OK(stg_ingest_get_stats(in, &st));
    SURE(st.pushed == st.windowed + st.late + st.refused + st.waiting);
    prove_bytes(p, &st, sizeof st);
}

void prove_model(proof *p, const stg_model *model)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b = NULL;
    OK(stg_bundle_open(&b, ctx, NULL, NULL));
    OK(stg_model_store(model, b));
    prove_bundle(p, b);
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}

void prove_detector(proof *p, const stg_detector *det)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b = NULL;
    OK(stg_bundle_open(&b, ctx, NULL, NULL));
    OK(stg_detector_store(det, b));
    prove_bundle(p, b);
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}

void prove_state(proof *p, stg_ctx *ctx, const void *object)
{
    stg_bundle *b;
    OK(stg_bundle_open(&b, ctx, NULL, NULL));
    OK(stg_state_save(object, b, NULL));
    prove_bundle(p, b);
    stg_bundle_destroy(b);
}
