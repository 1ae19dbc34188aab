/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports: what the detector knows after a window, copied into an immutable object from a pool. All
 * texts stand in one buffer of the report, so that it outlives the detector and asks for no memory
 * once its buffers have grown.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

typedef struct report_item {
    uint32_t node; /* offsets of texts */
    uint32_t src;
    uint32_t dst;
    uint32_t route;
    uint32_t column;
    double observed;
    double expected;
    double value;
} report_item;

typedef struct report_incident {
    stg_incident_info info; /* its texts are set when it is read */
    uint32_t text;
    uint32_t first[4]; /* items by part */
} report_incident;

struct stg_report {
    stg__object object;
    stg_report_info info;
    uint8_t *mask;
    uint32_t mask_cap;
    report_incident *incident;
    uint32_t incident_cap;
    report_item *item;
    uint32_t items;
    uint32_t item_cap;
    char *text; /* offset 0 is "" */
    uint32_t text_len;
    uint32_t text_cap;
};

static void report_fini(stg_ctx *ctx, stg__object *o)
{
    stg_report *r = (stg_report *)o;
    stg__free(ctx, r->mask);
    stg__free(ctx, r->incident);
    stg__free(ctx, r->item);
    stg__free(ctx, r->text);
}

int32_t stg__reports_create(stg_detector *d)
{
    static const stg__pool_type type = {
        .size = sizeof(stg_report), .kind = STG__KIND_REPORT, .fini = report_fini};
    return stg__pool_create(&d->reports, d->ctx, &type, d->opts.reports);
}

static int32_t room(stg_ctx *ctx, void *array, uint32_t *cap, uint32_t need, size_t item)
{
    void **at = (void **)array;
    if (need <= *cap)
        return STG_OK;
    const uint32_t more = need < *cap * 2 ? *cap * 2 : need;
    void *block = stg__realloc(ctx, *at, more, item);
    if (!block)
        return STG_E_NOMEM;
    *at = block;
    *cap = more;
    return STG_OK;
}

static uint32_t put_text(stg_report *r, const char *text)
{
    const size_t len = text ? strlen(text) : 0;
    if (len == 0 || r->text_len + len + 1 > r->text_cap)
        return 0;
    const uint32_t at = r->text_len;
    memcpy(r->text + at, text, len + 1);
    r->text_len += (uint32_t)len + 1;
    return at;
}

/* A NUL in a name stands as the control character "substitute": a name cut there could be another's,
 * and what is proposed against it would hit that. */
static uint32_t put_name(const stg_detector *d, stg_report *r, uint32_t id)
{
    size_t len = 0;
    const char *name = stg__names_get(d->names, id, &len);
    if (!name || len == 0 || r->text_len + len + 1 > r->text_cap)
        return 0;
    const uint32_t at = r->text_len;
    for (size_t i = 0; i < len; i++)
        r->text[at + i] = name[i] ? name[i] : 0x1a;
    r->text[at + len] = '\0';
    r->text_len += (uint32_t)len + 1;
    return at;
}

static size_t name_size(const stg_detector *d, uint32_t id)
{
    size_t len = 0;
    stg__names_get(d->names, id, &len);
    return len + 1;
}

static size_t entity_size(const stg_detector *d, bool is_edge, uint32_t index)
{
    if (!is_edge)
        return name_size(d, d->node_name[index]);
    const stg__edge_id *e = &d->edge[index];
    return name_size(d, d->node_name[e->src]) + name_size(d, d->node_name[e->dst]) +
           name_size(d, e->route);
}

#define SENTENCE 1024

/* Bytes of text and items that the incidents at hand need at most. */
static void measure(const stg_detector *d, uint32_t *incidents, uint32_t *items, size_t *bytes)
{
    *incidents = *items = 0;
    *bytes = 1;
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        const stg__incident *inc = &d->incident[i];
        if (!inc->state)
            continue;
        ++*incidents;
        *items += inc->members + inc->causes + inc->evidences;
        *bytes += SENTENCE;
        for (uint32_t k = 0; k < inc->members; k++)
            *bytes += entity_size(d, inc->member[k].is_edge, inc->member[k].index);
        for (uint32_t k = 0; k < inc->causes; k++)
            *bytes += entity_size(d, inc->cause[k].is_edge, inc->cause[k].index);
        for (uint32_t k = 0; k < inc->evidences; k++)
            *bytes += entity_size(d, inc->evidence[k].is_edge, inc->evidence[k].index) + 32;
    }
}

