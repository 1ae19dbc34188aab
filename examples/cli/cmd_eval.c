/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stgraph eval recording: runs the monitor over labelled recordings as `watch` does and compares its
 * incidents with the truth, beside other models and the fixed three-sigma rule.
 */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval.h"

static const char help[] =
    "Usage: stgraph eval recording DIR... --model MODEL [OPTION]...\n"
    "       stgraph eval forecast --help\n"
    "Judges a model on recordings of the testbed: calls.jsonl(.xz), gauges.jsonl(.xz), truth.jsonl.\n"
    "\n"
    "An attack is found when an incident opens between its start and 60 s after its end and names\n"
    "its node or edge among the first three causes; an incident counts for one attack.\n"
    "\n"
    "      --model MODEL             file written by 'stgraph learn'\n"
    "      --compare NAME=MODEL      another model, judged in the same way; may come several times\n"
    "      --false-alarms-per-day X  as of 'stgraph watch'\n"
    "      --incidents               list every incident with the attack it counts for\n"
    "      --json                    one JSON object a line: dataset, part, method, metric, value\n"
    "      --help                    this text\n";

#define MAX_METHODS 8

typedef struct eval {
    cli_files dirs;
    const char *method[MAX_METHODS];
    const char *model[MAX_METHODS];
    size_t methods;
    double false_alarms;
    bool json;
    bool list;
    stg_ctx *ctx;
    stg_monitor *monitor; /* of the recording and method at work */
    eval_run run;
    eval_rule *rule; /* filled with the first method only */
} eval;

static void take_place(eval_place *place, const stg_item *item)
{
    snprintf(place->node, EVAL_NAME, "%s", item->node);
    snprintf(place->src, EVAL_NAME, "%s", item->src);
    snprintf(place->dst, EVAL_NAME, "%s", item->dst);
    snprintf(place->route, EVAL_NAME, "%s", item->route);
}

static void take_loudest(eval_incident *inc, const stg_report *report, uint32_t index)
{
    double best[EVAL_CAUSES] = {-INFINITY, -INFINITY, -INFINITY};
    stg_item item = {.size = sizeof item};
    for (uint32_t part = STG_ITEM_NODE; part <= STG_ITEM_EDGE; part++)
        for (uint32_t i = 0; stg_report_item(report, index, part, i, &item) == STG_OK; i++)
            for (int k = 0; k < EVAL_CAUSES; k++)
                if (item.value > best[k]) {
                    for (int m = EVAL_CAUSES - 1; m > k; m--) {
                        best[m] = best[m - 1];
                        inc->loudest[m] = inc->loudest[m - 1];
                    }
                    best[k] = item.value;
                    take_place(&inc->loudest[k], &item);
                    break;
                }
}

static eval_incident *known_incident(eval *v, uint64_t id)
{
    for (size_t i = v->run.incidents_count; i-- > 0;)
        if (v->run.incidents[i].id == id)
            return &v->run.incidents[i];
    return NULL;
}

static bool take_incident(eval *v, const stg_report *report, uint32_t index,
                          const stg_incident_info *info, uint64_t now)
{
    eval_incident *inc = known_incident(v, info->id);
    if (!inc) {
        inc = eval_add_incident(&v->run);
        if (!inc)
            return false;
        inc->id = info->id;
        inc->opened_ns = now;
        stg_item item = {.size = sizeof item};
        for (uint32_t i = 0; i < EVAL_CAUSES &&
                             stg_report_item(report, index, STG_ITEM_CAUSE, i, &item) == STG_OK;
             i++)
            take_place(&inc->cause[i], &item);
        take_loudest(inc, report, index);
    }
    /* The class may change while evidence grows: the last one before the close stands. */
    if (info->state != STG_INCIDENT_CLOSE)
        snprintf(inc->class_name, sizeof inc->class_name, "%s",
                 info->class_id == STG_CLASS_INJECTION ? "xss" : info->class_name);
    inc->closed_ns = now;
    return true;
}

static void take_limits(eval *v, const stg_plan *plan)
{
    stg_action act = {.size = sizeof act};
    for (uint32_t i = 0; plan && stg_plan_action(plan, i, &act) == STG_OK; i++) {
        eval_incident *inc = act.kind == STG_ACTION_LIMIT ? known_incident(v, act.incident) : NULL;
        if (inc)
            inc->limited = true;
    }
}

