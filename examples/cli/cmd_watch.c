/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph watch: calls in, incidents out, one JSON object a line or one paragraph for people. */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

static const char help[] =
    "Usage: stgraph watch --model MODEL --calls FILE [--gauges FILE] [OPTION]...\n"
    "Reports incidents in calls: one JSON object a line when one opens, changes or closes.\n"
    "\n"
    CLI_INPUT_HELP
    CLI_FALSE_HELP
    CLI_GRACE_HELP
    "      --state FILE              goes on where the run that wrote FILE stopped, and writes it\n"
    "      --save-every SECONDS      how often, in the records' time (default 60; 0: every window);\n"
    "                                at the end and on SIGTERM in any case\n"
    "      --human                   text for people in place of JSON\n"
    "      --help                    this text\n";

typedef struct watch {
    cli_input in;
    bool human;
    const char *state;
    double save_every_s;
    uint64_t saved_ns; /* end of the window that was saved last */
    bool unsaved;      /* the last time it could not be written */
    bool resumed;      /* and no window came yet that the earlier run had not judged */
    stg_ctx *ctx;
    stg_monitor *monitor;
    char *line;
    size_t cap;
} watch;

enum { OPT_HUMAN = 256, OPT_STATE, OPT_EVERY, OPT_HELP };

static const struct option options[] = {
    CLI_INPUT_OPTIONS,
    CLI_GRACE_OPTION,
    {"human", no_argument, NULL, OPT_HUMAN},
    {"state", required_argument, NULL, OPT_STATE},
    {"save-every", required_argument, NULL, OPT_EVERY},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int parse(watch *w, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const int taken = cli_input_option(&w->in, option, argc, argv);
        if (taken < 0)
            return CLI_USAGE;
        if (taken)
            continue;
        switch (option) {
        case OPT_HUMAN:
            w->human = true;
            break;
        case OPT_STATE:
            w->state = optarg;
            break;
        case OPT_EVERY:
            if (!cli_number(optarg, "--save-every", 0, 86400, &w->save_every_s))
                return CLI_USAGE;
            break;
        case OPT_HELP:
            fputs(help, stdout);
            return -1;
        default:
            return cli_usage_error("watch", "bad option");
        }
    }
    if (optind < argc)
        return cli_usage_error("watch", "'%s' does not belong there", argv[optind]);
    if (!w->in.model || w->in.calls.count == 0)
        return cli_usage_error("watch", "--model and --calls are needed");
    if (w->state && strcmp(w->state, w->in.model) == 0)
        return cli_usage_error("watch", "--state is a file of its own, not the model");
    return CLI_OK;
}

static void print_time(uint64_t ns)
{
    const time_t seconds = (time_t)(ns / 1000000000u);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &tm);
    fputs(text, stdout);
}

