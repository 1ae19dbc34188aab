/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor's state in a file, and the end of a run in good order: SIGTERM and SIGINT come through
 * only while the program waits for input, so that a window at work is finished, told and saved first.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

static volatile sig_atomic_t stopped;
static sigset_t outside; /* signals blocked before */

static void stop(int number)
{
    stopped = number;
}

void cli_stop_catch(void)
{
    struct sigaction act = {.sa_handler = stop};
    sigset_t both;
    sigemptyset(&act.sa_mask);
    sigemptyset(&both);
    sigaddset(&both, SIGTERM);
    sigaddset(&both, SIGINT);
    sigprocmask(SIG_BLOCK, &both, &outside);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
}

bool cli_stopped(void)
{
    return stopped != 0;
}

int cli_stop_wait(int fd, int timeout_ms, void *user)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct timespec limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    const int n = ppoll(&p, 1, timeout_ms < 0 ? NULL : &limit, &outside);
    return stopped ? -1 : n != 0;
}

/* Where a file is to be written that is not there yet. */
static int check_folder(const char *path)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const bool there = folder && stat(folder, &st) == 0 && S_ISDIR(st.st_mode);
    free(folder);
    return there ? CLI_OK : cli_fail("%s: no such folder", path);
}

int cli_state_resume(stg_monitor *monitor, stg_ctx *ctx, const char *path, bool *resumed)
{
    struct stat st;
    stg_bundle *bundle;
    stg_error err = {0};
    *resumed = false;
    if (stat(path, &st) != 0 && errno == ENOENT)
        return check_folder(path);
    int32_t status = stg_bundle_open(&bundle, ctx, path, &err);
    if (status < 0) /* not ours to write over, whatever it is; what the system says names the file */
        return cli_fail("%s%s%s; it is not written over", status == STG_E_IO ? "" : path,
                        status == STG_E_IO ? "" : ": ", err.text);
    status = stg_state_restore(monitor, bundle, &err);
    stg_bundle_destroy(bundle);
    *resumed = status == STG_OK;
    if (status == STG_E_NOTFOUND)
        return cli_fail("%s: no saved state, but something else; it is not written over", path);
    if (status == STG_E_NOMEM)
        return cli_fail("%s: %s", path, err.text);
    if (status < 0) /* of another model, another version, or damaged: no reason to watch nothing */
        cli_say("%s: %s; begins anew", path, err.text);
    return CLI_OK;
}

int cli_state_save(const stg_monitor *monitor, stg_ctx *ctx, const char *path, bool quiet)
{
    stg_bundle *bundle;
    stg_error err = {0};
    int32_t status = stg_bundle_open(&bundle, ctx, NULL, &err);
    if (status == STG_OK) {
        status = stg_state_save(monitor, bundle, &err);
        if (status == STG_OK)
            status = stg_bundle_save(bundle, path, &err);
        stg_bundle_destroy(bundle);
    }
    if (status < 0 && !quiet)
        cli_say("%s", err.text);
    return status < 0 ? CLI_FAILED : CLI_OK;
}
