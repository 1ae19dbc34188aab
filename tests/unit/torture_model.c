/* SPDX-License-Identifier: Apache-2.0 */
/* Torture cases of model, session and trainer, on the small models and worlds. */
#include "checkpoint.h"
#include "learn.h"
#include "torture.h"

/* The windows of one world, then of a larger one: another topology. */
enum { BEFORE = 6, AFTER = 10, WINDOWS = 40 };

static const stg_graph *graph_of(uint32_t at)
{
    static const stg_graph *graph[WINDOWS]; /* on plain memory, for as long as the process */
    if (!graph[0]) {
        stg_ctx *ctx = test_ctx(NULL);
        world w[2];
        OK(world_open(&w[0], ctx, 4, 6));
        OK(world_open(&w[1], ctx, 6, 6));
        for (uint32_t i = 0; i < WINDOWS; i++)
            OK(world_next(&w[i >= BEFORE], i, &graph[i]));
        world_close(&w[0]);
        world_close(&w[1]);
        stg_ctx_destroy(ctx);
    }
    return graph[at];
}

/* --- model ------------------------------------------------------------------------------------ */

static void bundle_of(stage *s, int kind)
{
    s->bundle = torture_parse(s->ctx, &torture_small[kind]);
}

static void persistence_file(stage *s)
{
    bundle_of(s, 0);
}

static void seasonal_file(stage *s)
{
    bundle_of(s, 1);
}

static void dcrnn_file(stage *s)
{
    bundle_of(s, 2);
}

static int32_t load(stage *s)
{
    HANDED(stg_model_load(&s->model, s->bundle, &s->err), s->model);
}

/* A checkpoint's bytes, on plain memory for as long as the process. */
static int32_t import(stage *s)
{
    static unsigned char *bytes;
    static size_t len;
    const checkpoint c = {.prefix = "", .settings = "", .layers = 2, .units = 2, .copies = 5,
                          .inputs = 2, .targets = 1, .weight = 0.5f};
    stg_graph_info info = {.size = sizeof info};
    OK(stg_graph_get_info(graph_of(0), &info));
    const stg_import_opts opts = {.size = sizeof opts, .column = "calls", .mean = 1, .deviation = 2,
                                  .history = 4, .horizon = 3,
                                  .window_ns = info.end_ns - info.start_ns};
    if (!bytes)
        bytes = checkpoint_make(&c, &len);
    HANDED(stg_model_import(&s->model, s->ctx, bytes, len, &opts, &s->err), s->model);
}

static void prove_the_model(stage *s, proof *p)
{
    prove_model(p, s->model);
}

static void prove_the_bundle(stage *s, proof *p)
{
    prove_bundle(p, s->bundle);
}

/* A model, and a file that holds another one. */
static void a_model_and_another(stage *s)
{
    dcrnn_file(s);
    OK(load(s));
    stg_bundle_destroy(s->bundle);
    seasonal_file(s);
}

static void a_model_and_an_empty_file(stage *s)
{
    dcrnn_file(s);
    OK(load(s));
    stg_bundle_destroy(s->bundle);
    s->bundle = NULL;
    OK(stg_bundle_open(&s->bundle, s->ctx, NULL, NULL));
}

static int32_t store(stage *s)
{
    return stg_model_store(s->model, s->bundle);
}

static void a_model(stage *s)
{
    dcrnn_file(s);
    OK(load(s));
}

static int32_t get_info(stage *s)
{
    stg_model_info i = {.size = sizeof i};
    const int32_t status = stg_model_get_info(s->model, &i);
    return status ? status : strcmp(i.kind, "dcrnn") ? STG_E_STATE : STG_OK;
}

static int32_t column(stage *s)
{
    const char *name = stg_model_column(s->model, 0, 0);
    return name && strcmp(name, "calls") == 0 && !stg_model_column(s->model, 0, 99) ? STG_OK
                                                                                   : STG_E_STATE;
}

/* --- session ---------------------------------------------------------------------------------- */

static void session_model(stage *s, int kind)
{
    bundle_of(s, kind);
    OK(load(s));
}

static void persistence(stage *s)
{
    session_model(s, 0);
}

static void seasonal(stage *s)
{
    session_model(s, 1);
}

static void dcrnn(stage *s)
{
    session_model(s, 2);
}

static void series(stage *s)
{
    OK(import(s));
}

static void stateful(stage *s)
{
    session_model(s, 3);
}

