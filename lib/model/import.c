/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of other codes. Whatever the container was, it is a bundle of named tensors and settings
 * here; the tensors of each cell are found under the cell's name, their sizes say the shape of the net,
 * and the names tell the code they come from.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model_priv.h"
#include "torch.h"

#define ROOT "encoder_model.dcgru_layers.0."
#define OWN "stgraph/" /* settings that only files written by `stgraph export` have */

typedef struct source {
    const stg_bundle *bundle;
    char prefix[96]; /* before "encoder_model" */
    const char *format;
} source;

/* The four tensors of a cell: its matrices and vectors, of which those of the gates are twice as wide. */
typedef struct cell {
    const stg__tensor *gate_w;
    const stg__tensor *gate_b;
    const stg__tensor *cand_w;
    const stg__tensor *cand_b;
} cell;

/* --- finding ---------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static int32_t find_root(source *from, stg_error *err)
{
    for (size_t i = 0; i < stg__bundle_count(from->bundle); i++) {
        const char *name = stg__bundle_at(from->bundle, i)->name;
        const char *root = strstr(name, ROOT);
        if (!root || (size_t)(root - name) >= sizeof from->prefix)
            continue;
        snprintf(from->prefix, sizeof from->prefix, "%.*s", (int)(root - name), name);
        if (!from->format)
            from->format = begins(root + strlen(ROOT), "_") ? "libcity"
                           : stg__bundle_meta(from->bundle, "model/filter_type") ? "dcrnn_pytorch"
                                                                                  : "basicts";
        return STG_OK;
    }
    return stg__fail(err, STG_E_NOTFOUND, "there is no tensor " ROOT "... in the file");
}

/* The wider of two tensors first; true when there was room. */
static bool keep_both(const stg__tensor **wide, const stg__tensor **narrow, const stg__tensor *t)
{
    const uint32_t last = t->dims - 1;
    if (*wide && *narrow)
        return false;
    if (!*wide) {
        *wide = t;
    } else if (t->shape[last] <= (*wide)->shape[last]) {
        *narrow = t;
    } else {
        *narrow = *wide;
        *wide = t;
    }
    return true;
}

static int32_t check_cell(const cell *c, const char *prefix, stg_error *err)
{
    if (!c->gate_w || !c->gate_b || !c->cand_w || !c->cand_b)
        return stg__fail(err, STG_E_FORMAT, "a tensor of %s... is missing", prefix);
    const uint64_t units = c->cand_w->shape[1];
    if (c->gate_w->shape[1] != 2 * units || c->gate_b->shape[0] != 2 * units ||
        c->cand_b->shape[0] != units || c->gate_w->shape[0] != c->cand_w->shape[0])
        return stg__fail(err, STG_E_FORMAT, "tensors of %s... do not go together", prefix);
    return STG_OK;
}

/* E_NOTFOUND: the net has no such layer. */
static int32_t find_cell(const source *from, const char *part, uint32_t layer, cell *c, stg_error *err)
{
    char prefix[STG__KEY_MAX];
    snprintf(prefix, sizeof prefix, "%s%s_model.dcgru_layers.%u.", from->prefix, part, layer);
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < stg__bundle_count(from->bundle); i++) {
        const stg__tensor *t = stg__bundle_at(from->bundle, i);
        if (!begins(t->name, prefix))
            continue;
        if (t->dtype != STG__F32 || t->dims < 1 || t->dims > 2)
            return stg__fail(err, STG_E_FORMAT, "tensor %s is not float32 of one or two dimensions",
                             t->name);
        const bool kept = t->dims == 2 ? keep_both(&c->gate_w, &c->cand_w, t)
                                       : keep_both(&c->gate_b, &c->cand_b, t);
        if (!kept)
            return stg__fail(err, STG_E_FORMAT, "tensor %s is one more than a cell has", t->name);
    }
    return c->gate_w || c->gate_b ? check_cell(c, prefix, err) : STG_E_NOTFOUND;
}

