/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph import: a model file from a checkpoint of another code. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "Usage: stgraph import CHECKPOINT --out MODEL [OPTION]...\n"
    "Makes a model from a DCRNN that another code has trained: a file of torch.save (nothing in it\n"
    "is executed) or the same tensors as safetensors.\n"
    "\n"
    "      --out MODEL          the model file to write\n"
    "      --format FORMAT      dcrnn_pytorch, basicts or libcity (default: seen from the content)\n"
    "      --supports ORDER     exact or port_reversed (default: as the format's code has them)\n"
    "      --filter FILTER      dual_random_walk, random_walk, laplacian or laplacian_2\n"
    "                           (default: as the file says, else dual_random_walk)\n"
    "      --column NAME        column that it reads and forecasts (default value)\n"
    "      --window SECONDS     length of a window (default 300)\n"
    "      --mean X, --std X    of the values it was trained on; without them they have to be given\n"
    "                           wherever the model is used\n"
    "      --help               this text\n";

typedef struct task {
    const char *from;
    const char *out;
    stg_import_opts opts;
} task;

enum { OPT_OUT = 256, OPT_FORMAT, OPT_SUPPORTS, OPT_FILTER, OPT_COLUMN, OPT_WINDOW, OPT_MEAN, OPT_STD,
       OPT_HELP };

static const struct option options[] = {
    {"out", required_argument, NULL, OPT_OUT},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"supports", required_argument, NULL, OPT_SUPPORTS},
    {"filter", required_argument, NULL, OPT_FILTER},
    {"column", required_argument, NULL, OPT_COLUMN},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"mean", required_argument, NULL, OPT_MEAN},
    {"std", required_argument, NULL, OPT_STD},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool take(task *t, int option)
{
    double seconds;
    switch (option) {
    case OPT_OUT:
        t->out = optarg;
        return true;
    case OPT_FORMAT:
        t->opts.format = optarg;
        return true;
    case OPT_SUPPORTS:
        return cli_supports_named(optarg, &t->opts.supports);
    case OPT_FILTER:
        t->opts.filter = optarg;
        return true;
    case OPT_COLUMN:
        t->opts.column = optarg;
        return true;
    case OPT_WINDOW:
        if (!cli_number(optarg, "--window", 0.001, 1e8, &seconds))
            return false;
        t->opts.window_ns = (uint64_t)(seconds * 1e9 + 0.5);
        return true;
    case OPT_MEAN:
        return cli_number(optarg, "--mean", -1e15, 1e15, &t->opts.mean);
    default:
        return cli_number(optarg, "--std", 1e-9, 1e15, &t->opts.deviation);
    }
}

static int parse(task *t, int argc, char **argv)
{
    bool mean = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPT_HELP) {
            fputs(help, stdout);
            return -1;
        }
        if (option == '?')
            return cli_usage_error("import", "bad option");
        if (!take(t, option))
            return CLI_USAGE;
        mean = mean || option == OPT_MEAN;
    }
    if (optind + 1 != argc || !t->out)
        return cli_usage_error("import", "one checkpoint and --out are needed");
    if (mean != (t->opts.deviation != 0))
        return cli_usage_error("import", "--mean and --std go together");
    t->from = argv[optind];
    return CLI_OK;
}

static int run(const task *t, stg_ctx *ctx)
{
    bool imported;
    stg_error err = {0};
    stg_bundle *bundle = NULL;
    const stg_model *model = cli_read_model(ctx, t->from, &t->opts, &imported);
    if (!model)
        return CLI_FAILED;
    int code = CLI_OK;
    if (!imported)
        code = cli_fail("%s: this is a model of stgraph already", t->from);
    else if (stg_bundle_open(&bundle, ctx, NULL, &err) != STG_OK ||
             stg_model_store(model, bundle) != STG_OK)
        code = cli_fail("out of memory");
    else if (stg_bundle_save(bundle, t->out, &err) != STG_OK)
        code = cli_fail("%s: %s", t->out, err.text);
    stg_bundle_destroy(bundle);
    stg_unref(model);
    return code;
}

int cli_import(int argc, char **argv)
{
    task t = {.opts = {.size = sizeof t.opts}};
    int code = parse(&t, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    stg_ctx *ctx = cli_context();
    code = ctx ? run(&t, ctx) : CLI_FAILED;
    stg_ctx_destroy(ctx);
    return code;
}
