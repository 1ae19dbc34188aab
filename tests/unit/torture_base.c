/* SPDX-License-Identifier: Apache-2.0 */
/* Torture cases of base: context, references, bundle. */
#include <unistd.h>

#include "torture.h"

static char text[1 << 16];

static int32_t ctx_create(stage *s)
{
    const stg_ctx_opts opts = {.size = sizeof opts, .allocator = &s->memory.allocator};
    HANDED(stg_ctx_create(&s->ctx, &opts), s->ctx);
}

static int32_t ctx_destroy(stage *s)
{
    stg_ctx_destroy(s->ctx);
    stg_ctx_destroy(NULL);
    s->ctx = NULL;
    return STG_OK;
}

static int32_t names(stage *s)
{
    return strcmp(stg_status_name(STG_E_NOMEM), "E_NOMEM") ? STG_E_STATE : STG_OK;
}

static int32_t version(stage *s)
{
    return stg_version() ? STG_OK : STG_E_STATE;
}

static int32_t version_string(stage *s)
{
    return stg_version_string()[0] ? STG_OK : STG_E_STATE;
}

static int32_t struct_size(stage *s)
{
    return stg_struct_size("call") == sizeof(stg_call) ? STG_OK : STG_E_STATE;
}

/* --- references ------------------------------------------------------------------------------- */

static void a_model(stage *s)
{
    s->bundle = torture_parse(s->ctx, &torture_small[2]);
    OK(stg_model_load(&s->model, s->bundle, NULL));
}

static int32_t ref(stage *s)
{
    const void *same = stg_ref(s->model);
    stg_unref(same);
    return same == s->model && stg_ref(NULL) == NULL ? STG_OK : STG_E_STATE;
}

static int32_t unref(stage *s)
{
    stg_unref(s->model);
    stg_unref(NULL);
    s->model = NULL;
    return STG_OK;
}

static void prove_the_model(stage *s, proof *p)
{
    prove_model(p, s->model);
}

/* --- bundle ----------------------------------------------------------------------------------- */

static void prove_the_bundle(stage *s, proof *p)
{
    prove_bundle(p, s->bundle);
}

static int32_t open_empty(stage *s)
{
    HANDED(stg_bundle_open(&s->bundle, s->ctx, NULL, &s->err), s->bundle);
}

static int32_t parse_small(stage *s)
{
    const torture_file *f = &torture_small[2];
    HANDED(stg_bundle_parse(&s->bundle, s->ctx, f->bytes, f->len, &s->err), s->bundle);
}

static int32_t parse_line(stage *s)
{
    const torture_file *f = &torture_line;
    HANDED(stg_bundle_parse(&s->bundle, s->ctx, f->bytes, f->len, &s->err), s->bundle);
}

static void an_old_file(stage *s)
{
    strcpy(s->path, "/tmp/stg-torture-XXXXXX");
    const int fd = mkstemp(s->path);
    SURE(fd >= 0);
    SURE(write(fd, "old", 3) == 3);
    close(fd);
}

/* Longer than the first buffer that a file is read into. */
static int32_t open_file(stage *s)
{
    HANDED(stg_bundle_open(&s->bundle, s->ctx, getenv("MODEL_FILE"), &s->err), s->bundle);
}

static void a_bundle(stage *s)
{
    s->bundle = torture_parse(s->ctx, &torture_small[2]);
}

static void a_bundle_to_save(stage *s)
{
    a_bundle(s);
    an_old_file(s);
}

static int32_t save(stage *s)
{
    return stg_bundle_save(s->bundle, s->path, &s->err);
}

/* The old one or the new one. */
static void prove_the_file(stage *s, proof *p)
{
    FILE *file = fopen(s->path, "rb");
    size_t n;
    SURE(file);
    while ((n = fread(text, 1, sizeof text, file)) > 0)
        prove_bytes(p, text, n);
    fclose(file);
}

static int32_t serialize(stage *s)
{
    size_t len = 0;
    const int32_t status = stg_bundle_serialize(s->bundle, NULL, 0, &len);
    if (status != STG_MORE || len != torture_small[2].len || len > sizeof text)
        return STG_E_STATE;
    return stg_bundle_serialize(s->bundle, text, sizeof text, &len);
}

static int32_t describe(stage *s)
{
    size_t len = 0;
    return stg_bundle_describe(s->bundle, text, sizeof text, &len);
}

static void prove_text_of(stage *s, proof *p)
{
    prove_bytes(p, text, torture_small[2].len < sizeof text ? torture_small[2].len : sizeof text);
    memset(text, 0, sizeof text);
}

static int32_t bundle_destroy(stage *s)
{
    stg_bundle_destroy(s->bundle);
    stg_bundle_destroy(NULL);
    s->bundle = NULL;
    return STG_OK;
}

static const torture_case list[] = {
    {"stg_ctx_create", "first", NULL, ctx_create, NULL, NULL, NO_CTX},
    {"stg_ctx_destroy", "last", NULL, ctx_destroy, NULL, NULL, QUIET},
    {"stg_status_name", "a name", NULL, names, NULL, NULL, QUIET},
    {"stg_version", "number", NULL, version, NULL, NULL, QUIET},
    {"stg_version_string", "text", NULL, version_string, NULL, NULL, QUIET},
    {"stg_struct_size", "call", NULL, struct_size, NULL, NULL, QUIET},
    {"stg_ref", "a model", a_model, ref, prove_the_model, NULL, QUIET},
    {"stg_unref", "the last", a_model, unref, NULL, NULL, QUIET},
    {"stg_bundle_open", "empty", NULL, open_empty, prove_the_bundle, NULL, TELLS},
    {"stg_bundle_open", "a file", NULL, open_file, prove_the_bundle, NULL, TELLS},
    {"stg_bundle_parse", "small", NULL, parse_small, prove_the_bundle, NULL, TELLS},
    {"stg_bundle_parse", "whole line", NULL, parse_line, prove_the_bundle, NULL, TELLS},
    {"stg_bundle_save", "over another", a_bundle_to_save, save, prove_the_file, prove_the_file, TELLS},
    {"stg_bundle_serialize", "both calls", a_bundle, serialize, prove_text_of, NULL, QUIET},
    {"stg_bundle_describe", "whole", a_bundle, describe, prove_text_of, NULL, QUIET},
    {"stg_bundle_destroy", "full", a_bundle, bundle_destroy, NULL, NULL, QUIET},
};
const torture_table torture_base = {list, sizeof list / sizeof *list};