static int32_t find_projection(const source *from, const stg__tensor **weight,
                               const stg__tensor **bias, stg_error *err)
{
    char name[STG__KEY_MAX];
    const uint64_t any[2] = {UINT64_MAX, UINT64_MAX};
    snprintf(name, sizeof name, "%sdecoder_model.projection_layer.weight", from->prefix);
    STG_RETURN_IF_ERROR(stg__bundle_get(from->bundle, name, STG__F32, 2, any, weight, err));
    snprintf(name, sizeof name, "%sdecoder_model.projection_layer.bias", from->prefix);
    return stg__bundle_get(from->bundle, name, STG__F32, 1, (*weight)->shape, bias, err);
}

/* --- shape ------------------------------------------------------------------------------------ */

/* A setting of the checkpoint that the sizes of its tensors have to agree with. */
static int32_t check_setting(const source *from, const char *key, uint64_t value, stg_error *err)
{
    uint64_t said = 0;
    const int32_t status = stg__bundle_meta_u64(from->bundle, key, &said);
    if (status == STG_E_NOTFOUND || (status == STG_OK && said == value))
        return STG_OK;
    return stg__fail(err, STG_E_FORMAT, "setting %s is not the %llu that the tensors say", key,
                     (unsigned long long)value);
}

static int32_t read_layers(const source *from, stg__shape *s, stg_error *err)
{
    cell c;
    int32_t status = STG_OK;
    for (s->layers = 0; s->layers <= STG__MAX_LAYERS; s->layers++) {
        status = find_cell(from, "encoder", s->layers, &c, err);
        if (status != STG_OK)
            break;
    }
    if (status == STG_OK)
        return stg__fail(err, STG_E_LIMIT, "the net has more than %u layers", STG__MAX_LAYERS);
    return status == STG_E_NOTFOUND ? STG_OK : status;
}

/* All sizes follow from those of the lowest cells and of the projection. */
static int32_t read_sizes(const source *from, stg__shape *s, stg_error *err)
{
    cell encoder;
    cell decoder;
    const stg__tensor *weight;
    const stg__tensor *bias;
    STG_RETURN_IF_ERROR(find_projection(from, &weight, &bias, err));
    STG_RETURN_IF_ERROR(find_cell(from, "encoder", 0, &encoder, err));
    if (find_cell(from, "decoder", 0, &decoder, err) != STG_OK)
        return stg__fail(err, STG_E_FORMAT, "the net has no decoder that can be used");
    const uint64_t units = weight->shape[1];
    const uint64_t targets = weight->shape[0];
    if (units == 0 || units > STG__MAX_UNITS || targets == 0 || targets > STG__MAX_COLUMNS)
        return stg__fail(err, STG_E_LIMIT, "tensor %s has a shape beyond the limits", weight->name);
    const uint64_t copies = decoder.gate_w->shape[0] / (targets + units);
    const uint64_t hops = copies ? (copies - 1) / s->walks : 0;
    if (hops > STG__MAX_HOPS || hops * s->walks + 1 != copies ||
        copies * (targets + units) != decoder.gate_w->shape[0])
        return stg__fail(err, STG_E_FORMAT,
                         "tensor %s: its rows are those of no number of hops of this filter",
                         decoder.gate_w->name);
    const uint64_t inputs = encoder.gate_w->shape[0] / copies - units;
    if (inputs != targets && inputs != targets + 1)
        return stg__fail(err, STG_E_FORMAT,
                         "tensor %s: the encoder has neither one input for each output nor one more",
                         encoder.gate_w->name);
    s->units = (uint32_t)units;
    s->targets = (uint32_t)targets;
    s->hops = (uint32_t)hops;
    s->inputs = (uint32_t)inputs;
    STG_RETURN_IF_ERROR(check_setting(from, "model/rnn_units", units, err));
    STG_RETURN_IF_ERROR(check_setting(from, "model/max_diffusion_step", hops, err));
    return check_setting(from, "model/num_rnn_layers", s->layers, err);
}

