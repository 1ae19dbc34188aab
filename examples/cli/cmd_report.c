/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph report: a recording as one page to look at, that needs nothing but a browser. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "report.h"
#include "report_page.h"

static const char help[] =
    "Usage: stgraph report --model MODEL --calls FILE [--gauges FILE] --out PAGE [OPTION]...\n"
    "Writes one self-contained HTML page: the service graph over time, observed against forecast,\n"
    "incidents and what to do about them.\n"
    "\n"
    CLI_INPUT_HELP
    "      --out PAGE                file to write\n"
    "      --title TEXT              headline of the page\n"
    CLI_FALSE_HELP
    "      --help                    this text\n";

typedef struct report {
    cli_input in;
    const char *out;
    const char *title;
    stg_monitor *monitor;
    report_data *data;
    char *line;
} report;

enum { LINE = 65536 };
enum { OPT_OUT = 256, OPT_TITLE, OPT_HELP };

static const struct option options[] = {
    CLI_INPUT_OPTIONS,
    {"out", required_argument, NULL, OPT_OUT},
    {"title", required_argument, NULL, OPT_TITLE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int parse(report *r, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const int taken = cli_input_option(&r->in, option, argc, argv);
        if (taken < 0)
            return CLI_USAGE;
        if (taken)
            continue;
        switch (option) {
        case OPT_OUT:
            r->out = optarg;
            break;
        case OPT_TITLE:
            r->title = optarg;
            break;
        case OPT_HELP:
            fputs(help, stdout);
            return -1;
        default:
            return cli_usage_error("report", "bad option");
        }
    }
    if (optind < argc)
        return cli_usage_error("report", "'%s' does not belong there", argv[optind]);
    if (!r->in.model || r->in.calls.count == 0 || !r->out)
        return cli_usage_error("report", "--model, --calls and --out are needed");
    return CLI_OK;
}

static bool take_events(report *r)
{
    size_t len;
    while (stg_monitor_event(r->monitor, r->line, LINE, &len) == STG_OK)
        if (!report_data_event(r->data, r->line, len))
            return false;
    return true;
}

static int tick(uint64_t window_end, void *user)
{
    report *r = (report *)user;
    stg_error err = {0};
    const int32_t status = stg_monitor_tick(r->monitor, window_end, &err);
    if (status < 0)
        return cli_fail("window: %s", err.text[0] ? err.text : stg_status_name(status));
    const stg_graph *graph = (const stg_graph *)stg_monitor_get(r->monitor, STG_GET_GRAPH);
    const stg_forecast *fc = (const stg_forecast *)stg_monitor_get(r->monitor, STG_GET_FORECAST);
    const stg_report *judged = (const stg_report *)stg_monitor_get(r->monitor, STG_GET_REPORT);
    stg_report_info info = {.size = sizeof info};
    bool ok = graph && judged && stg_report_get_info(judged, &info) == STG_OK;
    ok = ok && report_data_window(r->data, graph, fc, info.evidence, info.alarm_level) && take_events(r);
    stg_unref(graph);
    stg_unref(fc);
    stg_unref(judged);
    return ok ? CLI_OK : cli_fail("out of memory");
}

static void write_title(const char *title, FILE *out)
{
    for (; *title; title++)
        switch (*title) {
        case '<':
            fputs("&lt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        default:
            fputc(*title, out);
        }
}

/* Writes beside the page and renames, so that a browser never sees half of it. */
static int write_page(const report *r, uint64_t window_ns)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s.tmp-%ld", r->out, (long)getpid()) >= (int)sizeof path)
        return cli_fail("%s: the name is too long", r->out);
    FILE *out = fopen(path, "wbe");
    if (!out)
        return cli_fail("%s: %s", path, strerror(errno));
    fwrite(page_head, 1, sizeof page_head, out);
    write_title(r->title, out);
    fwrite(page_body, 1, sizeof page_body, out);
    const bool written = report_data_write(r->data, window_ns, out);
    fwrite(page_tail, 1, sizeof page_tail, out);
    const bool ok = fflush(out) == 0 && written && ferror(out) == 0;
    if (fclose(out) != 0 || !ok || rename(path, r->out) != 0) {
        const int code = cli_fail("%s: %s", r->out, strerror(errno));
        unlink(path);
        return code;
    }
    cli_say("wrote %s: %zu windows", r->out, report_data_windows(r->data));
    return CLI_OK;
}

static int run(report *r, stg_ctx *ctx, stg_bundle *bundle)
{
    uint64_t window_ns = 0;
    r->data = report_data_new();
    r->line = (char *)malloc(LINE);
    if (!r->data || !r->line)
        return cli_fail("out of memory");
    int code = cli_input_monitor(&r->in, ctx, bundle, &r->monitor, &window_ns);
    if (code)
        return code;
    cli_replay replay = {
        .ctx = ctx, .ingest = stg_monitor_ingest(r->monitor), .calls = &r->in.calls,
        .gauges = &r->in.gauges, .window_ns = window_ns, .window = tick, .user = r,
        .max_bad = 1000000,
    };
    code = cli_replay_run(&replay);
    return code ? code : write_page(r, window_ns);
}

int cli_report(int argc, char **argv)
{
    report r = {.title = "Service graph"};
    int code = parse(&r, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    stg_ctx *ctx = cli_context();
    stg_bundle *bundle = ctx ? cli_open_bundle(ctx, r.in.model) : NULL;
    code = bundle ? run(&r, ctx, bundle) : CLI_FAILED;
    stg_monitor_destroy(r.monitor);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    report_data_free(r.data);
    free(r.line);
    return code;
}
