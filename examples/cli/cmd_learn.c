/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stgraph learn: recorded calls of normal traffic in, one model file out. The first part of the
 * windows trains the forecaster, the rest, which it has not seen, calibrates the detector.
 */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char help[] =
    "Usage: stgraph learn --calls FILE... [--gauges FILE...] --out MODEL [OPTION]...\n"
    "Learns a model from recordings of normal traffic.\n"
    "\n"
    "      --calls FILE...     calls, one JSON object a line, in the order of their end; '-' is\n"
    "                          standard input, .xz and .gz are unpacked\n"
    "      --gauges FILE...    gauges that belong to them\n"
    "      --window SECONDS    length of a window (default 5)\n"
    "      --day SECONDS       length of the day that traffic repeats in (default 86400)\n"
    "      --out MODEL         file to write\n"
    "      --kind KIND         dcrnn (default), seasonal or persistence\n"
    "      --hops K            diffusion steps on the graph (default 2; 0: no graph)\n"
    "      --units U           units of a recurrent layer (default 16)\n"
    "      --layers L          recurrent layers (default 2)\n"
    "      --epochs E          passes over the data at most (default 40)\n"
    "      --seed N            of weights and order (default 1)\n"
    "      --threads N         threads while training (default 1)\n"
    "      --lead N            windows between a forecast and the window it judges (default 1)\n"
    "      --help              this text\n";

typedef struct learn {
    cli_files calls;
    cli_files gauges;
    const char *out;
    double window_s;
    uint32_t lead;
    stg_trainer_opts train;
    stg_ctx *ctx;
    stg_ingest *ingest;
    const stg_graph **graphs;
    size_t count;
    size_t cap;
    bool terminal;
} learn;

enum {
    OPT_CALLS = 256, OPT_GAUGES, OPT_WINDOW, OPT_DAY, OPT_OUT, OPT_KIND, OPT_HOPS, OPT_UNITS,
    OPT_LAYERS, OPT_EPOCHS, OPT_SEED, OPT_THREADS, OPT_LEAD, OPT_HELP
};

