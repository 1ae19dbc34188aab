/* SPDX-License-Identifier: Apache-2.0 */
/* The program stgraph: picks the command and holds what all commands use. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
    "Usage: stgraph COMMAND [OPTION]...\n"
    "Learns what the calls between services look like, and reports attacks in them.\n"
    "\n"
    "Commands:\n"
    "  learn    learn a model of normal traffic from recorded calls\n"
    "  watch    report incidents in calls, one JSON object a line\n"
    "  top      show services, calls and incidents live on a terminal\n"
    "  graph    print the service graph of one window\n"
    "  report   write a page to look at: graph, forecast and incidents over time\n"
    "  inspect  say what a model file or a saved state holds\n"
    "  eval     judge a model on a labelled recording, or its forecasts on a series\n"
    "  import   make a model from a checkpoint of another code\n"
    "  export   write a model in the form of another program\n"
    "  train    train a forecaster on a series of plain numbers\n"
    "\n"
    "'stgraph COMMAND --help' tells the options of a command; 'stgraph --version' the version.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"learn", cli_learn}, {"watch", cli_watch}, {"graph", cli_graph},
    {"report", cli_report}, {"inspect", cli_inspect}, {"eval", cli_eval}, {"top", cli_top},
    {"import", cli_import}, {"train", cli_train}, {"export", cli_export},
};

/* Where messages go while a command owns the screen. */
static struct {
    void (*say)(const char *text, void *user);
    void *user;
} sink;

void cli_say_to(void (*say_fn)(const char *text, void *user), void *user)
{
    sink.say = say_fn;
    sink.user = user;
}

bool cli_says_elsewhere(void)
{
    return sink.say != NULL;
}

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args)
{
    if (sink.say) {
        char text[1024];
        vsnprintf(text, sizeof text, format, args);
        sink.say(text, sink.user);
        return;
    }
    fputs("stgraph: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_usage_error(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    fprintf(stderr, "Try 'stgraph %s --help'.\n", command);
    return CLI_USAGE;
}

bool cli_number(const char *text, const char *what, double low, double high, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (errno == 0 && end != text && *end == '\0' && *value >= low && *value <= high)
        return true;
    cli_say("%s: '%s' is not a number from %g to %g", what, text, low, high);
    return false;
}

bool cli_take_files(cli_files *files, const char *first, int argc, char **argv)
{
    extern int optind;
    const char *name = first;
    while (name) {
        if (files->count == CLI_MAX_FILES) {
            cli_say("more than %d files", CLI_MAX_FILES);
            return false;
        }
        files->name[files->count++] = name;
        const bool more = optind < argc && (argv[optind][0] != '-' || argv[optind][1] == '\0');
        name = more ? argv[optind++] : NULL;
    }
    return true;
}

static void log_line(uint32_t level, const char *text, void *user)
{
    cli_say("%s%s", level <= STG_LOG_ERROR ? "error: " : "", text);
}

stg_ctx *cli_context(void)
{
    stg_ctx *ctx = NULL;
    const stg_ctx_opts opts = {.size = sizeof opts, .log = log_line};
    if (stg_ctx_create(&ctx, &opts) != STG_OK)
        cli_say("out of memory");
    return ctx;
}

stg_bundle *cli_open_bundle(stg_ctx *ctx, const char *path)
{
    stg_bundle *bundle = NULL;
    stg_error err;
    if (stg_bundle_open(&bundle, ctx, path, &err) != STG_OK)
        cli_say("%s: %s", path, err.text);
    return bundle;
}

uint64_t cli_record_time(const stg_record *record)
{
    return record->kind == STG_RECORD_CALL ? record->u.call.end_ns : record->u.gauge.time_ns;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL);
    setlocale(LC_CTYPE, ""); /* numbers stay as in C */
    if (argc < 2) {
        fputs(usage, stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        fputs(usage, stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("stgraph %s\n", stg_version_string());
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    cli_say("'%s' is not a command", argv[1]);
    fputs("Try 'stgraph --help'.\n", stderr);
    return CLI_USAGE;
}
