/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stgraph eval forecast: runs a model over a series of plain numbers and compares its forecasts with
 * what came, horizon by horizon, beside persistence. Every window stands for itself: the model sees the
 * windows of its history and nothing before them.
 */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "table.h"

static const char help[] =
    "Usage: stgraph eval forecast --model MODEL --series FILE [--graph FILE] [OPTION]...\n"
    "Judges forecasts of a series: CSV, names of the nodes in the first line, one window a line.\n"
    "\n"
    "      --model MODEL      model file, or a checkpoint that 'stgraph import' can read\n"
    "      --series FILE      the series\n"
    "      --graph FILE       src,dst[,weight] below a line of names (ends are names of the series or\n"
    "                         numbers of its columns), or a matrix of weights\n"
    "      --split A,B,C      shares of training, validation and test, in the order of time; judged is\n"
    "                         the test part (default: all of the series)\n"
    "      --stride N         judge every N-th window only (default 1)\n"
    "      --mean X, --std X  of the values the model was trained on, where it does not say them;\n"
    "                         with --split otherwise those of the training part\n"
    "      --supports ORDER   exact or port_reversed, in place of what the model says\n"
    "      --mode MODE        exact (default): the history is read anew for each window; stateful: the\n"
    "                         state is carried on from the first row, for models trained with --warmup\n"
    "      --null X           value that stands for a missing one: seen as it is, but not judged\n"
    "                         (default 0; 'none': all are judged)\n"
    "      --json             one JSON object a line: horizon, metric, value\n"
    "      --help             this text\n"
    "\n"
    "Errors: mae, rmse and mape (in per cent) over all nodes and windows; horizons count windows. Ours\n"
    "stands beside persistence, which says that the last value stays.\n";

#define METHODS 2 /* ours, persistence */

typedef struct sums {
    double count;
    double absolute;
    double squared;
    double relative;
    double nonzero; /* values that the relative error is taken over */
} sums;

typedef struct task {
    const char *model_path;
    const char *series_path;
    const char *graph_path;
    cli_split split;
    double stride;
    double mean;
    double deviation; /* 0: not told */
    bool has_mean;
    uint32_t supports;
    uint32_t mode;
    double null; /* NaN: none */
    bool json;
    stg_ctx *ctx;
    cli_series series;
    cli_links links;
    const stg_model *model;
    stg_model_info info;
    size_t windows; /* of history and horizon that the series has */
    size_t first;   /* first window judged */
    sums *sum;      /* [METHODS][horizon] */
    size_t judged;
} task;

/* --- judging ------------------------------------------------------------------------------------ */

static void add_error(const task *t, sums *s, double forecast, double seen)
{
    if (isnan(seen) || isnan(forecast) || seen == t->null)
        return;
    const double error = fabs(forecast - seen);
    s->count++;
    s->absolute += error;
    s->squared += error * error;
    if (seen != 0) {
        s->relative += error / fabs(seen);
        s->nonzero++;
    }
}

/* The windows behind `row`, which is the last that the model has seen. */
static int judge(task *t, stg_session *session, const stg_graph *graph, size_t row)
{
    const stg_forecast *f;
    const char *column = stg_model_column(t->model, 1, 0);
    const int32_t status = stg_session_forecast(session, t->info.horizon, &f);
    if (status != STG_OK)
        return cli_fail("forecast: %s", stg_status_name(status));
    for (uint32_t step = 0; step < t->info.horizon; step++) {
        const double *mean = stg_forecast_mean(f, STG_NODE, column, strlen(column), step);
        const double *seen = t->series.value + (row + 1 + step) * t->series.nodes;
        const double *last = t->series.value + row * t->series.nodes;
        for (size_t i = 0; i < t->series.nodes; i++) {
            add_error(t, &t->sum[step], mean[cli_table_node(graph, i)], seen[i]);
            add_error(t, &t->sum[t->info.horizon + step], last[i], seen[i]);
        }
    }
    t->judged++;
    stg_unref(f);
    return CLI_OK;
}

static int run_rows(task *t, stg_session *session, cli_table *table)
{
    const size_t stride = (size_t)t->stride;
    const size_t history = t->info.history;
    int code = CLI_OK;
    const size_t from = t->mode == STG_MODE_STATEFUL ? 0 : t->first;
    for (size_t row = from; code == CLI_OK && row < t->windows + history - 1; row++) {
        const stg_graph *graph = cli_table_graph(table, row);
        const size_t seen = row + 1 > t->first ? row + 1 - t->first : 0;
        if (!graph)
            return CLI_FAILED;
        const int32_t status = stg_session_step(session, graph, NULL);
        if (status != STG_OK)
            code = cli_fail("series: %s", stg_status_name(status));
        else if (seen >= history && (seen - history) % stride == 0)
            code = judge(t, session, graph, row);
        stg_unref(graph);
    }
    return code;
}

