/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph graph: the service graph of one window of a recording, as JSON or DOT. */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "Usage: stgraph graph --calls FILE... [--gauges FILE...] [OPTION]...\n"
    "Prints the service graph of one window.\n"
    "\n"
    "      --calls FILE...    calls, one JSON object a line; '-' is standard input\n"
    "      --gauges FILE...   gauges that belong to them\n"
    "      --window SECONDS   length of a window (default 60)\n"
    "      --at TIME          a Unix time within the window (default: the last window)\n"
    "      --format FORMAT    dot or json (default dot)\n"
    "      --help             this text\n";

typedef struct view {
    cli_files calls;
    cli_files gauges;
    double window_s;
    double at; /* 0: the last window */
    uint32_t format;
    stg_ingest *ingest;
    const stg_graph *graph;
} view;

enum { OPT_CALLS = 256, OPT_GAUGES, OPT_WINDOW, OPT_AT, OPT_FORMAT, OPT_HELP, FOUND = 100 };

static const struct option options[] = {
    {"calls", required_argument, NULL, OPT_CALLS},   {"gauges", required_argument, NULL, OPT_GAUGES},
    {"window", required_argument, NULL, OPT_WINDOW}, {"at", required_argument, NULL, OPT_AT},
    {"format", required_argument, NULL, OPT_FORMAT}, {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int parse(view *v, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool ok = true;
        switch (option) {
        case OPT_CALLS:
            ok = cli_take_files(&v->calls, optarg, argc, argv);
            break;
        case OPT_GAUGES:
            ok = cli_take_files(&v->gauges, optarg, argc, argv);
            break;
        case OPT_WINDOW:
            ok = cli_number(optarg, "--window", 0.001, 3600, &v->window_s);
            break;
        case OPT_AT:
            ok = cli_number(optarg, "--at", 1, 1.8e10, &v->at);
            break;
        case OPT_FORMAT:
            v->format = strcmp(optarg, "json") == 0 ? STG_FORMAT_JSON : STG_FORMAT_DOT;
            if (v->format == STG_FORMAT_DOT && strcmp(optarg, "dot") != 0)
                return cli_usage_error("graph", "--format is dot or json, not '%s'", optarg);
            break;
        case OPT_HELP:
            fputs(help, stdout);
            return -1;
        default:
            return cli_usage_error("graph", "bad option");
        }
        if (!ok)
            return CLI_USAGE;
    }
    if (optind < argc)
        return cli_usage_error("graph", "'%s' does not belong there", argv[optind]);
    return v->calls.count ? CLI_OK : cli_usage_error("graph", "--calls is needed");
}

static int keep(uint64_t window_end, void *user)
{
    view *v = (view *)user;
    const stg_graph *graph;
    const int32_t status = stg_ingest_close(v->ingest, window_end, &graph);
    if (status < 0)
        return cli_fail("closing a window: %s", stg_status_name(status));
    stg_unref(v->graph);
    v->graph = graph;
    return v->at > 0 && (double)window_end > v->at * 1e9 ? FOUND : CLI_OK;
}

static int print(const stg_graph *graph, uint32_t format)
{
    size_t len = 0;
    stg_graph_export(graph, format, NULL, 0, &len);
    char *text = (char *)malloc(len);
    if (!text)
        return cli_fail("out of memory");
    int code = CLI_OK;
    if (stg_graph_export(graph, format, text, len, &len) != STG_OK ||
        fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0)
        code = cli_fail("writing failed");
    free(text);
    return code;
}

static int run(view *v, stg_ctx *ctx)
{
    const stg_ingest_opts opts = {.size = sizeof opts,
                                  .window_ns = (uint64_t)llround(v->window_s * 1e9)};
    if (stg_ingest_create(&v->ingest, ctx, &opts) != STG_OK)
        return cli_fail("--window %g is not possible", v->window_s);
    cli_replay replay = {
        .ctx = ctx, .ingest = v->ingest, .calls = &v->calls, .gauges = &v->gauges, .partial = true,
        .window_ns = opts.window_ns, .window = keep, .user = v, .max_bad = 1000,
    };
    const int code = cli_replay_run(&replay);
    if (code != CLI_OK && code != FOUND)
        return code;
    stg_graph_info info = {.size = sizeof info};
    if (!v->graph || stg_graph_get_info(v->graph, &info) != STG_OK)
        return cli_fail("no window");
    if (v->at > 0 && ((double)info.end_ns <= v->at * 1e9 || (double)info.start_ns > v->at * 1e9))
        return cli_fail("no calls at %.0f", v->at);
    return print(v->graph, v->format);
}

int cli_graph(int argc, char **argv)
{
    view v = {.window_s = 60, .format = STG_FORMAT_DOT};
    int code = parse(&v, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    stg_ctx *ctx = cli_context();
    code = ctx ? run(&v, ctx) : CLI_FAILED;
    stg_unref(v.graph);
    stg_ingest_destroy(v.ingest);
    stg_ctx_destroy(ctx);
    return code;
}