static report_item *put_item(const stg_detector *d, stg_report *r, bool is_edge, uint32_t index)
{
    report_item *it = &r->item[r->items++];
    memset(it, 0, sizeof *it);
    it->observed = it->expected = NAN;
    if (is_edge) {
        it->src = put_name(d, r, d->node_name[d->edge[index].src]);
        it->dst = put_name(d, r, d->node_name[d->edge[index].dst]);
        it->route = put_name(d, r, d->edge[index].route);
    } else {
        it->node = put_name(d, r, d->node_name[index]);
    }
    return it;
}

static const char *column_of(bool is_edge, uint32_t kind)
{
    return is_edge && kind == E_SHARE ? "calls" : stg__kind_of(is_edge, kind)->name;
}

static void put_items(const stg_detector *d, stg_report *r, report_incident *ri,
                      const stg__incident *inc)
{
    for (uint32_t part = STG_ITEM_NODE; part <= STG_ITEM_EDGE; part++) {
        ri->first[part] = r->items;
        for (uint32_t i = 0; i < inc->members; i++)
            if (inc->member[i].is_edge == part)
                put_item(d, r, part == STG_ITEM_EDGE, inc->member[i].index)->value =
                    (double)inc->member[i].evidence;
    }
    ri->info.nodes = ri->first[STG_ITEM_EDGE] - ri->first[STG_ITEM_NODE];
    ri->info.edges = r->items - ri->first[STG_ITEM_EDGE];
    ri->first[STG_ITEM_CAUSE] = r->items;
    ri->info.causes = inc->causes;
    for (uint32_t i = 0; i < inc->causes; i++)
        put_item(d, r, inc->cause[i].is_edge, inc->cause[i].index)->value =
            (double)inc->cause[i].score;
    ri->first[STG_ITEM_EVIDENCE] = r->items;
    ri->info.evidence = inc->evidences;
    for (uint32_t i = 0; i < inc->evidences; i++) {
        const stg__evidence *ev = &inc->evidence[i];
        report_item *it = put_item(d, r, ev->is_edge, ev->index);
        it->column = put_text(r, column_of(ev->is_edge, ev->kind));
        it->observed = (double)ev->observed;
        it->expected = (double)ev->expected;
        it->value = (double)ev->value;
    }
}

static void say_edge(stg__text *t, const stg_detector *d, uint32_t e)
{
    stg__text_str(t, stg__node_text(d, d->edge[e].src));
    if (stg__route_text(d, e)[0]) {
        stg__text_str(t, " ");
        stg__text_str(t, stg__route_text(d, e));
    }
}

static void say_ratio(stg__text *t, const stg__stream *s)
{
    const double ratio = (double)s->observed / fmax((double)s->expected, 0.1);
    stg__text_num(t, ratio < 10 ? floor(ratio * 10 + 0.5) / 10 : floor(ratio + 0.5), 6);
    stg__text_str(t, "x ");
}

static void say_count(stg__text *t, const stg__stream *s, const char *what)
{
    if (!s->active || !(s->smooth > 1.5f) || !(s->observed >= 1))
        return;
    stg__text_str(t, ", ");
    stg__text_num(t, (double)s->observed, 6);
    stg__text_str(t, what);
    stg__text_num(t, floor((double)s->expected * 10 + 0.5) / 10, 6);
    stg__text_str(t, ")");
}

static void say_flow(stg__text *t, const stg_detector *d, const stg__incident *inc)
{
    const uint32_t e = inc->target_edge;
    const stg__stream *s = stg__edge_stream(d, e, E_SHARE);
    if (!(s->expected > 0))
        s = stg__edge_stream(d, e, E_RATE);
    stg__text_str(t, stg__node_text(d, d->edge[e].dst));
    stg__text_str(t, " receives ");
    if (s->expected > 0 && s->observed >= 0)
        say_ratio(t, s);
    stg__text_str(t, "its usual calls from ");
    say_edge(t, d, e);
    say_count(t, stg__edge_stream(d, e, E_NEW_GROUP), " from new networks (usual ");
    say_count(t, stg__edge_stream(d, e, E_LOGIN_FAILURES), " failed logins (usual ");
    say_count(t, stg__edge_stream(d, e, E_INJECTIONS), " with hostile payloads (usual ");
    say_count(t, stg__edge_stream(d, e, E_TOP_CLIENT), " by one client (usual ");
}