/* Mean and deviation over all windows that training sees, so that a value counts as often as it is in
 * one. */
static bool scale_of_training(task *t)
{
    const size_t train = cli_split_windows(&t->split, t->windows, 0);
    const size_t history = t->info.history;
    double count = 0;
    double sum = 0;
    double squares = 0;
    for (int pass = 0; pass < 2; pass++) {
        const double mean = pass ? sum / count : 0;
        for (size_t row = 0; row + 1 < train + history; row++) {
            const size_t from = row + 1 > history ? row + 1 - history : 0;
            const double times = (double)((row < train ? row : train - 1) - from + 1);
            for (size_t i = 0; i < t->series.nodes; i++) {
                const double x = t->series.value[row * t->series.nodes + i];
                if (isnan(x))
                    continue;
                count += pass ? 0 : times;
                sum += pass ? 0 : times * x;
                squares += pass ? times * (x - mean) * (x - mean) : 0;
            }
        }
    }
    t->mean = sum / count;
    t->deviation = sqrt(squares / count);
    return train > 0 && t->deviation > 0;
}

/* With what was told, else with what the model says, else with the scale of the training part. */
static int32_t open_session(task *t, stg_session **session)
{
    for (;;) {
        const bool told = t->deviation > 0;
        const stg_session_opts opts = {.size = sizeof opts,
                                       .supports = t->supports,
                                       .mode = t->mode,
                                       .mean = told ? &t->mean : NULL,
                                       .deviation = told ? &t->deviation : NULL};
        const int32_t status = stg_session_create(session, t->ctx, t->model, &opts);
        if (status != STG_E_NOTFOUND || told || !t->split.given || !scale_of_training(t))
            return status;
    }
}

static int run_series(task *t)
{
    stg_session *session = NULL;
    const int32_t status = open_session(t, &session);
    if (status == STG_E_NOTFOUND)
        return cli_fail("the model does not say the mean and standard deviation of its training: give "
                        "--mean and --std, or --split");
    if (status == STG_E_UNSUPPORTED)
        return cli_fail("the model was trained on windows of its history alone, its state must not be "
                        "carried on: train it with --warmup, or leave out --mode stateful");
    if (status == STG_E_INVALID)
        return cli_fail("a model of kind %s has none of --mean and --std, --supports, --mode stateful",
                        t->info.kind);
    t->sum = (sums *)calloc((size_t)METHODS * t->info.horizon, sizeof *t->sum);
    if (status != STG_OK || !t->sum) {
        stg_session_destroy(session);
        return cli_fail("out of memory");
    }
    cli_table *table = cli_table_open(t->ctx, &t->series, &t->links, stg_model_column(t->model, 0, 0),
                                      t->info.window_ns);
    const int code = table ? run_rows(t, session, table) : CLI_FAILED;
    cli_table_close(table);
    stg_session_destroy(session);
    return code;
}

/* --- printing ----------------------------------------------------------------------------------- */

static void metrics_of(const sums *s, double out[3])
{
    out[0] = s->absolute / s->count;
    out[1] = sqrt(s->squared / s->count);
    out[2] = 100 * s->relative / s->nonzero;
}

static void print_json(uint32_t horizon, const char *prefix, const double *m)
{
    static const char *const name[] = {"mae", "rmse", "mape"};
    for (int i = 0; i < 3; i++)
        if (isfinite(m[i]))
            printf("{\"horizon\":%u,\"metric\":\"%s%s\",\"value\":%.9g}\n", horizon, prefix, name[i],
                   m[i]);
}

static int print_result(const task *t)
{
    if (!t->json) {
        printf("%zu windows of %zu nodes, %g s each\n", t->judged, t->series.nodes,
               (double)t->info.window_ns / 1e9);
        printf("                  --- %-12s ---    ------ persistence ------\n", t->info.kind);
        printf("horizon  minutes     mae    rmse   mape %%     mae    rmse   mape %%   values\n");
    }
    for (uint32_t step = 0; step < t->info.horizon; step++) {
        double ours[3];
        double last[3];
        metrics_of(&t->sum[step], ours);
        metrics_of(&t->sum[t->info.horizon + step], last);
        if (t->json) {
            print_json(step + 1, "", ours);
            print_json(step + 1, "persistence_", last);
        } else {
            printf("%7u %8.4g %7.3f %7.3f %8.2f %7.3f %7.3f %8.2f %8.0f\n", step + 1,
                   (double)(step + 1) * (double)t->info.window_ns / 6e10, ours[0], ours[1], ours[2],
                   last[0], last[1], last[2], t->sum[step].count);
        }
    }
    return fflush(stdout) == 0 ? CLI_OK : cli_fail("writing failed");
}

/* --- setting up --------------------------------------------------------------------------------- */