/* --- filling ---------------------------------------------------------------------------------- */

static int32_t put_cell(stg_bundle *to, const char *part, uint32_t layer, const cell *c)
{
    const struct {
        const char *name;
        const stg__tensor *t;
    } piece[] = {{"gates/weight", c->gate_w},
                 {"gates/bias", c->gate_b},
                 {"candidate/weight", c->cand_w},
                 {"candidate/bias", c->cand_b}};
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) {
        char name[64];
        snprintf(name, sizeof name, "model/%s/%u/%s", part, layer, piece[i].name);
        STG_RETURN_IF_ERROR(stg__bundle_put(to, name, STG__F32, piece[i].t->dims, piece[i].t->shape,
                                            piece[i].t->data));
    }
    return STG_OK;
}

static int32_t put_projection(stg_bundle *to, const source *from, stg_error *err)
{
    const stg__tensor *weight;
    const stg__tensor *bias;
    STG_RETURN_IF_ERROR(find_projection(from, &weight, &bias, err));
    const uint64_t targets = weight->shape[0];
    const uint64_t units = weight->shape[1];
    float *turned = (float *)stg__calloc(stg__bundle_ctx(to), targets * units, sizeof *turned);
    if (!turned)
        return STG_E_NOMEM;
    for (uint64_t k = 0; k < targets; k++)
        for (uint64_t u = 0; u < units; u++)
            turned[u * targets + k] = ((const float *)weight->data)[k * units + u];
    const int32_t status = stg__bundle_put(to, "model/projection/weight", STG__F32, 2,
                                           (uint64_t[]){units, targets}, turned);
    stg__free(stg__bundle_ctx(to), turned);
    STG_RETURN_IF_ERROR(status);
    return stg__bundle_put(to, "model/projection/bias", STG__F32, 1, &targets, bias->data);
}

/* The tensors under our names; whether they have the right sizes is seen when they are loaded. */
static int32_t load_weights(stg_model *m, const source *from, const stg__shape *s, stg_error *err)
{
    static const char *const part[] = {"encoder", "decoder"};
    stg_bundle *own;
    STG_RETURN_IF_ERROR(stg_bundle_open(&own, m->ctx, NULL, err));
    int32_t status = put_projection(own, from, err);
    for (uint32_t i = 0; status == STG_OK && i < 2 * s->layers; i++) {
        cell c;
        status = find_cell(from, part[i % 2], i / 2, &c, err);
        if (status == STG_E_NOTFOUND)
            status = stg__fail(err, STG_E_FORMAT, "the decoder has no layer %u", i / 2);
        if (status == STG_OK)
            status = put_cell(own, part[i % 2], i / 2, &c);
    }
    if (status == STG_OK)
        status = stg__net_load(m, own, s, err);
    stg_bundle_destroy(own);
    return status;
}

static int32_t add_column(stg_model *m, uint32_t k, const char *name, stg_error *err)
{
    const size_t len = strlen(name);
    const uint32_t before = stg__names_count(m->columns);
    if (len == 0 || len > STG_NAME_MAX)
        return stg__fail(err, STG_E_INVALID, "the column's name is empty or too long");
    STG_RETURN_IF_ERROR(stg__names_add(m->columns, name, len, &m->target[k]));
    return stg__names_count(m->columns) > before
               ? STG_OK
               : stg__fail(err, STG_E_FORMAT, "two columns are called %.40s", name);
}

/* As told, else as the file says, else "value"; with several targets what is told or "value" gets a
 * number. */