static int tick(uint64_t window_end, void *user)
{
    eval *v = (eval *)user;
    stg_error err = {0};
    const int32_t status = stg_monitor_tick(v->monitor, window_end, &err);
    if (status < 0)
        return cli_fail("window: %s", err.text[0] ? err.text : stg_status_name(status));
    const stg_report *report = (const stg_report *)stg_monitor_get(v->monitor, STG_GET_REPORT);
    const stg_plan *plan = (const stg_plan *)stg_monitor_get(v->monitor, STG_GET_PLAN);
    const stg_graph *graph = (const stg_graph *)stg_monitor_get(v->monitor, STG_GET_GRAPH);
    stg_incident_info info = {.size = sizeof info};
    bool ok = true;
    for (uint32_t i = 0; ok && report && stg_report_incident(report, i, &info) == STG_OK; i++)
        ok = take_incident(v, report, i, &info, window_end);
    take_limits(v, plan);
    if (ok && v->rule && graph)
        ok = eval_rule_window(v->rule, graph);
    if (!v->run.start_ns)
        v->run.start_ns = window_end;
    v->run.end_ns = window_end;
    stg_unref(report);
    stg_unref(plan);
    stg_unref(graph);
    return ok ? CLI_OK : cli_fail("out of memory");
}

/* Name of a file of the recording, packed or not. */
static const char *file_in(char *path, size_t cap, const char *dir, const char *name)
{
    snprintf(path, cap, "%s/%s.xz", dir, name);
    if (access(path, R_OK) != 0)
        snprintf(path, cap, "%s/%s", dir, name);
    return path;
}

static int replay_dir(eval *v, const char *dir, stg_bundle *bundle)
{
    char calls[4096];
    char gauges[4096];
    const cli_files call_files = {.name = {file_in(calls, sizeof calls, dir, "calls.jsonl")}, .count = 1};
    const cli_files gauge_files = {.name = {file_in(gauges, sizeof gauges, dir, "gauges.jsonl")},
                                   .count = access(gauges, R_OK) == 0};
    const stg_detector_opts det = {.size = sizeof det, .false_alarms_per_day = v->false_alarms};
    const stg_monitor_opts opts = {.size = sizeof opts, .detector = &det};
    const stg_model *model = NULL;
    stg_model_info info = {.size = sizeof info};
    stg_error err;
    if (stg_model_load(&model, bundle, &err) != STG_OK ||
        stg_monitor_create(&v->monitor, v->ctx, bundle, &opts, &err) != STG_OK) {
        stg_unref(model);
        return cli_fail("%s", err.text);
    }
    stg_model_get_info(model, &info);
    stg_unref(model);
    cli_replay replay = {
        .ctx = v->ctx, .ingest = stg_monitor_ingest(v->monitor), .calls = &call_files,
        .gauges = &gauge_files, .window_ns = info.window_ns, .window = tick, .user = v,
        .max_bad = 1000,
    };
    const int code = cli_replay_run(&replay);
    stg_monitor_destroy(v->monitor);
    v->monitor = NULL;
    return code;
}

static void list_incidents(const eval *v, const char *method, const char *dir)
{
    printf("# %s on %s\n", method, dir);
    for (size_t e = 0; e < v->run.events_count; e++) {
        const eval_event *x = &v->run.events[e];
        printf("event %zu  %s %s  %s  start %.0f s, %.0f s long, strength %.2f  %s\n", e,
               x->attack ? "attack" : "confounder", x->class_name,
               x->node.node[0] ? x->node.node : "-",
               ((double)x->start_ns - (double)v->run.start_ns) / 1e9,
               (double)(x->end_ns - x->start_ns) / 1e9, x->strength,
               !x->attack ? "" : x->found >= 0 ? "FOUND" : "missed");
    }
    for (size_t i = 0; i < v->run.incidents_count; i++) {
        const eval_incident *x = &v->run.incidents[i];
        printf("incident %s  %.0f s to %.0f s  event %d  causes", x->class_name,
               (double)(x->opened_ns - v->run.start_ns) / 1e9,
               (double)(x->closed_ns - v->run.start_ns) / 1e9, x->event);
        for (int k = 0; k < EVAL_CAUSES; k++)
            printf(x->cause[k].node[0] ? "  %s" : "  %s>%s %s",
                   x->cause[k].node[0] ? x->cause[k].node : x->cause[k].src, x->cause[k].dst,
                   x->cause[k].route);
        putchar('\n');
    }
}

/* The rule's limit with no more false incidents than ours, over all recordings. */
static void tune_rule(eval_rule *const *rules, eval_run *runs, size_t count, uint32_t allowed,
                      eval_tally *tally)
{
    for (double limit = 3; limit < 200; limit *= 1.05) {
        eval_tally t = {.method = "rule_3sigma"};
        for (size_t i = 0; i < count; i++) {
            eval_rule_incidents(rules[i], limit, &runs[i]);
            eval_match(&runs[i]);
            eval_add(&t, &runs[i]);
        }
        if (t.false_incidents <= allowed) {
            *tally = t;
            return;
        }
        eval_tally_free(&t);
    }
}

