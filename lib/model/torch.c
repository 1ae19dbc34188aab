/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint as a bundle: tells a file of torch.save from what looks like one, opens its zip, has
 * its pickle read, and walks from the root over dictionaries, lists and tuples. Each tensor and
 * setting that is met gets the path that led to it as its name.
 */
#include <string.h>

#include "torch_priv.h"

#define MAX_DEPTH 32u
#define MAX_VISITS (1u << 18) /* what is reached on two ways is visited twice */

typedef struct level { /* a container that is being walked */
    uint32_t value;
    uint32_t cell; /* the next one */
    uint32_t number;
    size_t path; /* bytes of its own path */
} level;

typedef struct walk {
    stg__torch *t;
    level level[MAX_DEPTH];
    uint32_t depth;
    uint32_t visits;
    uint32_t tensors;
    uint32_t settings;
    char path[STG__TORCH_MAX_PATH + 1];
    char text[STG__TORCH_MAX_TEXT + 1];
} walk;

const char *stg__torch_shown(char out[STG__TORCH_SHOWN], const char *text, size_t len)
{
    const size_t most = len < STG__TORCH_SHOWN - 1 ? len : STG__TORCH_SHOWN - 1;
    for (size_t i = 0; i < most; i++)
        out[i] = text[i] >= ' ' && text[i] < 0x7f ? text[i] : '?';
    out[most] = '\0';
    return out;
}

/* UTF-8 without control characters, those from U+0080 to U+009F among them. */
static bool plain(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len; i++)
        if (s[i] < 0x20 || s[i] == 0x7f || (s[i] == 0xc2 && i + 1 < len && s[i + 1] < 0xa0))
            return false;
    return stg__utf8(text, len);
}

/* Makes the path of an item out of its container's and its key; false: it cannot have one. */
static bool make_path(walk *w, size_t from, const char *key, size_t len)
{
    const size_t slash = w->depth > 1 ? 1 : 0; /* the root has no name */
    if (len == 0 || len > STG__TORCH_MAX_PATH || from + slash + len > STG__TORCH_MAX_PATH ||
        memchr(key, '/', len) || !plain(key, len))
        return false;
    if (slash)
        w->path[from] = '/';
    memcpy(w->path + from + slash, key, len);
    w->path[from + slash + len] = '\0';
    return strcmp(w->path, "__metadata__") != 0; /* the one name that a bundle keeps to itself */
}

static bool path_by_number(walk *w, size_t from, int64_t number)
{
    char digits[24];
    stg__text text;
    stg__text_init(&text, digits, sizeof digits);
    stg__text_i64(&text, number);
    return make_path(w, from, digits, text.len);
}

static int32_t enter(walk *w, uint32_t value)
{
    if (w->depth == MAX_DEPTH)
        return stg__fail(w->t->err, STG_E_LIMIT, "%.100s: nested more than %u levels deep, or in itself",
                         w->path, MAX_DEPTH);
    const stg__pvalue *v = stg__pickle_at(&w->t->pickle, value);
    w->level[w->depth] = (level){value, v->count ? v->is.cells.first : STG__TORCH_NONE, 0,
                                 strlen(w->path)};
    w->depth++;
    return STG_OK;
}

static int32_t set_text(walk *w, const char *text, size_t len)
{
    memcpy(w->text, text, len);
    w->text[len] = '\0';
    return stg__bundle_set_meta(w->t->bundle, w->path, w->text);
}

static int32_t set_whole(walk *w, int64_t whole)
{
    char digits[24];
    stg__text text;
    stg__text_init(&text, digits, sizeof digits);
    stg__text_i64(&text, whole);
    return set_text(w, digits, text.len);
}

static int32_t put_scalar(walk *w, const stg__pvalue *v)
{
    int32_t status;
    switch (v->kind) {
    case STG__P_BOOL:
        status = v->what ? set_text(w, "true", 4) : set_text(w, "false", 5);
        break;
    case STG__P_INT:
        status = set_whole(w, v->is.whole);
        break;
    case STG__P_FLOAT:
        status = stg__bundle_set_meta_num(w->t->bundle, w->path, v->is.number);
        break;
    default:
        status = set_text(w, v->is.text, v->count);
    }
    return status == STG_OK ? STG_OK : stg__fail(w->t->err, status, "out of memory");
}

/* Whether a value becomes a tensor or a setting. */
static bool wanted(const stg__pvalue *v)
{
    switch (v->kind) {
    case STG__P_TENSOR:
    case STG__P_BOOL:
    case STG__P_INT:
    case STG__P_FLOAT:
        return true;
    case STG__P_TEXT:
        return v->count <= STG__TORCH_MAX_TEXT && plain(v->is.text, v->count);
    default:
        return false;
    }
}