static int32_t session_create(stage *s)
{
    stg_model_info info = {.size = sizeof info};
    OK(stg_model_get_info(s->model, &info));
    const stg_session_opts opts = {.size = sizeof opts, .mode = info.stateful_ok,
                                   .graph = info.stateful_ok ? STG_GRAPH_EWMA : STG_GRAPH_STATIC};
    HANDED(stg_session_create(&s->session, s->ctx, s->model, &opts), s->session);
}

static void step_to(stage *s, uint32_t windows)
{
    OK(session_create(s));
    for (; s->done < windows; s->done++)
        OK(stg_session_step(s->session, graph_of(s->done), NULL));
}

#define SESSIONS(kind)                                                                             \
    static void kind##_new(stage *s)                                                               \
    {                                                                                              \
        kind(s);                                                                                   \
        step_to(s, 0);                                                                             \
    }                                                                                              \
    static void kind##_warm(stage *s)                                                              \
    {                                                                                              \
        kind(s);                                                                                   \
        step_to(s, BEFORE - 1);                                                                    \
    }                                                                                              \
    static void kind##_changing(stage *s)                                                          \
    {                                                                                              \
        kind(s);                                                                                   \
        step_to(s, BEFORE);                                                                        \
    }
SESSIONS(persistence)
SESSIONS(seasonal)
SESSIONS(dcrnn)
SESSIONS(series)
SESSIONS(stateful)

static int32_t step(stage *s)
{
    return stg_session_step(s->session, graph_of(s->done), NULL);
}

/* Two windows are missing, and a node is in an incident, while the topology changes too. */
static int32_t step_over(stage *s)
{
    const uint8_t mask[8] = {0, 1};
    return stg_session_step(s->session, graph_of(s->done + 2), mask);
}

static int32_t forecast(stage *s)
{
    HANDED(stg_session_forecast(s->session, 3, &s->forecast), s->forecast);
}

static void with_forecast(stage *s)
{
    dcrnn_changing(s);
    OK(forecast(s));
}

/* Forecasts of this window and of two later ones, the topology of the last is another. */
static void prove_session(stage *s, proof *p)
{
    for (uint32_t at = s->done + 3; at < s->done + 6; at++) {
        if (!s->forecast)
            OK(forecast(s));
        prove_forecast(p, s->forecast);
        stg_unref(s->forecast);
        s->forecast = NULL;
        OK(stg_session_step(s->session, graph_of(at), NULL));
    }
}

static void prove_new_session(stage *s, proof *p)
{
    OK(stg_session_step(s->session, graph_of(0), NULL));
    prove_session(s, p);
}

static int32_t session_destroy(stage *s)
{
    stg_session_destroy(s->session);
    stg_session_destroy(NULL);
    s->session = NULL;
    return STG_OK;
}

static int32_t forecast_info(stage *s)
{
    stg_forecast_info i = {.size = sizeof i};
    const int32_t status = stg_forecast_get_info(s->forecast, &i);
    return status ? status : i.horizon == 3 ? STG_OK : STG_E_STATE;
}

static int32_t forecast_mean(stage *s)
{
    return stg_forecast_mean(s->forecast, STG_NODE, "calls", 5, 0) ? STG_OK : STG_E_STATE;
}

/* --- trainer ---------------------------------------------------------------------------------- */

static int32_t trainer_of(stage *s, const char *kind, uint32_t threads)
{
    stg_trainer_opts opts = learn_small(kind);
    opts.history = opts.horizon = 2;
    opts.threads = threads;
    opts.warmup = threads; /* as good a number as any */
    HANDED(stg_trainer_create(&s->trainer, s->ctx, &opts, &s->err), s->trainer);
}

static int32_t trainer_create(stage *s)
{
    return trainer_of(s, "dcrnn", 1);
}

static void a_trainer(stage *s)
{
    OK(trainer_create(s));
}

static int32_t add_to(stage *s, uint32_t windows)
{
    for (; s->done < windows; s->done++)
        STG_RETURN_IF_ERROR(stg_trainer_add(s->trainer, graph_of(s->done)));
    return STG_OK;
}

static int32_t add(stage *s)
{
    return add_to(s, AFTER + 4);
}

static void filled(stage *s, const char *kind, uint32_t threads)
{
    OK(trainer_of(s, kind, threads));
    OK(add(s));
}

static void full_persistence(stage *s)
{
    filled(s, "persistence", 1);
}

static void full_seasonal(stage *s)
{
    filled(s, "seasonal", 1);
}

static void full_dcrnn(stage *s)
{
    filled(s, "dcrnn", 1);
}

