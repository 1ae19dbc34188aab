/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stgraph train: a forecaster of kind dcrnn_series from tables, a series and a graph. What is kept for
 * the test is not looked at: rows end where the first window of the test has its first label.
 */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "table.h"

static const char help[] =
    "Usage: stgraph train --series FILE [--graph FILE] --out MODEL [OPTION]...\n"
    "Trains a diffusion-convolutional recurrent net on a series: CSV, names of the nodes in the first\n"
    "line, one window a line; 'stgraph eval forecast' judges it.\n"
    "\n"
    "      --series FILE      the series; an empty field is a value that is missing\n"
    "      --graph FILE       src,dst[,weight] below a line of names (ends are names of the series or\n"
    "                         numbers of its columns), or a matrix of weights; without it no node\n"
    "                         sees another\n"
    "      --out MODEL        file to write\n"
    "      --split A,B,C      shares of training, validation and test in the order of time; nothing is\n"
    "                         learnt from the test part (default 0.7,0.1,0.2)\n"
    "      --mask FILE        as the series; where a number is not 0 that node is in an incident then, and\n"
    "                         nothing is learnt from it\n"
    "      --null X           value that stands for a missing one (default: none does)\n"
    "      --column NAME      name of what the series says of a node (default value)\n"
    "      --window SECONDS   length of a window (default 300)\n"
    "      --day SECONDS      length of the day that the series repeats in (default 86400)\n"
    "      --history N        windows looked back (default 12)\n"
    "      --horizon N        windows looked ahead (default 12)\n"
    "      --hops K           diffusion steps on the graph (default 2; 0: no graph)\n"
    "      --units U          units of a recurrent layer (default 16)\n"
    "      --layers L         recurrent layers (default 2)\n"
    "      --filter NAME      supports: dual_random_walk (default), random_walk, laplacian, laplacian_2\n"
    "      --recursion NAME   of the hops: restart (default), carry, pygt, power\n"
    "      --decoder NAME     seq2seq (default), or without one a linear map of the last state: direct,\n"
    "                         direct_relu\n"
    "      --lags L           windows that a step of the encoder reads side by side (default 1; as many\n"
    "                         as --history: one step)\n"
    "      --cell NAME        dcgru (default) or dclstm\n"
    "      --warmup N         before each sample 0 to N windows in front of it set the state, so that the\n"
    "                         model can carry it on in use (default 0: it cannot)\n"
    "      --no-time          the net does not know the time of day\n"
    "      --epochs E         passes over the data at most (default 40)\n"
    "      --patience E       passes without a better validation loss that end it (default 10)\n"
    "      --batch N          windows in a step (default 16; more than there are: a step an epoch)\n"
    "      --rate X           learning rate at first (default 0.003)\n"
    "      --loss NAME        mae, mse or huber, on z-scores (default mae); --delta X: where Huber's\n"
    "                         becomes a straight line (default 1)\n"
    "      --optimizer NAME   adamw or adam (default adamw); --epsilon X, --beta1 X, --beta2 X (default\n"
    "                         1e-8, 0.9, 0.999), --decay X: of the weights (default 0.1, adam 0)\n"
    "      --schedule NAME    of the rate: plateau, constant, steps or cosine (default plateau);\n"
    "                         --steps E,E,...: epochs of steps; --factor X of plateau (default 0.5) and\n"
    "                         steps (default 0.1); --floor X: least rate (default 0)\n"
    "      --clip X           largest norm of a gradient (default 5)\n"
    "      --curriculum K     of scheduled sampling, in steps (default 200; 0: labels are never fed)\n"
    "      --seed N           of weights and order (default 0)\n"
    "      --threads N        threads while training (default 1)\n"
    "      --help             this text\n";

typedef struct task {
    const char *series_path;
    const char *graph_path;
    const char *mask_path;
    const char *out;
    const char *column;
    cli_split split;
    double null; /* NaN: none */
    double window_s;
    stg_trainer_opts opts;
    stg_ctx *ctx;
    cli_series series;
    cli_links links;
} task;

/* --- options ------------------------------------------------------------------------------------ */

enum { OPT_SERIES = 256, OPT_GRAPH, OPT_MASK, OPT_OUT, OPT_COLUMN, OPT_SPLIT, OPT_NULL, OPT_WINDOW,
       OPT_DAY, OPT_CURRICULUM, OPT_HOPS, OPT_DECAY, OPT_SEED, OPT_NO_TIME, OPT_HELP, OPT_COUNT,
       OPT_REAL = OPT_COUNT + 64, OPT_WORD = OPT_REAL + 64 };