static const struct option options[] = {
    {"calls", required_argument, NULL, OPT_CALLS},   {"gauges", required_argument, NULL, OPT_GAUGES},
    {"window", required_argument, NULL, OPT_WINDOW}, {"day", required_argument, NULL, OPT_DAY},
    {"out", required_argument, NULL, OPT_OUT},       {"kind", required_argument, NULL, OPT_KIND},
    {"hops", required_argument, NULL, OPT_HOPS},     {"units", required_argument, NULL, OPT_UNITS},
    {"layers", required_argument, NULL, OPT_LAYERS}, {"epochs", required_argument, NULL, OPT_EPOCHS},
    {"seed", required_argument, NULL, OPT_SEED},     {"threads", required_argument, NULL, OPT_THREADS},
    {"lead", required_argument, NULL, OPT_LEAD},     {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* Options that are numbers. */
static bool take_number(learn *l, int option, const char *text)
{
    double v = 0;
    switch (option) {
    case OPT_WINDOW:
        return cli_number(text, "--window", 0.001, 3600, &l->window_s);
    case OPT_DAY:
        if (!cli_number(text, "--day", 1, 864000, &v))
            return false;
        l->train.day_ns = (uint64_t)llround(v * 1e9);
        return true;
    case OPT_HOPS:
        if (!cli_number(text, "--hops", 0, 8, &v))
            return false;
        l->train.hops = v > 0 ? (uint32_t)v : STG_NO_HOPS;
        return true;
    case OPT_UNITS:
        return cli_number(text, "--units", 1, 512, &v) && (l->train.units = (uint32_t)v);
    case OPT_LAYERS:
        return cli_number(text, "--layers", 1, 8, &v) && (l->train.layers = (uint32_t)v);
    case OPT_EPOCHS:
        return cli_number(text, "--epochs", 1, 100000, &v) && (l->train.epochs = (uint32_t)v);
    case OPT_SEED:
        if (!cli_number(text, "--seed", 0, 0x1p53, &v))
            return false;
        l->train.seed = (uint64_t)v;
        return true;
    case OPT_THREADS:
        return cli_number(text, "--threads", 1, 64, &v) && (l->train.threads = (uint32_t)v);
    default:
        return cli_number(text, "--lead", 1, 12, &v) && (l->lead = (uint32_t)v);
    }
}

static int parse(learn *l, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool ok = true;
        switch (option) {
        case OPT_HELP:
            fputs(help, stdout);
            return -1;
        case OPT_CALLS:
            ok = cli_take_files(&l->calls, optarg, argc, argv);
            break;
        case OPT_GAUGES:
            ok = cli_take_files(&l->gauges, optarg, argc, argv);
            break;
        case OPT_OUT:
            l->out = optarg;
            break;
        case OPT_KIND:
            l->train.kind = optarg;
            break;
        case '?':
            return cli_usage_error("learn", "bad option");
        default:
            ok = take_number(l, option, optarg);
        }
        if (!ok)
            return CLI_USAGE;
    }
    if (optind < argc)
        return cli_usage_error("learn", "'%s' does not belong there", argv[optind]);
    if (l->calls.count == 0 || !l->out)
        return cli_usage_error("learn", "--calls and --out are needed");
    return CLI_OK;
}

static int keep_window(uint64_t window_end, void *user)
{
    learn *l = (learn *)user;
    const stg_graph *graph;
    const int32_t status = stg_ingest_close(l->ingest, window_end, &graph);
    if (status == STG_E_TIME)
        return cli_fail("a recording begins before the one in front of it ends");
    if (status < 0)
        return cli_fail("closing a window: %s", stg_status_name(status));
    if (l->count == l->cap) {
        const size_t cap = l->cap ? l->cap * 2 : 1024;
        const stg_graph **grown =
            (const stg_graph **)realloc((void *)l->graphs, cap * sizeof *grown);
        if (!grown) {
            stg_unref(graph);
            return cli_fail("out of memory");
        }
        l->graphs = grown;
        l->cap = cap;
    }
    l->graphs[l->count++] = graph;
    if (l->terminal && l->count % 20 == 0)
        fprintf(stderr, "\rreading: %zu windows", l->count);
    return CLI_OK;
}

static int read_windows(learn *l)
{
    const stg_ingest_opts opts = {.size = sizeof opts,
                                  .window_ns = (uint64_t)llround(l->window_s * 1e9)};
    if (stg_ingest_create(&l->ingest, l->ctx, &opts) != STG_OK)
        return cli_fail("--window %g is not possible", l->window_s);
    cli_replay replay = {
        .ctx = l->ctx, .ingest = l->ingest, .calls = &l->calls, .gauges = &l->gauges,
        .window_ns = opts.window_ns, .window = keep_window, .user = l, .max_bad = 1000,
    };
    const int code = cli_replay_run(&replay);
    if (l->terminal)
        fputs("\r\033[K", stderr);
    if (code == CLI_OK)
        cli_say("read %llu calls in %zu windows of %g s%s", (unsigned long long)replay.records,
                l->count, l->window_s, replay.bad_lines ? ", some lines were bad" : "");
    const double day_s = l->train.day_ns ? (double)l->train.day_ns / 1e9 : 86400;
    if (code == CLI_OK && (double)l->count * l->window_s < day_s)
        cli_say("the recording is %.2g of a day (--day %.0f): of the rest the profile knows nothing",
                (double)l->count * l->window_s / day_s, day_s);
    return code;
}

static const stg_model *train(learn *l, size_t windows)
{
    stg_trainer *trainer = NULL;
    const stg_model *model = NULL;
    stg_error err;
    cli_progress progress;
    l->train.progress = cli_progress_show;
    l->train.progress_user = &progress;
    int32_t status = stg_trainer_create(&trainer, l->ctx, &l->train, &err);
    for (size_t i = 0; status == STG_OK && i < windows; i++) {
        status = stg_trainer_add(trainer, l->graphs[i]);
        if (status < 0)
            snprintf(err.text, sizeof err.text, "adding a window: %s", stg_status_name(status));
    }
    cli_progress_begin(&progress);
    if (status == STG_OK)
        status = stg_trainer_run(trainer, &model, &err);
    const double seconds = cli_progress_end(&progress);
    if (status != STG_OK)
        cli_say("training: %s", err.text);
    else
        cli_say("trained in %.1f s", seconds);
    stg_trainer_destroy(trainer);
    return model;
}

/* Runs the model over all windows and shows the detector those from `first` on, each with the
 * forecast that was made `lead` windows before. */
static int calibrate(learn *l, const stg_model *model, stg_detector *det, size_t first)
{
    stg_session *session = NULL;
    const stg_forecast *ring[16] = {NULL}; /* by the number of the window they were made after */
    int code = CLI_OK;
    if (stg_session_create(&session, l->ctx, model, NULL) != STG_OK)
        return cli_fail("out of memory");
    for (size_t i = 0; i < l->count && code == CLI_OK; i++) {
        const stg_forecast *fc = i >= l->lead ? ring[(i - l->lead) % 16] : NULL;
        stg_graph_info g = {.size = sizeof g};
        stg_forecast_info f = {.size = sizeof f};
        stg_graph_get_info(l->graphs[i], &g);
        const bool covers = fc && stg_forecast_get_info(fc, &f) == STG_OK && f.ready &&
                            g.start_ns >= f.start_ns &&
                            g.end_ns <= f.start_ns + f.horizon * f.window_ns;
        int32_t status = STG_OK;
        if (covers && i >= first)
            status = stg_detector_learn(det, l->graphs[i], fc);
        if (status >= 0)
            status = stg_session_step(session, l->graphs[i], NULL);
        stg_unref(ring[i % 16]);
        ring[i % 16] = NULL;
        if (status >= 0)
            status = stg_session_forecast(session, l->lead, &ring[i % 16]);
        if (status < 0)
            code = cli_fail("calibrating: %s", stg_status_name(status));
    }
    for (size_t i = 0; i < 16; i++)
        stg_unref(ring[i]);
    stg_session_destroy(session);
    return code;
}

static int run(learn *l)
{
    int code = read_windows(l);
    if (code)
        return code;
    /* The forecaster's windows must not judge themselves: what it has seen it forecasts too well. */
    const size_t trained = l->count * 6 / 10;
    const stg_model *model = train(l, trained);
    if (!model)
        return CLI_FAILED;
    stg_detector *det = NULL;
    stg_bundle *bundle = NULL;
    stg_error err = {0};
    code = CLI_FAILED;
    if (stg_detector_create(&det, l->ctx, NULL, NULL, &err) != STG_OK ||
        stg_bundle_open(&bundle, l->ctx, NULL, &err) != STG_OK) {
        cli_say("%s", err.text);
        goto out;
    }
    if (calibrate(l, model, det, trained) != CLI_OK)
        goto out;
    if (stg_detector_fit(det, &err) != STG_OK) {
        cli_say("calibrating: %s", err.text);
        goto out;
    }
    if (stg_model_store(model, bundle) != STG_OK || stg_detector_store(det, bundle) != STG_OK ||
        stg_ingest_store(l->ingest, bundle) != STG_OK) {
        cli_say("out of memory");
        goto out;
    }
    if (stg_bundle_save(bundle, l->out, &err) != STG_OK) {
        cli_say("%s", err.text);
        goto out;
    }
    cli_say("wrote %s", l->out);
    code = CLI_OK;
out:
    stg_detector_destroy(det);
    stg_bundle_destroy(bundle);
    stg_unref(model);
    return code;
}

int cli_learn(int argc, char **argv)
{
    learn l = {.window_s = 5, .lead = 1, .train = {.size = sizeof l.train, .seed = 1}};
    const int code = parse(&l, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    l.terminal = isatty(STDERR_FILENO);
    l.ctx = cli_context();
    const int result = l.ctx ? run(&l) : CLI_FAILED;
    for (size_t i = 0; i < l.count; i++)
        stg_unref(l.graphs[i]);
    free((void *)l.graphs);
    stg_ingest_destroy(l.ingest);
    stg_ctx_destroy(l.ctx);
    return result;
}