static void full_threads(stage *s)
{
    filled(s, "dcrnn", 3);
}

static int32_t run(stage *s)
{
    HANDED(stg_trainer_run(s->trainer, &s->model, &s->err), s->model);
}

static void prove_run(stage *s, proof *p)
{
    OK(add(s));
    OK(run(s));
    prove_model(p, s->model);
}

/* The model, and that the trainer takes more and learns again. */
static void prove_learnt(stage *s, proof *p)
{
    prove_model(p, s->model);
    stg_unref(s->model);
    s->model = NULL;
    OK(add_to(s, s->done + 2));
    OK(run(s));
    prove_model(p, s->model);
}

static int32_t trainer_destroy(stage *s)
{
    stg_trainer_destroy(s->trainer);
    stg_trainer_destroy(NULL);
    s->trainer = NULL;
    return STG_OK;
}

/* --- state ------------------------------------------------------------------------------------ */

static void keep(stage *s, const void *object)
{
    stg_bundle_destroy(s->bundle);
    s->bundle = NULL;
    torture_keep(s, object);
}

static void session_used(stage *s)
{
    dcrnn_changing(s);
    keep(s, s->session);
}

static void stateful_used(stage *s)
{
    stateful_changing(s);
    keep(s, s->session);
}

static void stateful_died(stage *s)
{
    stateful_used(s);
    (void)session_destroy(s);
    OK(session_create(s));
}

static void session_died(stage *s)
{
    session_used(s);
    (void)session_destroy(s);
    OK(session_create(s));
}

static int32_t session_save(stage *s)
{
    return stg_state_save(s->session, s->bundle, &s->err);
}

static int32_t session_restore(stage *s)
{
    return stg_state_restore(s->session, s->bundle, &s->err);
}

static void prove_session_state(stage *s, proof *p)
{
    prove_state(p, s->ctx, s->session);
}

static void prove_session_on(stage *s, proof *p)
{
    prove_session_state(s, p);
    prove_session(s, p);
}

static void trainer_used(stage *s)
{
    filled(s, "seasonal", 1);
    keep(s, s->trainer);
}

static void trainer_died(stage *s)
{
    trainer_used(s);
    (void)trainer_destroy(s);
    OK(trainer_of(s, "seasonal", 1));
}

static int32_t never(const stg_train_progress *progress, void *user)
{
    return 1;
}

/* Stopped after its first batch. */
static void trainer_stopped(stage *s)
{
    stg_trainer_opts opts = learn_small("dcrnn");
    opts.history = opts.horizon = 2;
    opts.mask = "errors";
    opts.progress = never;
    OK(stg_trainer_create(&s->trainer, s->ctx, &opts, &s->err));
    OK(add(s));
    ck_assert_int_eq(stg_trainer_run(s->trainer, &s->model, NULL), STG_E_CANCELLED);
    keep(s, s->trainer);
}

static void stopped_died(stage *s)
{
    trainer_stopped(s);
    (void)trainer_destroy(s);
    OK(trainer_create(s));
}

static int32_t trainer_save(stage *s)
{
    return stg_state_save(s->trainer, s->bundle, &s->err);
}

static int32_t trainer_restore(stage *s)
{
    return stg_state_restore(s->trainer, s->bundle, &s->err);
}

static void prove_trainer_state(stage *s, proof *p)
{
    prove_state(p, s->ctx, s->trainer);
}

static void prove_the_saved(stage *s, proof *p)
{
    prove_bundle(p, s->bundle);
}

