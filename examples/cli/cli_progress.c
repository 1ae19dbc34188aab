/* SPDX-License-Identifier: Apache-2.0 */
/* How far training is: a line that changes on a terminal, else one every tenth epoch. */
#include <math.h>
#include <unistd.h>

#include "cli.h"

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

void cli_progress_begin(cli_progress *progress)
{
    progress->terminal = isatty(STDERR_FILENO);
    clock_gettime(CLOCK_MONOTONIC, &progress->started);
}

int32_t cli_progress_show(const stg_train_progress *p, void *user)
{
    const cli_progress *progress = (const cli_progress *)user;
    const double done = (double)p->epoch + (double)p->batch / (p->batches ? p->batches : 1);
    const double left =
        done > 0 ? seconds_since(&progress->started) / done * (p->epochs - done) : NAN;
    if (progress->terminal)
        fprintf(stderr, "\r\033[Kepoch %u/%u  loss %.4f  validation %.4f (best %.4f)  at most %.0f s left",
                p->epoch + 1, p->epochs, p->train_loss, p->valid_loss, p->best_loss, left);
    else if (p->batch == p->batches && p->epoch % 10 == 9)
        cli_say("epoch %u/%u: loss %.4f, validation %.4f, best %.4f", p->epoch + 1, p->epochs,
                p->train_loss, p->valid_loss, p->best_loss);
    return 0;
}

double cli_progress_end(const cli_progress *progress)
{
    if (progress->terminal)
        fputs("\r\033[K", stderr);
    return seconds_since(&progress->started);
}