static int run_method(eval *v, size_t method, eval_tally *tally, eval_rule **rules, eval_run *kept)
{
    stg_bundle *bundle = cli_open_bundle(v->ctx, v->model[method]);
    int code = bundle ? CLI_OK : CLI_FAILED;
    tally->method = v->method[method];
    for (int d = 0; code == CLI_OK && d < v->dirs.count; d++) {
        char truth[4096];
        snprintf(truth, sizeof truth, "%s/truth.jsonl", v->dirs.name[d]);
        v->rule = method == 0 ? eval_rule_new() : NULL;
        if (!eval_read_truth(truth, &v->run.events, &v->run.events_count))
            code = CLI_FAILED;
        else
            code = replay_dir(v, v->dirs.name[d], bundle);
        if (code == CLI_OK) {
            eval_match(&v->run);
            eval_add(tally, &v->run);
            if (v->list)
                list_incidents(v, v->method[method], v->dirs.name[d]);
        }
        if (method == 0) {
            rules[d] = v->rule;
            kept[d] = v->run; /* its events and times serve the rule */
            memset(&v->run, 0, sizeof v->run);
        } else {
            eval_run_free(&v->run);
        }
    }
    stg_bundle_destroy(bundle);
    return code;
}

static int run(eval *v)
{
    eval_tally tallies[MAX_METHODS + 1] = {0};
    eval_rule *rules[CLI_MAX_FILES] = {NULL};
    eval_run *kept = (eval_run *)calloc(CLI_MAX_FILES, sizeof *kept);
    int code = kept ? CLI_OK : cli_fail("out of memory");
    for (size_t m = 0; code == CLI_OK && m < v->methods; m++)
        code = run_method(v, m, &tallies[m], rules, kept);
    if (code == CLI_OK) {
        tallies[v->methods].method = "rule_3sigma";
        tune_rule(rules, kept, (size_t)v->dirs.count, tallies[0].false_incidents,
                  &tallies[v->methods]);
        eval_print(tallies, v->methods + 1, v->json, "recording");
    }
    for (int d = 0; kept && d < v->dirs.count; d++) {
        eval_rule_free(rules[d]);
        eval_run_free(&kept[d]);
    }
    for (size_t m = 0; m <= v->methods; m++)
        eval_tally_free(&tallies[m]);
    free(kept);
    return code;
}

static bool take_method(eval *v, const char *name, const char *model)
{
    if (v->methods == MAX_METHODS) {
        cli_say("more than %d models", MAX_METHODS);
        return false;
    }
    v->method[v->methods] = name;
    v->model[v->methods++] = model;
    return true;
}

static bool take_compare(eval *v, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1]) {
        cli_say("--compare: '%s' is not NAME=MODEL", text);
        return false;
    }
    *equals = '\0';
    return take_method(v, text, equals + 1);
}

enum { OPT_MODEL = 256, OPT_COMPARE, OPT_FALSE, OPT_LIST, OPT_JSON, OPT_HELP };

static const struct option options[] = {
    {"model", required_argument, NULL, OPT_MODEL},
    {"compare", required_argument, NULL, OPT_COMPARE},
    {"false-alarms-per-day", required_argument, NULL, OPT_FALSE},
    {"incidents", no_argument, NULL, OPT_LIST},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int parse(eval *v, int argc, char **argv)
{
    const char *model = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool ok = true;
        switch (option) {
        case OPT_MODEL:
            model = optarg;
            break;
        case OPT_COMPARE:
            ok = take_compare(v, optarg);
            break;
        case OPT_FALSE:
            ok = cli_number(optarg, "--false-alarms-per-day", 1e-6, 86400, &v->false_alarms);
            break;
        case OPT_LIST:
            v->list = true;
            break;
        case OPT_JSON:
            v->json = true;
            break;
        case OPT_HELP:
            fputs(help, stdout);
            return -1;
        default:
            return cli_usage_error("eval", "bad option");
        }
        if (!ok)
            return CLI_USAGE;
    }
    if (optind >= argc || strcmp(argv[optind], "recording") != 0)
        return cli_usage_error("eval", "what to judge on: 'recording' and its folders");
    for (int i = optind + 1; i < argc; i++)
        if (v->dirs.count < CLI_MAX_FILES)
            v->dirs.name[v->dirs.count++] = argv[i];
    if (v->dirs.count == 0 || !model)
        return cli_usage_error("eval", "a folder and --model are needed");
    /* Ours stands first. */
    if (!take_method(v, "stgraph", model))
        return CLI_USAGE;
    const char *name = v->method[v->methods - 1];
    memmove((void *)&v->method[1], (void *)&v->method[0], (v->methods - 1) * sizeof v->method[0]);
    memmove((void *)&v->model[1], (void *)&v->model[0], (v->methods - 1) * sizeof v->model[0]);
    v->method[0] = name;
    v->model[0] = model;
    return CLI_OK;
}

int cli_eval(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "forecast") == 0)
        return cli_eval_forecast(argc - 1, argv + 1);
    eval v = {0};
    int code = parse(&v, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    v.ctx = cli_context();
    code = v.ctx ? run(&v) : CLI_FAILED;
    stg_ctx_destroy(v.ctx);
    return code;
}