static void say_hold(stg__text *t, const stg_detector *d, uint32_t i)
{
    const stg__stream *open = stg__node_stream(d, i, N_OPEN);
    const stg__stream *wait = stg__node_stream(d, i, N_WAITING);
    stg__text_str(t, "connections pile up at ");
    stg__text_str(t, stg__node_text(d, i));
    if (open->observed >= 0) {
        stg__text_str(t, ": ");
        stg__text_num(t, (double)open->observed, 6);
        stg__text_str(t, " open (usual ");
        stg__text_num(t, floor((double)open->expected + 0.5), 6);
        stg__text_str(t, ")");
    }
    say_count(t, wait, " with unfinished headers (usual ");
    const stg__stream *busy = stg__node_stream(d, i, N_BUSY);
    say_count(t, busy, " at work (usual ");
}

static void say_failure(stg__text *t, const stg_detector *d, const stg__incident *inc)
{
    const stg__stream *own = stg__node_stream(d, inc->target_node, N_EXCLUSIVE);
    stg__text_str(t, stg__node_text(d, inc->target_node));
    stg__text_str(t, " is slow or failing");
    if (own->active && own->smooth > 1 && own->expected > 0) {
        stg__text_str(t, ": ");
        say_ratio(t, own);
        stg__text_str(t, "its usual own time");
    }
    if (inc->target_edge != UINT32_MAX) {
        const stg__stream *err = stg__edge_stream(d, inc->target_edge, E_ERRORS);
        say_count(t, err, " errors (usual ");
    }
}

static void say_crowd(stg__text *t, const stg_detector *d)
{
    const stg__stream *all = stg__node_stream(d, 0, N_RATE);
    stg__text_str(t, "all entrances together receive ");
    if (all->expected > 0)
        say_ratio(t, all);
    stg__text_str(t, "the expected calls in the usual mix");
}

static void say(const stg_detector *d, const stg__incident *inc, char *buf)
{
    stg__text t;
    size_t len;
    stg__text_init(&t, buf, SENTENCE);
    if (inc->class_id == STG_CLASS_FLASH_CROWD)
        say_crowd(&t, d);
    else if (inc->mood == FAMILY_FLOW && inc->target_edge != UINT32_MAX)
        say_flow(&t, d, inc);
    else if (inc->mood == FAMILY_HOLD && inc->target_node != UINT32_MAX)
        say_hold(&t, d, inc->target_node);
    else if (inc->target_node != UINT32_MAX)
        say_failure(&t, d, inc);
    else
        stg__text_str(&t, "traffic differs from its forecast");
    if (stg__text_end(&t, &len) != STG_OK)
        buf[SENTENCE - 1] = '\0';
}

static void put_incident(const stg_detector *d, stg_report *r, const stg__incident *inc)
{
    char sentence[SENTENCE];
    report_incident *ri = &r->incident[r->info.incidents++];
    memset(ri, 0, sizeof *ri);
    ri->info = (stg_incident_info){
        .id = inc->id,
        .opened_ns = inc->opened_ns,
        .onset_ns = inc->onset_ns,
        .class_name = stg__class_name(inc->class_id),
        .technique = stg__class_technique(inc->class_id),
        .confidence = inc->confidence,
        .severity = inc->severity,
        .state = inc->state,
        .class_id = inc->class_id,
    };
    say(d, inc, sentence);
    ri->text = put_text(r, sentence);
    put_items(d, r, ri, inc);
}

/* Volume alone, or a harmless cause: the session shall soon learn from what it sees. */
#define MASK_VOLUME 12u
#define MASK_BENIGN 24u

static bool masks(const stg_detector *d, const stg__incident *inc)
{
    const uint64_t age = d->windows - inc->opened_window;
    if (!inc->id || inc->closed_window || inc->calm > 0)
        return false;
    if (!stg__led(inc))
        return age <= MASK_VOLUME;
    return !stg__benign(inc->class_id) || age <= MASK_BENIGN;
}