/* Whole numbers: OPT_COUNT + place here. Where: in the trainer's options. */
static const struct {
    const char *name;
    double most;
    size_t at;
} counts[] = {
    {"history", 1024, offsetof(stg_trainer_opts, history)},
    {"horizon", 1024, offsetof(stg_trainer_opts, horizon)},
    {"units", 512, offsetof(stg_trainer_opts, units)},
    {"layers", 8, offsetof(stg_trainer_opts, layers)},
    {"epochs", 100000, offsetof(stg_trainer_opts, epochs)},
    {"patience", 100000, offsetof(stg_trainer_opts, patience)},
    {"batch", 1048576, offsetof(stg_trainer_opts, batch)},
    {"threads", 64, offsetof(stg_trainer_opts, threads)},
    {"lags", 1024, offsetof(stg_trainer_opts, lags)},
    {"warmup", 1024, offsetof(stg_trainer_opts, warmup)},
};

/* Other numbers: OPT_REAL + place here. */
static const struct {
    const char *name;
    double least;
    double most;
    size_t at;
} reals[] = {
    {"rate", 1e-9, 10, offsetof(stg_trainer_opts, learning_rate)},
    {"clip", 1e-9, 1e9, offsetof(stg_trainer_opts, clip_norm)},
    {"delta", 1e-6, 1e6, offsetof(stg_trainer_opts, huber_delta)},
    {"epsilon", 1e-12, 1, offsetof(stg_trainer_opts, epsilon)},
    {"beta1", 1e-9, 0.9999999, offsetof(stg_trainer_opts, beta1)},
    {"beta2", 1e-9, 0.9999999, offsetof(stg_trainer_opts, beta2)},
    {"factor", 1e-6, 1, offsetof(stg_trainer_opts, rate_factor)},
    {"floor", 0, 10, offsetof(stg_trainer_opts, rate_floor)},
};

/* Words, which the trainer checks: OPT_WORD + place here. */
static const struct {
    const char *name;
    size_t at;
} words[] = {
    {"loss", offsetof(stg_trainer_opts, loss)},
    {"optimizer", offsetof(stg_trainer_opts, optimizer)},
    {"schedule", offsetof(stg_trainer_opts, schedule)},
    {"steps", offsetof(stg_trainer_opts, milestones)},
    {"filter", offsetof(stg_trainer_opts, filter)},
    {"recursion", offsetof(stg_trainer_opts, recursion)},
    {"decoder", offsetof(stg_trainer_opts, decoder)},
    {"cell", offsetof(stg_trainer_opts, cell)},
};

static const struct option options[] = {
    {"series", required_argument, NULL, OPT_SERIES},
    {"graph", required_argument, NULL, OPT_GRAPH},
    {"mask", required_argument, NULL, OPT_MASK},
    {"out", required_argument, NULL, OPT_OUT},
    {"column", required_argument, NULL, OPT_COLUMN},
    {"split", required_argument, NULL, OPT_SPLIT},
    {"null", required_argument, NULL, OPT_NULL},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"day", required_argument, NULL, OPT_DAY},
    {"curriculum", required_argument, NULL, OPT_CURRICULUM},
    {"hops", required_argument, NULL, OPT_HOPS},
    {"decay", required_argument, NULL, OPT_DECAY},
    {"seed", required_argument, NULL, OPT_SEED},
    {"history", required_argument, NULL, OPT_COUNT},
    {"horizon", required_argument, NULL, OPT_COUNT + 1},
    {"units", required_argument, NULL, OPT_COUNT + 2},
    {"layers", required_argument, NULL, OPT_COUNT + 3},
    {"epochs", required_argument, NULL, OPT_COUNT + 4},
    {"patience", required_argument, NULL, OPT_COUNT + 5},
    {"batch", required_argument, NULL, OPT_COUNT + 6},
    {"threads", required_argument, NULL, OPT_COUNT + 7},
    {"lags", required_argument, NULL, OPT_COUNT + 8},
    {"warmup", required_argument, NULL, OPT_COUNT + 9},
    {"rate", required_argument, NULL, OPT_REAL},
    {"clip", required_argument, NULL, OPT_REAL + 1},
    {"delta", required_argument, NULL, OPT_REAL + 2},
    {"epsilon", required_argument, NULL, OPT_REAL + 3},
    {"beta1", required_argument, NULL, OPT_REAL + 4},
    {"beta2", required_argument, NULL, OPT_REAL + 5},
    {"factor", required_argument, NULL, OPT_REAL + 6},
    {"floor", required_argument, NULL, OPT_REAL + 7},
    {"loss", required_argument, NULL, OPT_WORD},
    {"optimizer", required_argument, NULL, OPT_WORD + 1},
    {"schedule", required_argument, NULL, OPT_WORD + 2},
    {"steps", required_argument, NULL, OPT_WORD + 3},
    {"filter", required_argument, NULL, OPT_WORD + 4},
    {"recursion", required_argument, NULL, OPT_WORD + 5},
    {"decoder", required_argument, NULL, OPT_WORD + 6},
    {"cell", required_argument, NULL, OPT_WORD + 7},
    {"no-time", no_argument, NULL, OPT_NO_TIME},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_count(task *t, int place, const char *text)
{
    char what[32];
    double v;
    snprintf(what, sizeof what, "--%s", counts[place].name);
    if (!cli_number(text, what, 1, counts[place].most, &v))
        return false;
    const uint32_t count = (uint32_t)v;
    memcpy((char *)&t->opts + counts[place].at, &count, sizeof count);
    return true;
}