static int32_t name_columns(stg_model *m, const source *from, const char *told, stg_error *err)
{
    for (uint32_t k = 0; k < m->targets; k++) {
        char name[STG_NAME_MAX + 1];
        char key[40];
        snprintf(key, sizeof key, OWN "column/%u", k);
        const char *said = told ? NULL : stg__bundle_meta(from->bundle, key);
        const char *base = told ? told : "value";
        if (strlen(base) > STG_NAME_MAX - 8)
            return stg__fail(err, STG_E_INVALID, "the column's name is too long");
        if (m->targets == 1)
            snprintf(name, sizeof name, "%s", base);
        else
            snprintf(name, sizeof name, "%s_%u", base, k);
        STG_RETURN_IF_ERROR(add_column(m, k, said ? said : name, err));
    }
    return STG_OK;
}

static bool usable(double mean, double deviation)
{
    return deviation >= 1e-9 && deviation <= STG__PLAIN_MOST && fabs(mean) <= STG__PLAIN_MOST;
}

/* Mean and deviation of a column as told, else as the file says, else not known. */
static int32_t read_scale(stg_model *m, const source *from, const stg_import_opts *o, stg_error *err)
{
    if (o->deviation != 0 && !usable(o->mean, o->deviation))
        return stg__fail(err, STG_E_INVALID, "mean or deviation is no use");
    for (uint32_t c = 0; c < m->targets; c++) {
        double mean = o->mean;
        double deviation = o->deviation;
        char key[2][40];
        snprintf(key[0], sizeof key[0], OWN "mean/%u", c);
        snprintf(key[1], sizeof key[1], OWN "deviation/%u", c);
        const bool said = stg__bundle_meta(from->bundle, key[0]) || stg__bundle_meta(from->bundle, key[1]);
        if (deviation == 0 && !said) {
            mean = deviation = NAN;
        } else if (deviation == 0) {
            if (stg__bundle_meta_num(from->bundle, key[0], &mean) != STG_OK ||
                stg__bundle_meta_num(from->bundle, key[1], &deviation) != STG_OK ||
                !usable(mean, deviation))
                return stg__fail(err, STG_E_FORMAT, "settings %s, %s are no use", key[0], key[1]);
        }
        m->global_mean[c] = mean;
        m->global_deviation[c] = deviation;
    }
    return STG_OK;
}

/* --- options ---------------------------------------------------------------------------------- */

static int32_t read_windows(const source *from, uint32_t given, const char *key, uint32_t *value,
                            stg_error *err)
{
    uint64_t said = 12;
    const int32_t status = stg__bundle_meta_u64(from->bundle, key, &said);
    if (status != STG_OK && status != STG_E_NOTFOUND)
        return stg__fail(err, STG_E_FORMAT, "setting %s is not a whole number", key);
    const uint64_t wanted = given ? given : said;
    if (wanted == 0 || wanted > STG__MAX_WINDOWS)
        return stg__fail(err, STG_E_LIMIT, "%s: not from 1 to %u windows", key, STG__MAX_WINDOWS);
    *value = (uint32_t)wanted;
    return STG_OK;
}

static int32_t read_filter(const source *from, const stg_import_opts *o, stg__filter *filter,
                           stg_error *err)
{
    static const char *const formats[] = {"dcrnn_pytorch", "libcity", "basicts"};
    const char *kind = o->filter ? o->filter : stg__bundle_meta(from->bundle, "model/filter_type");
    size_t known = 0;
    while (known < 3 && strcmp(formats[known], from->format) != 0)
        known++;
    if (known == 3)
        return stg__fail(err, STG_E_INVALID, "there is no format \"%.40s\"", from->format);
    if (o->supports > STG_SUPPORTS_PORT_REVERSED)
        return stg__fail(err, STG_E_INVALID, "supports is no such value");
    filter->order = known < 2 ? STG__PORT_REVERSED : STG__EXACT;
    STG_RETURN_IF_ERROR(stg__word_read(from->bundle, OWN "supports", stg__orders, &filter->order, err));
    if (o->supports)
        filter->order = o->supports == STG_SUPPORTS_EXACT ? STG__EXACT : STG__PORT_REVERSED;
    filter->kind = STG__DUAL_RANDOM_WALK;
    if (kind && !stg__word_find(stg__filters, kind, &filter->kind))
        return stg__fail(err, STG_E_INVALID, "there is no filter \"%.40s\"", kind);
    return STG_OK;
}