static const torture_case list[] = {
    {"stg_state_save", "session", session_used, session_save, prove_the_saved, prove_the_saved, TELLS},
    {"stg_state_save", "trainer", trainer_used, trainer_save, prove_the_saved, prove_the_saved, TELLS},
    {"stg_state_save", "trainer, stopped", trainer_stopped, trainer_save, prove_the_saved,
     prove_the_saved, TELLS},
    {"stg_state_restore", "trainer, stopped", stopped_died, trainer_restore, prove_trainer_state,
     prove_trainer_state, TELLS},
    {"stg_state_restore", "session", session_died, session_restore, prove_session_on,
     prove_session_state, TELLS},
    {"stg_state_restore", "trainer", trainer_died, trainer_restore, prove_trainer_state,
     prove_trainer_state, TELLS},
    {"stg_state_restore", "stateful session", stateful_died, session_restore, prove_session_on,
     prove_session_state, TELLS},
    {"stg_model_load", "persistence", persistence_file, load, prove_the_model, NULL, TELLS},
    {"stg_model_load", "seasonal", seasonal_file, load, prove_the_model, NULL, TELLS},
    {"stg_model_load", "dcrnn", dcrnn_file, load, prove_the_model, NULL, TELLS},
    {"stg_model_import", "safetensors", NULL, import, prove_the_model, NULL, TELLS},
    {"stg_model_store", "over another", a_model_and_another, store, prove_the_bundle,
     prove_the_bundle, 0},
    {"stg_model_store", "empty", a_model_and_an_empty_file, store, prove_the_bundle,
     prove_the_bundle, 0},
    {"stg_model_get_info", "all", a_model, get_info, prove_the_model, NULL, QUIET},
    {"stg_model_column", "first", a_model, column, prove_the_model, NULL, QUIET},
    {"stg_session_create", "series", series, session_create, prove_new_session, NULL, 0},
    {"stg_session_create", "dcrnn", dcrnn, session_create, prove_new_session, NULL, 0},
    {"stg_session_step", "persistence, first", persistence_new, step, prove_session, NULL, 0},
    {"stg_session_step", "persistence, change", persistence_changing, step, prove_session, NULL, 0},
    {"stg_session_step", "persistence, same", persistence_warm, step, prove_session, NULL, QUIET},
    {"stg_session_step", "seasonal, first", seasonal_new, step, prove_session, NULL, 0},
    {"stg_session_step", "seasonal, change", seasonal_changing, step, prove_session, NULL, 0},
    {"stg_session_step", "seasonal, same", seasonal_warm, step, prove_session, NULL, QUIET},
    {"stg_session_step", "dcrnn, first", dcrnn_new, step, prove_session, NULL, 0},
    {"stg_session_step", "dcrnn, change", dcrnn_changing, step, prove_session, NULL, 0},
    {"stg_session_step", "dcrnn, same", dcrnn_warm, step, prove_session, NULL, QUIET},
    {"stg_session_step", "stateful, first", stateful_new, step, prove_session, NULL, 0},
    {"stg_session_step", "stateful, change", stateful_changing, step, prove_session, NULL, 0},
    {"stg_session_step", "stateful, same", stateful_warm, step, prove_session, NULL, QUIET},
    {"stg_session_step", "stateful, gap, mask, change", stateful_warm, step_over, prove_session, NULL,
     0},
    {"stg_session_step", "series, first", series_new, step, prove_session, NULL, 0},
    {"stg_session_step", "series, change", series_changing, step, prove_session, NULL, 0},
    {"stg_session_step", "series, same", series_warm, step, prove_session, NULL, QUIET},
    {"stg_session_step", "series, gap, mask, change", series_warm, step_over, prove_session, NULL, 0},
    {"stg_session_step", "persistence, gap, mask, change", persistence_warm, step_over,
     prove_session, NULL, 0},
    {"stg_session_step", "seasonal, gap, mask, change", seasonal_warm, step_over, prove_session,
     NULL, 0},
    {"stg_session_step", "dcrnn, gap, mask, change", dcrnn_warm, step_over, prove_session, NULL, 0},
    {"stg_session_forecast", "persistence", persistence_warm, forecast, prove_session, NULL, 0},
    {"stg_session_forecast", "seasonal", seasonal_warm, forecast, prove_session, NULL, 0},
    {"stg_session_forecast", "dcrnn", dcrnn_warm, forecast, prove_session, NULL, 0},
    {"stg_session_destroy", "warm", dcrnn_warm, session_destroy, NULL, NULL, QUIET},
    {"stg_forecast_get_info", "all", with_forecast, forecast_info, prove_session, NULL, QUIET},
    {"stg_forecast_mean", "calls", with_forecast, forecast_mean, prove_session, NULL, QUIET},
    {"stg_trainer_create", "dcrnn", NULL, trainer_create, prove_run, NULL, TELLS},
    {"stg_trainer_add", "with a change", a_trainer, add, prove_run, NULL, 0},
    {"stg_trainer_run", "persistence", full_persistence, run, prove_learnt, NULL, TELLS},
    {"stg_trainer_run", "seasonal", full_seasonal, run, prove_learnt, NULL, TELLS},
    {"stg_trainer_run", "dcrnn", full_dcrnn, run, prove_learnt, NULL, TELLS},
    {"stg_trainer_run", "dcrnn, threads", full_threads, run, prove_learnt, NULL, TELLS},
    {"stg_trainer_destroy", "full", full_dcrnn, trainer_destroy, NULL, NULL, QUIET},
};
const torture_table torture_model = {list, sizeof list / sizeof *list};