static bool take_real(task *t, int place, const char *text)
{
    char what[32];
    double v;
    snprintf(what, sizeof what, "--%s", reals[place].name);
    if (!cli_number(text, what, reals[place].least, reals[place].most, &v))
        return false;
    memcpy((char *)&t->opts + reals[place].at, &v, sizeof v);
    return true;
}

static bool take_number(task *t, int option, const char *text)
{
    double v = 0;
    switch (option) {
    case OPT_WINDOW:
        return cli_number(text, "--window", 0.001, 1e8, &t->window_s);
    case OPT_DAY:
        if (!cli_number(text, "--day", 0.001, 1e9, &v))
            return false;
        t->opts.day_ns = (uint64_t)llround(v * 1e9);
        return true;
    case OPT_CURRICULUM:
        if (!cli_number(text, "--curriculum", 0, 1e9, &v))
            return false;
        t->opts.curriculum = v >= 1 ? (uint32_t)v : UINT32_MAX;
        return true;
    case OPT_HOPS:
        if (!cli_number(text, "--hops", 0, 8, &v))
            return false;
        t->opts.hops = v >= 1 ? (uint32_t)v : STG_NO_HOPS;
        return true;
    case OPT_DECAY:
        if (!cli_number(text, "--decay", 0, 1e3, &v))
            return false;
        t->opts.weight_decay = v > 0 ? v : -1;
        return true;
    default:
        if (!cli_number(text, "--seed", 0, 0x1p53, &v))
            return false;
        t->opts.seed = (uint64_t)v;
        return true;
    }
}

static bool take(task *t, int option)
{
    switch (option) {
    case OPT_SERIES:
        t->series_path = optarg;
        return true;
    case OPT_GRAPH:
        t->graph_path = optarg;
        return true;
    case OPT_MASK:
        t->mask_path = optarg;
        return true;
    case OPT_OUT:
        t->out = optarg;
        return true;
    case OPT_COLUMN:
        t->column = optarg;
        return true;
    case OPT_SPLIT:
        return cli_split_read(&t->split, optarg);
    case OPT_NULL:
        return cli_number(optarg, "--null", -1e300, 1e300, &t->null);
    case OPT_NO_TIME:
        t->opts.time = STG_TIME_NONE;
        return true;
    default:
        break;
    }
    if (option >= OPT_WORD) {
        memcpy((char *)&t->opts + words[option - OPT_WORD].at, &optarg, sizeof optarg);
        return true;
    }
    return option >= OPT_REAL    ? take_real(t, option - OPT_REAL, optarg)
           : option >= OPT_COUNT ? take_count(t, option - OPT_COUNT, optarg)
                                 : take_number(t, option, optarg);
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
            return cli_usage_error("train", "bad option");
        if (!take(t, option))
            return CLI_USAGE;
    }
    if (optind < argc)
        return cli_usage_error("train", "'%s' does not belong there", argv[optind]);
    if (!t->series_path || !t->out)
        return cli_usage_error("train", "--series and --out are needed");
    if (!*t->column || strchr(t->column, ','))
        return cli_usage_error("train", "--column: '%s' is not the name of a column", t->column);
    return CLI_OK;
}

/* --- training ----------------------------------------------------------------------------------- */