/* A length of time as told, else as the file says, else the default. */
static int32_t read_time(const source *from, uint64_t told, const char *key, uint64_t *ns,
                         stg_error *err)
{
    const uint64_t century = 3600000000000u * 24 * 36525;
    const int32_t status = told ? STG_E_NOTFOUND : stg__bundle_meta_u64(from->bundle, key, ns);
    if (told)
        *ns = told;
    if ((status != STG_OK && status != STG_E_NOTFOUND) || *ns == 0 || *ns > century)
        return stg__fail(err, told ? STG_E_INVALID : STG_E_FORMAT,
                         "%s: not from a nanosecond to a century", key);
    return STG_OK;
}

static int32_t fill_model(stg_model *m, source *from, const stg_import_opts *o, stg_error *err)
{
    stg__shape s = {.recursion = STG__CARRY};
    STG_RETURN_IF_ERROR(find_root(from, err));
    STG_RETURN_IF_ERROR(read_filter(from, o, &m->filter, err));
    STG_RETURN_IF_ERROR(stg__word_read(from->bundle, OWN "recursion", stg__recursions, &s.recursion, err));
    s.walks = stg__filter_walks(m->filter.kind);
    STG_RETURN_IF_ERROR(read_windows(from, o->history, "model/seq_len", &s.history, err));
    STG_RETURN_IF_ERROR(read_windows(from, o->horizon, "model/horizon", &s.horizon, err));
    STG_RETURN_IF_ERROR(read_layers(from, &s, err));
    STG_RETURN_IF_ERROR(read_sizes(from, &s, err));
    m->kind = &stg__kind_series;
    m->window_ns = 300000000000u;
    m->day_ns = 86400000000000u;
    STG_RETURN_IF_ERROR(read_time(from, o->window_ns, OWN "window_ns", &m->window_ns, err));
    STG_RETURN_IF_ERROR(read_time(from, o->day_ns, OWN "day_ns", &m->day_ns, err));
    m->history = s.history;
    m->horizon = s.horizon;
    m->inputs = m->targets = s.targets;
    m->time_inputs = s.inputs > s.targets;
    STG_RETURN_IF_ERROR(name_columns(m, from, o->column, err));
    STG_RETURN_IF_ERROR(stg__model_room(m));
    STG_RETURN_IF_ERROR(read_scale(m, from, o, err));
    return load_weights(m, from, &s, err);
}

/* Safetensors begin with the length of a JSON text; all else is for the reader of torch files. */
static int32_t open_container(stg_bundle **out, stg_ctx *ctx, const void *data, size_t len,
                              stg_error *err)
{
    const char *bytes = (const char *)data;
    if (len > 9 && bytes[8] == '{')
        return stg_bundle_parse(out, ctx, data, len, err);
    return stg__torch_read(out, ctx, data, len, err);
}

int32_t stg_model_import(const stg_model **out, stg_ctx *ctx, const void *data, size_t len,
                         const stg_import_opts *opts, stg_error *err)
{
    stg_import_opts o;
    stg_bundle *container;
    if (!out || !ctx || !data)
        return stg__fail(err, STG_E_INVALID, "no data");
    *out = NULL;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_import_opts", err));
    STG_RETURN_IF_ERROR(open_container(&container, ctx, data, len, err));
    source from = {.bundle = container, .format = o.format};
    stg_model *m = stg__model_new(ctx);
    const int32_t status = m ? fill_model(m, &from, &o, err) : STG_E_NOMEM;
    stg_bundle_destroy(container);
    if (status != STG_OK) {
        if (status == STG_E_NOMEM)
            stg__fail(err, status, "out of memory");
        stg_unref(m);
        return status;
    }
    *out = m;
    return STG_OK;
}