/* Nodes whose inputs are not what they would be without the incident. */
static void fill_mask(const stg_detector *d, stg_report *r, const stg_graph *g)
{
    memset(d->node_flag, 0, d->nodes);
    bool any = false;
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        const stg__incident *inc = &d->incident[i];
        for (uint32_t k = 0; masks(d, inc) && k < inc->members; k++) {
            const stg__member *m = &inc->member[k];
            d->node_flag[m->is_edge ? d->edge[m->index].dst : m->index] = 1;
            any = true;
        }
    }
    for (uint32_t i = 0; any && i < d->nodes; i++)
        if (stg__node_stream(d, i, N_RATE)->smooth > 1.5f)
            d->node_flag[i] = 1;
    const stg__topology *t = stg__graph_topology(g);
    for (uint32_t i = 0; i < t->nodes; i++)
        r->mask[i] = d->node_flag[d->node_map[i]];
}

static int32_t report_room(stg_detector *d, stg_report *r, uint32_t nodes)
{
    uint32_t incidents;
    uint32_t items;
    size_t bytes;
    measure(d, &incidents, &items, &bytes);
    if (bytes > UINT32_MAX / 4)
        return STG_E_LIMIT;
    /* room for a few incidents from the start: the first ones ask for no memory */
    STG_RETURN_IF_ERROR(room(d->ctx, &r->mask, &r->mask_cap, nodes, 1));
    STG_RETURN_IF_ERROR(room(d->ctx, &r->incident, &r->incident_cap, MAX_INCIDENTS,
                             sizeof *r->incident));
    STG_RETURN_IF_ERROR(room(d->ctx, &r->item, &r->item_cap, items < 1024 ? 1024 : items,
                             sizeof *r->item));
    return room(d->ctx, &r->text, &r->text_cap, bytes < 65536 ? 65536 : (uint32_t)bytes, 1);
}

int32_t stg__report_take(stg_detector *d, const stg_graph *g, stg_report **out)
{
    stg_report *r = (stg_report *)stg__pool_take(d->reports);
    if (!r)
        return STG_E_NOMEM;
    const int32_t status = report_room(d, r, stg__graph_topology(g)->nodes);
    if (status != STG_OK) {
        stg_unref(r);
        return status;
    }
    *out = r;
    return STG_OK;
}

int32_t stg__report_fill(stg_detector *d, stg_report *r, const stg_graph *g, bool judged)
{
    const uint32_t nodes = stg__graph_topology(g)->nodes;
    STG_RETURN_IF_ERROR(report_room(d, r, nodes));
    r->items = 0;
    r->text[0] = '\0';
    r->text_len = 1;
    r->info = (stg_report_info){
        .start_ns = g->start_ns,
        .end_ns = g->end_ns,
        .alarm_level = d->alarm,
        .evidence = judged ? d->largest : 0,
        .mask = r->mask,
        .nodes = nodes,
        .streams = d->streams,
        .judged = judged,
    };
    for (uint32_t i = 0; judged && i < MAX_INCIDENTS; i++)
        if (d->incident[i].state)
            put_incident(d, r, &d->incident[i]);
    fill_mask(d, r, g);
    return STG_OK;
}

int32_t stg_report_get_info(const stg_report *r, stg_report_info *info)
{
    if (!stg__is(r, STG__KIND_REPORT))
        return STG_E_INVALID;
    stg_report_info i = r->info;
    return stg__info_write(info, &i, sizeof i);
}

int32_t stg_report_incident(const stg_report *r, uint32_t index, stg_incident_info *info)
{
    if (!stg__is(r, STG__KIND_REPORT))
        return STG_E_INVALID;
    if (index >= r->info.incidents)
        return STG_E_NOTFOUND;
    stg_incident_info i = r->incident[index].info;
    i.text = r->text + r->incident[index].text;
    return stg__info_write(info, &i, sizeof i);
}

int32_t stg_report_item(const stg_report *r, uint32_t incident, uint32_t part, uint32_t index,
                        stg_item *item)
{
    if (!stg__is(r, STG__KIND_REPORT) || part > STG_ITEM_EVIDENCE)
        return STG_E_INVALID;
    if (incident >= r->info.incidents)
        return STG_E_NOTFOUND;
    const report_incident *ri = &r->incident[incident];
    const uint32_t counts[] = {ri->info.nodes, ri->info.edges, ri->info.causes, ri->info.evidence};
    if (index >= counts[part])
        return STG_E_NOTFOUND;
    const report_item *it = &r->item[ri->first[part] + index];
    stg_item i = {
        .node = r->text + it->node,
        .src = r->text + it->src,
        .dst = r->text + it->dst,
        .route = r->text + it->route,
        .column = r->text + it->column,
        .observed = it->observed,
        .expected = it->expected,
        .value = it->value,
    };
    return stg__info_write(item, &i, sizeof i);
}