/* Rows that training and validation may see, and the share of them that validates. */
static bool rows_of(const task *t, size_t *rows, double *valid)
{
    const size_t history = t->opts.history ? t->opts.history : 12;
    const size_t horizon = t->opts.horizon ? t->opts.horizon : 12;
    if (t->series.rows < history + horizon)
        return false;
    const size_t windows = t->series.rows - history - horizon + 1;
    const size_t test = cli_split_windows(&t->split, windows, 2);
    const size_t held = cli_split_windows(&t->split, windows, 1);
    *rows = test ? windows - test + history : t->series.rows;
    *valid = (double)held / (double)*rows;
    return test < windows && held > 0;
}

static int32_t add_rows(const task *t, stg_trainer *trainer, size_t rows)
{
    int32_t status = STG_OK;
    cli_table *table = cli_table_open(t->ctx, &t->series, &t->links, t->column,
                                      (uint64_t)llround(t->window_s * 1e9));
    if (!table)
        return STG_E_NOMEM;
    for (size_t row = 0; status == STG_OK && row < rows; row++) {
        const stg_graph *graph = cli_table_graph(table, row);
        status = graph ? stg_trainer_add(trainer, graph) : STG_E_NOMEM;
        stg_unref(graph);
    }
    cli_table_close(table);
    return status;
}

static int store(const task *t, const stg_model *model)
{
    stg_bundle *bundle = NULL;
    stg_error err = {0};
    int code = CLI_OK;
    if (stg_bundle_open(&bundle, t->ctx, NULL, &err) != STG_OK ||
        stg_model_store(model, bundle) != STG_OK)
        code = cli_fail("out of memory");
    else if (stg_bundle_save(bundle, t->out, &err) != STG_OK)
        code = cli_fail("%s: %s", t->out, err.text);
    stg_bundle_destroy(bundle);
    return code;
}

static int train(task *t, size_t rows)
{
    stg_trainer *trainer = NULL;
    const stg_model *model = NULL;
    stg_error err = {0};
    cli_progress progress;
    t->opts.kind = "dcrnn_series";
    t->opts.inputs = t->opts.targets = t->column;
    t->opts.progress = cli_progress_show;
    t->opts.progress_user = &progress;
    int32_t status = stg_trainer_create(&trainer, t->ctx, &t->opts, &err);
    if (status == STG_OK)
        status = add_rows(t, trainer, rows);
    cli_progress_begin(&progress);
    if (status == STG_OK)
        status = stg_trainer_run(trainer, &model, &err);
    const double seconds = cli_progress_end(&progress);
    stg_trainer_destroy(trainer);
    if (status != STG_OK)
        return cli_fail("training: %s", err.text[0] ? err.text : stg_status_name(status));
    cli_say("trained in %.1f s", seconds);
    const int code = store(t, model);
    stg_unref(model);
    return code;
}

/* What is in an incident becomes unknown, as the trainer's mask makes it. */
static bool hide_incidents(task *t)
{
    cli_series mask = {0};
    if (!t->mask_path)
        return true;
    bool ok = cli_read_series(&mask, t->mask_path);
    if (ok && (mask.rows != t->series.rows || mask.nodes != t->series.nodes)) {
        cli_say("%s: %zu windows of %zu nodes, where the series has %zu of %zu", t->mask_path,
                mask.rows, mask.nodes, t->series.rows, t->series.nodes);
        ok = false;
    }
    for (size_t i = 0; ok && i < mask.rows * mask.nodes; i++)
        if (mask.value[i] != 0 && !isnan(mask.value[i]))
            t->series.value[i] = NAN;
    cli_series_free(&mask);
    return ok;
}

static int run(task *t)
{
    size_t rows;
    if (!cli_read_series(&t->series, t->series_path) ||
        (t->graph_path && !cli_read_links(&t->links, t->graph_path, &t->series)))
        return CLI_FAILED;
    for (size_t i = 0; i < t->series.rows * t->series.nodes; i++)
        if (t->series.value[i] == t->null)
            t->series.value[i] = NAN;
    if (!hide_incidents(t))
        return CLI_FAILED;
    if (!t->graph_path)
        t->opts.hops = STG_NO_HOPS;
    if (!rows_of(t, &rows, &t->opts.valid_share))
        return cli_fail("%s: %zu windows leave none to train on or to validate by", t->series_path,
                        t->series.rows);
    return train(t, rows);
}

int cli_train(int argc, char **argv)
{
    task t = {
        .column = "value",
        .split = {{0.7, 0.1, 0.2}, false},
        .null = NAN,
        .window_s = 300,
        .opts = {.size = sizeof t.opts},
    };
    int code = parse(&t, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    t.ctx = cli_context();
    code = t.ctx ? run(&t) : CLI_FAILED;
    stg_ctx_destroy(t.ctx);
    cli_series_free(&t.series);
    cli_links_free(&t.links);
    return code;
}
