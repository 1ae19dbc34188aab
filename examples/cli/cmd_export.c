/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph export: a model in the forms of other programs. */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "export.h"

#define MAX_NODES 8192u /* whose supports are written as whole matrices */

static const char help[] =
    "Usage: stgraph export --model MODEL --format FORMAT --out FILE [OPTION]...\n"
    "Writes a dcrnn_series model, trained here or imported, in the form of another program.\n"
    "\n"
    "      --model MODEL      model file, or a checkpoint that 'stgraph import' can read\n"
    "      --format FORMAT    dcrnn_pytorch: safetensors, named as in the PyTorch port of DCRNN\n"
    "                         onnx: a graph of ONNX, windows of the history in, forecast out\n"
    "                         onnx_step: one window and the state in, next state and forecast out\n"
    "      --out FILE         file to write\n"
    "      --series FILE      onnx: CSV whose first line names the nodes\n"
    "      --graph FILE       onnx: their graph, which becomes part of the file; src,dst[,weight]\n"
    "                         below a line of names, or a matrix of weights\n"
    "      --supports ORDER   exact or port_reversed, in place of what the model says\n"
    "      --help             this text\n"
    "\n"
    "The graphs of ONNX are for a batch of 1 and read and forecast z-scores (metadata mean and\n"
    "deviation), nodes in the order of the series.\n";

enum { PORT, ONNX, ONNX_STEP, FORMATS };

typedef struct task {
    const char *model;
    const char *out;
    const char *series_path;
    const char *graph_path;
    int format;
    uint32_t supports;
    stg_ctx *ctx;
    cli_series series;
    cli_links links;
} task;

enum { OPT_MODEL = 256, OPT_FORMAT, OPT_OUT, OPT_SERIES, OPT_GRAPH, OPT_SUPPORTS, OPT_HELP };

static const struct option options[] = {
    {"model", required_argument, NULL, OPT_MODEL},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"out", required_argument, NULL, OPT_OUT},
    {"series", required_argument, NULL, OPT_SERIES},
    {"graph", required_argument, NULL, OPT_GRAPH},
    {"supports", required_argument, NULL, OPT_SUPPORTS},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_format(task *t, const char *text)
{
    static const char *const name[] = {"dcrnn_pytorch", "onnx", "onnx_step"};
    t->format = 0;
    while (t->format < FORMATS && strcmp(text, name[t->format]) != 0)
        t->format++;
    if (t->format == FORMATS)
        cli_say("--format: there is no format '%s'", text);
    return t->format < FORMATS;
}

static bool take(task *t, int option)
{
    const struct {
        int option;
        const char **to;
    } path[] = {{OPT_MODEL, &t->model}, {OPT_OUT, &t->out}, {OPT_SERIES, &t->series_path},
                {OPT_GRAPH, &t->graph_path}};
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        if (path[i].option == option) {
            *path[i].to = optarg;
            return true;
        }
    return option == OPT_FORMAT ? take_format(t, optarg) : cli_supports_named(optarg, &t->supports);
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
            return cli_usage_error("export", "bad option");
        if (!take(t, option))
            return CLI_USAGE;
    }
    if (optind < argc)
        return cli_usage_error("export", "'%s' does not belong there", argv[optind]);
    if (!t->model || !t->out || t->format == FORMATS)
        return cli_usage_error("export", "--model, --format and --out are needed");
    if ((t->format == PORT) != !t->series_path || (t->format == PORT && t->graph_path))
        return cli_usage_error("export", "--series, and with it --graph, is for ONNX, which needs it");
    return CLI_OK;
}

static int export_graph(task *t, const export_net *net)
{
    if (!cli_read_series(&t->series, t->series_path) ||
        (t->graph_path && !cli_read_links(&t->links, t->graph_path, &t->series)))
        return CLI_FAILED;
    if (net->info.hops > 0 && !t->graph_path)
        return cli_fail("the model looks at its neighbours: give --graph");
    if (t->series.nodes > MAX_NODES)
        return cli_fail("%s: more than %u nodes, whose supports would be whole matrices",
                        t->series_path, MAX_NODES);
    float *supports = export_supports(net, &t->links, t->series.nodes);
    if (!supports)
        return CLI_FAILED;
    const int code = export_onnx(net, supports, t->series.nodes, t->format == ONNX_STEP, t->out);
    free(supports);
    return code;
}

static int run(task *t)
{
    const stg_import_opts import = {.size = sizeof import};
    bool imported;
    export_net net = {0};
    const stg_model *model = cli_read_model(t->ctx, t->model, &import, &imported);
    if (!model)
        return CLI_FAILED;
    int code = CLI_FAILED;
    if (export_net_open(&net, t->ctx, model, t->model)) {
        if (t->supports)
            net.supports = t->supports == STG_SUPPORTS_EXACT ? "exact" : "port_reversed";
        code = t->format == PORT ? export_port(&net, t->ctx, t->out) : export_graph(t, &net);
    }
    export_net_close(&net);
    stg_unref(model);
    return code;
}

int cli_export(int argc, char **argv)
{
    task t = {.format = FORMATS};
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