static void print_text(const char *text)
{
    for (; *text; text++) /* names come from outside: no control bytes to the terminal */
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void print_item(const stg_item *item)
{
    if (item->node[0]) {
        print_text(item->node);
        return;
    }
    print_text(item->src);
    fputs(" -> ", stdout);
    print_text(item->dst);
    if (item->route[0]) {
        fputs(" [", stdout);
        print_text(item->route);
        putchar(']');
    }
}

static void print_parts(const stg_report *report, uint32_t index)
{
    stg_item item = {.size = sizeof item};
    for (uint32_t i = 0; i < 3 && stg_report_item(report, index, STG_ITEM_CAUSE, i, &item) == STG_OK;
         i++) {
        printf("    cause %" PRIu32 ": ", i + 1);
        print_item(&item);
        putchar('\n');
    }
    for (uint32_t i = 0;
         i < 5 && stg_report_item(report, index, STG_ITEM_EVIDENCE, i, &item) == STG_OK; i++) {
        fputs("    evidence: ", stdout);
        print_text(item.column);
        fputs(" of ", stdout);
        print_item(&item);
        if (!isnan(item.observed))
            printf(": %.4g, expected %.4g", item.observed, item.expected);
        putchar('\n');
    }
}

static void print_plan(const stg_plan *plan, uint64_t incident)
{
    stg_action act = {.size = sizeof act};
    for (uint32_t i = 0; plan && stg_plan_action(plan, i, &act) == STG_OK; i++) {
        if (act.incident != incident)
            continue;
        printf("    %s: ", act.dry_run ? "would do" : "do");
        print_text(act.verb);
        putchar(' ');
        print_text(act.node);
        if (act.route[0]) {
            putchar(' ');
            print_text(act.route);
        }
        printf(" to %.3g (", act.value);
        print_text(act.reason);
        puts(")");
    }
}

static void print_incidents(stg_monitor *monitor, uint64_t window_end)
{
    static const char *const states[] = {"?", "OPEN", "UPDATE", "", "CLOSED"};
    const stg_report *report = (const stg_report *)stg_monitor_get(monitor, STG_GET_REPORT);
    const stg_plan *plan = (const stg_plan *)stg_monitor_get(monitor, STG_GET_PLAN);
    stg_incident_info inc = {.size = sizeof inc};
    for (uint32_t i = 0; report && stg_report_incident(report, i, &inc) == STG_OK; i++) {
        if (inc.state == STG_INCIDENT_QUIET)
            continue;
        print_time(window_end);
        printf("  %-6s  %s (%.0f %%), severity %.1f, incident %016" PRIx64 "\n    ",
               states[inc.state < 5 ? inc.state : 0], inc.class_name, 100 * inc.confidence,
               inc.severity, inc.id);
        print_text(inc.text);
        if (inc.technique[0])
            printf(" [%s]", inc.technique);
        putchar('\n');
        if (inc.state != STG_INCIDENT_CLOSE) {
            print_parts(report, i);
            print_plan(plan, inc.id);
        }
    }
    stg_unref(report);
    stg_unref(plan);
}

static int take_events(watch *w)
{
    size_t len;
    int32_t status;
    while ((status = stg_monitor_event(w->monitor, w->line, w->cap, &len)) != STG_AGAIN) {
        if (status == STG_OK) {
            if (!w->human)
                fwrite(w->line, 1, len, stdout);
            continue;
        }
        char *grown = status == STG_MORE ? (char *)realloc(w->line, len) : NULL;
        if (!grown)
            return cli_fail("out of memory");
        w->line = grown;
        w->cap = len;
    }
    if (fflush(stdout) != 0)
        return cli_fail("writing failed");
    return CLI_OK;
}

static int tick(uint64_t window_end, void *user)
{
    watch *w = (watch *)user;
    stg_error err = {0};
    const int32_t status = stg_monitor_tick(w->monitor, window_end, &err);
    if (status == STG_E_TIME && w->resumed)
        return CLI_OK; /* judged before */
    w->resumed = false;
    if (status < 0)
        return cli_fail("window: %s", err.text[0] ? err.text : stg_status_name(status));
    if (w->human)
        print_incidents(w->monitor, window_end);
    const int code = take_events(w);
    if (code || !w->state || (double)(window_end - w->saved_ns) < 1e9 * w->save_every_s)
        return code;
    w->saved_ns = window_end;
    w->unsaved = cli_state_save(w->monitor, w->ctx, w->state, w->unsaved) != CLI_OK;
    return CLI_OK; /* a full disk now is no reason to end, and is told once */
}

/* What did not count. Over a restart all that was judged before is late, as it should be. */
static void tell_losses(const watch *w, const cli_replay *replay)
{
    stg_ingest_stats s = {.size = sizeof s};
    if (w->state || stg_ingest_get_stats(replay->ingest, &s) != STG_OK || s.late + s.refused == 0)
        return;
    cli_say("%" PRIu64 " calls were late and %" PRIu64 " refused: they did not count", s.late, s.refused);
}

static int run(watch *w, stg_ctx *ctx, stg_bundle *bundle)
{
    uint64_t window_ns = 0;
    int code = cli_input_monitor(&w->in, ctx, bundle, &w->monitor, &window_ns);
    if (!code && w->state)
        code = cli_state_resume(w->monitor, ctx, w->state, &w->resumed);
    if (code)
        return code;
    if (w->state)
        cli_stop_catch();
    w->ctx = ctx;
    cli_replay replay = {
        .ctx = ctx, .ingest = stg_monitor_ingest(w->monitor), .calls = &w->in.calls,
        .gauges = &w->in.gauges, .window_ns = window_ns, .window = tick, .user = w,
        .grace_ns = cli_input_grace(&w->in), .max_bad = 1000000,
        .wait = w->state ? cli_stop_wait : NULL,
    };
    code = cli_replay_run(&replay);
    if (cli_stopped())
        code = CLI_OK;
    if (code == CLI_OK && w->state)
        code = cli_state_save(w->monitor, ctx, w->state, false);
    if (replay.bad_lines)
        cli_say("%" PRIu64 " lines were not understood", replay.bad_lines);
    tell_losses(w, &replay);
    return code;
}

int cli_watch(int argc, char **argv)
{
    watch w = {.in = {.grace_s = -1}, .save_every_s = 60};
    int code = parse(&w, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    stg_ctx *ctx = cli_context();
    stg_bundle *bundle = ctx ? cli_open_bundle(ctx, w.in.model) : NULL;
    code = bundle ? run(&w, ctx, bundle) : CLI_FAILED;
    stg_monitor_destroy(w.monitor);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    free(w.line);
    return code;
}
