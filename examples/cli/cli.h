/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts that the commands of the program stgraph share. The program uses the public headers of the
 * library only: what it can do, any host can do.
 */
#ifndef STGRAPH_CLI_H
#define STGRAPH_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include <stgraph/stgraph.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* One command: argv[0] is its name. Returns the program's exit code. */
int cli_learn(int argc, char **argv);
int cli_watch(int argc, char **argv);
int cli_graph(int argc, char **argv);
int cli_report(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_import(int argc, char **argv);
int cli_train(int argc, char **argv);
int cli_export(int argc, char **argv);
/* eval, when it is about forecasts. */
int cli_eval_forecast(int argc, char **argv);

/* Messages go to standard error as "stgraph: ...", or to a sink while a command owns the screen:
 * the text without a newline; NULL ends that. */
void cli_say_to(void (*sink)(const char *text, void *user), void *user);
bool cli_says_elsewhere(void);
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_usage_error(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A number with a named meaning from the command line; false after a message. */
bool cli_number(const char *text, const char *what, double low, double high, double *value);

/* Names of files given by an option that may come several times, or once with several values. */
#define CLI_MAX_FILES 256
typedef struct cli_files {
    const char *name[CLI_MAX_FILES];
    int count;
} cli_files;

/* Takes the option's value and the arguments behind it up to the next option. */
bool cli_take_files(cli_files *files, const char *first, int argc, char **argv);

stg_ctx *cli_context(void);
stg_bundle *cli_open_bundle(stg_ctx *ctx, const char *path);
/* A model file, or a checkpoint that can be imported; NULL after a message. */
const stg_model *cli_read_model(stg_ctx *ctx, const char *path, const stg_import_opts *opts,
                                bool *imported);
/* The value of --supports; false after a message. */
bool cli_supports_named(const char *text, uint32_t *supports);

/* How far training is, on standard error. A trainer's callback is cli_progress_show() with the struct;
 * begin before it runs. end: the seconds it took. */
typedef struct cli_progress {
    bool terminal;
    struct timespec started;
} cli_progress;
void cli_progress_begin(cli_progress *progress);
int32_t cli_progress_show(const stg_train_progress *p, void *user);
double cli_progress_end(const cli_progress *progress);

/* --- input ------------------------------------------------------------------------------------ */

/* What watch, report and top are told about their input. */
typedef struct cli_input {
    cli_files calls;
    cli_files gauges;
    const char *model;
    double false_alarms;
    double grace_s; /* below 0: not told */
} cli_input;

enum { CLI_OPT_MODEL = 512, CLI_OPT_CALLS, CLI_OPT_GAUGES, CLI_OPT_FALSE, CLI_OPT_GRACE };

/* Their rows of a table for getopt_long(), and of the help. */
#define CLI_INPUT_OPTIONS                                                                          \
    {"model", required_argument, NULL, CLI_OPT_MODEL},                                             \
        {"calls", required_argument, NULL, CLI_OPT_CALLS},                                         \
        {"gauges", required_argument, NULL, CLI_OPT_GAUGES},                                       \
        {"false-alarms-per-day", required_argument, NULL, CLI_OPT_FALSE}
#define CLI_GRACE_OPTION {"grace", required_argument, NULL, CLI_OPT_GRACE}
#define CLI_INPUT_HELP                                                                             \
    "      --model MODEL             file written by 'stgraph learn'\n"                            \
    "      --calls FILE...           calls, one JSON object a line; '-' is standard input\n"       \
    "      --gauges FILE...          gauges that belong to them\n"
#define CLI_FALSE_HELP                                                                             \
    "      --false-alarms-per-day X  false alarms that are tolerated in 24 hours (default 2)\n"
#define CLI_GRACE_HELP                                                                             \
    "      --grace SECONDS           how long a window stays open for late records\n"              \
    "                                (default 0 for files, 1 for standard input)\n"

/* Takes one option of getopt_long(): 1 taken, 0 not one of these, -1 wrong (after a message). */
int cli_input_option(cli_input *input, int option, int argc, char **argv);
/* Makes the monitor of the model in a bundle. Returns an exit code. */
int cli_input_monitor(const cli_input *input, stg_ctx *ctx, const stg_bundle *bundle,
                      stg_monitor **monitor, uint64_t *window_ns);
/* How long windows stay open, as told or by the kind of input. */
uint64_t cli_input_grace(const cli_input *input);

/* --- state ------------------------------------------------------------------------------------ */

/* SIGTERM and SIGINT from now on ask for the end of a run; cli_stop_wait() is a cli_wait_fn that ends it. */
void cli_stop_catch(void);
bool cli_stopped(void);
int cli_stop_wait(int fd, int timeout_ms, void *user);
/* Goes on where the run that wrote the file stopped, if there is one that fits (else says why not).
 * Return an exit code. */
int cli_state_resume(stg_monitor *monitor, stg_ctx *ctx, const char *path, bool *resumed);
/* quiet: a failure is not told. */
int cli_state_save(const stg_monitor *monitor, stg_ctx *ctx, const char *path, bool quiet);

/* --- replay ----------------------------------------------------------------------------------- */

/* Called when all records before window_end (plus grace) have been pushed; not 0 ends the replay. */
typedef int (*cli_window_fn)(uint64_t window_end, void *user);

/* Waits until a descriptor can be read, in place of poll(), for a command that has more to wait for;
 * timeout_ms < 0: no limit. 1 readable, 0 the time is over, -1 the replay shall end. */
typedef int (*cli_wait_fn)(int fd, int timeout_ms, void *user);

typedef struct cli_replay {
    stg_ctx *ctx;
    stg_ingest *ingest;   /* where the lane is opened; windows are closed by the callback */
    const cli_files *calls;
    const cli_files *gauges;
    uint64_t window_ns;
    bool partial;         /* the first and the last window count although they are cut short */
    uint64_t grace_ns;    /* how long after its end a window stays open, in the records' time */
    cli_window_fn window;
    cli_wait_fn wait;     /* NULL: poll() */
    void *user;
    uint64_t records;     /* out: calls pushed */
    uint64_t bad_lines;   /* out: lines that were not understood */
    uint64_t max_bad;     /* more bad lines end the replay */
} cli_replay;

/* Pushes the records of all files in the order of time and calls back for every window. Returns an
 * exit code. */
int cli_replay_run(cli_replay *replay);

/* --- sources ---------------------------------------------------------------------------------- */

typedef struct cli_source cli_source;

/* Opens a file of records: "-" is standard input, names ending in .xz or .gz go through xz or gzip. */
cli_source *cli_source_open(const char *name, stg_ctx *ctx, stg_lane *lane);
void cli_source_close(cli_source *source);
/* Waits by this function from now on. */
void cli_source_wait_by(cli_source *source, cli_wait_fn wait, void *user);
/* Looks at the next record without taking it: 1 there is one, 0 the end, -1 nothing at the moment
 * (standard input only), -2 the source failed (after a message). */
int cli_source_peek(cli_source *source, stg_record *record, int timeout_ms);
void cli_source_take(cli_source *source);
uint64_t cli_source_bad_lines(const cli_source *source);
bool cli_source_is_live(const cli_source *source);

/* Nanoseconds of a record. */
uint64_t cli_record_time(const stg_record *record);

#endif
