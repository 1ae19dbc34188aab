/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source of records: a file, standard input, or a file behind xz or gzip. Bytes go through the
 * library's reader; a few records are kept ahead.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#define BATCH 256
#define BLOCK 65536

struct cli_source {
    char *name;
    int fd;
    pid_t child; /* the unpacker; 0: none */
    stg_reader *reader;
    stg_record batch[BATCH];
    size_t count;
    size_t at;
    uint64_t bad_lines;
    bool ended;
    bool live;
    cli_wait_fn wait;
    void *user;
    char block[BLOCK];
};

static bool ends_with(const char *name, const char *tail)
{
    const size_t n = strlen(name);
    const size_t t = strlen(tail);
    return n > t && strcmp(name + n - t, tail) == 0;
}

/* Starts `tool -dc < file` and returns the end of the pipe that its output comes from. */
static int unpack(const char *tool, int file, pid_t *child)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    *child = fork();
    if (*child == 0) {
        dup2(file, STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        if (cli_says_elsewhere()) /* the screen is not the tool's to write on */
            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        execlp(tool, tool, "-dc", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (*child < 0) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static int open_input(cli_source *s)
{
    if (strcmp(s->name, "-") == 0) {
        struct stat st;
        s->live = fstat(STDIN_FILENO, &st) == 0 && !S_ISREG(st.st_mode);
        return dup(STDIN_FILENO);
    }
    const int file = open(s->name, O_RDONLY | O_CLOEXEC);
    const char *tool = ends_with(s->name, ".xz") ? "xz" : ends_with(s->name, ".gz") ? "gzip" : NULL;
    if (file < 0 || !tool)
        return file;
    const int fd = unpack(tool, file, &s->child);
    close(file);
    return fd;
}

cli_source *cli_source_open(const char *name, stg_ctx *ctx, stg_lane *lane)
{
    cli_source *s = (cli_source *)calloc(1, sizeof *s);
    stg_error err;
    if (!s || !(s->name = strdup(name))) {
        cli_say("out of memory");
        free(s);
        return NULL;
    }
    s->fd = open_input(s);
    if (s->fd < 0) {
        cli_say("%s: %s", name, strerror(errno));
        cli_source_close(s);
        return NULL;
    }
    if (stg_reader_create(&s->reader, ctx, lane, "jsonl", &err) != STG_OK) {
        cli_say("%s: %s", name, err.text);
        cli_source_close(s);
        return NULL;
    }
    return s;
}

void cli_source_close(cli_source *s)
{
    if (!s)
        return;
    stg_reader_destroy(s->reader);
    if (s->fd >= 0)
        close(s->fd);
    if (s->child > 0)
        waitpid(s->child, NULL, 0);
    free(s->name);
    free(s);
}

void cli_source_wait_by(cli_source *s, cli_wait_fn wait, void *user)
{
    s->wait = wait;
    s->user = user;
}

/* 1 there is something to read or the end, 0 not within the time, -1 the reader does not want more. */
static int wait_for_input(cli_source *s, int timeout_ms)
{
    const int limit = s->live ? timeout_ms : -1;
    if (s->wait)
        return s->wait(s->fd, limit, s->user);
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    return limit < 0 || poll(&p, 1, limit) != 0;
}

/* Feeds one more block: 1 fed, 0 the end was fed, -1 nothing to read now, -2 failed. */
static int feed(cli_source *s, int timeout_ms)
{
    const int ready = wait_for_input(s, timeout_ms);
    if (ready <= 0)
        return ready - 1;
    ssize_t n;
    do {
        n = read(s->fd, s->block, sizeof s->block);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        cli_say("%s: %s", s->name, strerror(errno));
        return -2;
    }
    if (n == 0 && s->child > 0) {
        int state = 0;
        waitpid(s->child, &state, 0);
        s->child = 0;
        if (!WIFEXITED(state) || WEXITSTATUS(state) != 0) {
            cli_say("%s: unpacking failed", s->name);
            return -2;
        }
    }
    const int32_t status = stg_reader_feed(s->reader, s->block, (size_t)n);
    if (status < 0) {
        cli_say("%s: %s", s->name, status == STG_E_LIMIT ? "a line is too long" : "out of memory");
        return -2;
    }
    return n > 0;
}

int cli_source_peek(cli_source *s, stg_record *record, int timeout_ms)
{
    while (s->at == s->count) {
        stg_error err;
        s->at = 0;
        const int32_t status = stg_reader_next(s->reader, s->batch, BATCH, &s->count, &err);
        if (status == STG_E_FORMAT) {
            if (s->bad_lines++ < 10)
                cli_say("%s:%u: %s", s->name, err.line, err.text);
            continue;
        }
        if (status < 0) {
            cli_say("%s: %s", s->name, err.text);
            return -2;
        }
        if (s->count > 0)
            break;
        if (status == STG_AGAIN) { /* polled often enough: only time that passes would make room */
            cli_say("%s: the lane is full of calls of later windows, a smaller --grace helps", s->name);
            return -2;
        }
        if (s->ended)
            return 0;
        const int fed = feed(s, timeout_ms);
        if (fed < 0)
            return fed;
        s->ended = fed == 0;
    }
    *record = s->batch[s->at];
    return 1;
}

void cli_source_take(cli_source *s)
{
    s->at++;
}

uint64_t cli_source_bad_lines(const cli_source *s)
{
    return s->bad_lines;
}

bool cli_source_is_live(const cli_source *s)
{
    return s->live;
}