static int32_t put_value(walk *w, uint32_t index)
{
    stg__torch *t = w->t;
    const stg__pvalue *v = stg__pickle_at(&t->pickle, index);
    if (v->kind == STG__P_DICT || v->kind == STG__P_LIST || v->kind == STG__P_TUPLE)
        return enter(w, index);
    if (!wanted(v))
        return STG_OK;
    const bool tensor = v->kind == STG__P_TENSOR;
    if (tensor ? ++w->tensors > STG__TORCH_MAX_TENSORS : ++w->settings > STG__TORCH_MAX_SETTINGS)
        return stg__fail(t->err, STG_E_LIMIT, "more than %u tensors, or %u settings",
                         STG__TORCH_MAX_TENSORS, STG__TORCH_MAX_SETTINGS);
    if (stg__bundle_find(t->bundle, w->path) || stg__bundle_meta(t->bundle, w->path))
        return stg__fail(t->err, STG_E_FORMAT, "%.160s stands there twice", w->path);
    return tensor ? stg__torch_tensor(t, w->path, index) : put_scalar(w, v);
}

/* The next item of the innermost container. */
static int32_t step(walk *w)
{
    const stg__pickle *p = &w->t->pickle;
    level *l = &w->level[w->depth - 1];
    const stg__pcell *cell = stg__pickle_cell(p, l->cell);
    bool named;
    if (++w->visits > MAX_VISITS)
        return stg__fail(w->t->err, STG_E_LIMIT, "more than %u values", MAX_VISITS);
    if (stg__pickle_is(p, l->value, STG__P_DICT)) {
        const stg__pvalue *key = stg__pickle_at(p, cell->value);
        named = key->kind == STG__P_TEXT  ? make_path(w, l->path, key->is.text, key->count)
                : key->kind == STG__P_INT ? path_by_number(w, l->path, key->is.whole)
                                          : false;
        cell = stg__pickle_cell(p, cell->next); /* keys and values are added in pairs */
    } else {
        named = path_by_number(w, l->path, l->number++);
    }
    l->cell = cell->next;
    return named ? put_value(w, cell->value) : STG_OK;
}

static int32_t flatten(stg__torch *t)
{
    const uint32_t root = t->pickle.root;
    const uint8_t kind = stg__pickle_at(&t->pickle, root)->kind;
    if (kind == STG__P_OPAQUE)
        return stg__fail(t->err, STG_E_FORMAT,
                         "the file holds an object that only its own code could make, and no code is "
                         "run here: save the model's state_dict() instead");
    if (kind != STG__P_DICT && kind != STG__P_LIST && kind != STG__P_TUPLE)
        return stg__fail(t->err, STG_E_FORMAT, "the file holds no dictionary, list or tuple");
    walk *w = (walk *)stg__calloc(t->ctx, 1, sizeof *w);
    if (!w)
        return stg__fail(t->err, STG_E_NOMEM, "out of memory");
    w->t = t;
    int32_t status = enter(w, root);
    while (status == STG_OK && w->depth) {
        if (w->level[w->depth - 1].cell == STG__TORCH_NONE)
            w->depth--;
        else
            status = step(w);
    }
    stg__free(t->ctx, w);
    return status;
}

stg__zip_entry *stg__torch_entry(stg__torch *t, const char *folder, const char *name, size_t len)
{
    char whole[1024];
    stg__text text;
    stg__text_init(&text, whole, sizeof whole);
    stg__text_bytes(&text, t->archive, t->archive_len);
    stg__text_str(&text, "/");
    stg__text_str(&text, folder);
    stg__text_bytes(&text, name, len);
    return text.len <= sizeof whole ? stg__zip_find(&t->zip, whole, text.len) : NULL;
}

/* The archive is named by the one entry ARCHIVE/data.pkl. */
static int32_t find_archive(stg__torch *t)
{
    static const char tail[] = "/data.pkl";
    const size_t tail_len = sizeof tail - 1;
    for (uint32_t i = 0; i < t->zip.count; i++) {
        const stg__zip_entry *e = &t->zip.entry[i];
        const size_t len = e->name_len > tail_len ? e->name_len - tail_len : 0;
        if (!len || memcmp(e->name + len, tail, tail_len) != 0 || memchr(e->name, '/', len))
            continue;
        if (t->archive)
            return stg__fail(t->err, STG_E_FORMAT, "the zip has two entries data.pkl");
        t->archive = e->name;
        t->archive_len = (uint32_t)len;
    }
    if (!t->archive)
        return stg__fail(t->err, STG_E_FORMAT, "a zip, but not of torch.save: it has no data.pkl");
    if (stg__torch_entry(t, "", "constants.pkl", 13))
        return stg__fail(t->err, STG_E_FORMAT,
                         "a TorchScript program: save the model's state_dict() with torch.save");
    return STG_OK;
}