static int set_up(task *t)
{
    const stg_import_opts import = {.size = sizeof import};
    bool imported;
    t->info.size = sizeof t->info;
    if (!cli_read_series(&t->series, t->series_path) ||
        (t->graph_path && !cli_read_links(&t->links, t->graph_path, &t->series)))
        return CLI_FAILED;
    t->model = cli_read_model(t->ctx, t->model_path, &import, &imported);
    if (!t->model)
        return CLI_FAILED;
    stg_model_get_info(t->model, &t->info);
    if (t->info.inputs != 1 || t->info.targets != 1)
        return cli_fail("%s: reads %u columns and forecasts %u, where a series is one", t->model_path,
                        t->info.inputs, t->info.targets);
    const size_t needed = (size_t)t->info.history + t->info.horizon;
    if (t->series.rows < needed)
        return cli_fail("%s: %zu windows, but history and horizon take %zu", t->series_path,
                        t->series.rows, needed);
    if (t->info.hops > 0 && !t->graph_path)
        return cli_fail("the model looks at its neighbours: give --graph");
    t->windows = t->series.rows - needed + 1;
    if (!t->split.given)
        return CLI_OK;
    t->first = t->windows - cli_split_windows(&t->split, t->windows, 2);
    if (t->first == t->windows)
        return cli_fail("--split: nothing is left to be judged");
    return CLI_OK;
}

enum { OPT_MODEL = 256, OPT_SERIES, OPT_GRAPH, OPT_SPLIT, OPT_STRIDE, OPT_MEAN, OPT_STD, OPT_SUPPORTS,
       OPT_NULL, OPT_MODE, OPT_JSON, OPT_HELP };

static const struct option options[] = {
    {"model", required_argument, NULL, OPT_MODEL},
    {"series", required_argument, NULL, OPT_SERIES},
    {"graph", required_argument, NULL, OPT_GRAPH},
    {"split", required_argument, NULL, OPT_SPLIT},
    {"stride", required_argument, NULL, OPT_STRIDE},
    {"mean", required_argument, NULL, OPT_MEAN},
    {"std", required_argument, NULL, OPT_STD},
    {"supports", required_argument, NULL, OPT_SUPPORTS},
    {"null", required_argument, NULL, OPT_NULL},
    {"mode", required_argument, NULL, OPT_MODE},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_null(task *t, const char *text)
{
    if (strcmp(text, "none") != 0)
        return cli_number(text, "--null", -1e300, 1e300, &t->null);
    t->null = NAN;
    return true;
}

static bool take_mode(task *t, const char *text)
{
    t->mode = strcmp(text, "stateful") == 0 ? STG_MODE_STATEFUL : STG_MODE_EXACT;
    if (t->mode == STG_MODE_STATEFUL || strcmp(text, "exact") == 0)
        return true;
    cli_say("--mode: '%s' is neither exact nor stateful", text);
    return false;
}

static bool take(task *t, int option)
{
    switch (option) {
    case OPT_MODEL:
        t->model_path = optarg;
        return true;
    case OPT_SERIES:
        t->series_path = optarg;
        return true;
    case OPT_GRAPH:
        t->graph_path = optarg;
        return true;
    case OPT_SPLIT:
        return cli_split_read(&t->split, optarg);
    case OPT_STRIDE:
        return cli_number(optarg, "--stride", 1, 1e9, &t->stride);
    case OPT_MEAN:
        t->has_mean = true;
        return cli_number(optarg, "--mean", -1e15, 1e15, &t->mean);
    case OPT_STD:
        return cli_number(optarg, "--std", 1e-9, 1e15, &t->deviation);
    case OPT_SUPPORTS:
        return cli_supports_named(optarg, &t->supports);
    case OPT_NULL:
        return take_null(t, optarg);
    case OPT_MODE:
        return take_mode(t, optarg);
    default:
        t->json = true;
        return true;
    }
}

static int parse(task *t, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPT_HELP) {
            fputs(help, stdout);
            return -1;
        }
        if (option == '?')
            return cli_usage_error("eval forecast", "bad option");
        if (!take(t, option))
            return CLI_USAGE;
    }
    if (optind < argc)
        return cli_usage_error("eval forecast", "'%s' does not belong there", argv[optind]);
    if (!t->model_path || !t->series_path)
        return cli_usage_error("eval forecast", "--model and --series are needed");
    if (t->has_mean != (t->deviation > 0))
        return cli_usage_error("eval forecast", "--mean and --std go together");
    return CLI_OK;
}

int cli_eval_forecast(int argc, char **argv)
{
    task t = {.stride = 1};
    int code = parse(&t, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    t.ctx = cli_context();
    code = t.ctx ? set_up(&t) : CLI_FAILED;
    if (code == CLI_OK)
        code = run_series(&t);
    if (code == CLI_OK)
        code = print_result(&t);
    stg_unref(t.model);
    stg_ctx_destroy(t.ctx);
    cli_series_free(&t.series);
    cli_links_free(&t.links);
    free(t.sum);
    return code;
}