/* The small entries that say how to read the others. */
static int32_t check_archive(stg__torch *t)
{
    const unsigned char *bytes;
    stg__zip_entry *version = stg__torch_entry(t, "", "version", 7);
    stg__zip_entry *order = stg__torch_entry(t, "", "byteorder", 9);
    if (!version)
        version = stg__torch_entry(t, "", ".data/version", 13);
    if (!version)
        return stg__fail(t->err, STG_E_FORMAT, "a zip, but not of torch.save: it has no version");
    STG_RETURN_IF_ERROR(stg__zip_bytes(&t->zip, version, &bytes, t->err));
    if (version->size == 0 || bytes[0] < '1' || bytes[0] > '9')
        return stg__fail(t->err, STG_E_FORMAT, "the archive's version is not a number");
    if (!order)
        return STG_OK;
    STG_RETURN_IF_ERROR(stg__zip_bytes(&t->zip, order, &bytes, t->err));
    if (order->size != 6 || memcmp(bytes, "little", 6) != 0)
        return stg__fail(t->err, STG_E_FORMAT, "its numbers are not in little-endian order: load it "
                         "and save it again on an ordinary machine");
    return STG_OK;
}

static int32_t read_pickle(stg__torch *t)
{
    const unsigned char *bytes;
    stg__zip_entry *e = stg__torch_entry(t, "", "data.pkl", 8);
    if (!e) /* its name is longer than any that torch.save gives */
        return stg__fail(t->err, STG_E_FORMAT, "the archive's name is too long");
    if (e->size > STG__PICKLE_MAX_BYTES)
        return stg__fail(t->err, STG_E_LIMIT, "data.pkl has more than 64 MiB");
    STG_RETURN_IF_ERROR(stg__zip_bytes(&t->zip, e, &bytes, t->err));
    return stg__pickle_read(&t->pickle, t->ctx, bytes, (size_t)e->size, t->err);
}

/* What a file that is no zip is instead. */
static int32_t fail_kind(const unsigned char *data, size_t len, stg_error *err)
{
    static const unsigned char magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                          0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    const char *again = "load it and save it again with PyTorch 1.6 or later";
    if (len >= 2 + sizeof magic && data[0] == 0x80 && memcmp(data + 2, magic, sizeof magic) == 0)
        return stg__fail(err, STG_E_FORMAT, "written by torch.save before PyTorch 1.6: %s", again);
    if (len >= 262 && memcmp(data + 257, "ustar", 5) == 0)
        return stg__fail(err, STG_E_FORMAT, "a tar file, as torch.save wrote long ago: %s", again);
    if (len >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5)
        return stg__fail(err, STG_E_FORMAT, "a plain pickle, not a file of torch.save: %s", again);
    return stg__fail(err, STG_E_FORMAT, "not a file of torch.save: it is no zip");
}

static int32_t read_all(stg__torch *t, const void *data, size_t len)
{
    STG_RETURN_IF_ERROR(stg__zip_open(&t->zip, t->ctx, data, len, t->err));
    STG_RETURN_IF_ERROR(find_archive(t));
    STG_RETURN_IF_ERROR(check_archive(t));
    STG_RETURN_IF_ERROR(read_pickle(t));
    return flatten(t);
}

int32_t stg__torch_read(stg_bundle **out, stg_ctx *ctx, const void *data, size_t len, stg_error *err)
{
    if (!out || !ctx || (!data && len))
        return stg__fail(err, STG_E_INVALID, "a pointer is NULL");
    *out = NULL;
    if (len < 4 || stg__le32((const unsigned char *)data) != 0x04034b50u)
        return fail_kind((const unsigned char *)data, len, err);
    stg__torch t = {.ctx = ctx, .err = err};
    STG_RETURN_IF_ERROR(stg_bundle_open(&t.bundle, ctx, NULL, err));
    const int32_t status = read_all(&t, data, len);
    stg__pickle_close(&t.pickle);
    stg__zip_close(&t.zip);
    if (status != STG_OK)
        stg_bundle_destroy(t.bundle);
    else
        *out = t.bundle;
    return status;
}
