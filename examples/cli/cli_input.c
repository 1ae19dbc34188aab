/* SPDX-License-Identifier: Apache-2.0 */
/* What watch, report and top have in common: the options that name their input, and the monitor. */
#include <math.h>
#include <string.h>

#include "cli.h"

int cli_input_option(cli_input *input, int option, int argc, char **argv)
{
    extern char *optarg;
    bool ok = true;
    switch (option) {
    case CLI_OPT_MODEL:
        input->model = optarg;
        break;
    case CLI_OPT_CALLS:
        ok = cli_take_files(&input->calls, optarg, argc, argv);
        break;
    case CLI_OPT_GAUGES:
        ok = cli_take_files(&input->gauges, optarg, argc, argv);
        break;
    case CLI_OPT_FALSE:
        ok = cli_number(optarg, "--false-alarms-per-day", 1e-6, 86400, &input->false_alarms);
        break;
    case CLI_OPT_GRACE:
        ok = cli_number(optarg, "--grace", 0, 3600, &input->grace_s);
        break;
    default:
        return 0;
    }
    return ok ? 1 : -1;
}

int cli_input_monitor(const cli_input *input, stg_ctx *ctx, const stg_bundle *bundle,
                      stg_monitor **monitor, uint64_t *window_ns)
{
    const stg_model *model = NULL;
    stg_model_info info = {.size = sizeof info};
    stg_error err;
    if (stg_model_load(&model, bundle, &err) != STG_OK)
        return cli_fail("%s: %s", input->model, err.text);
    stg_model_get_info(model, &info);
    *window_ns = info.window_ns;
    stg_unref(model);
    const stg_detector_opts det = {.size = sizeof det, .false_alarms_per_day = input->false_alarms};
    const stg_monitor_opts opts = {.size = sizeof opts, .detector = &det};
    if (stg_monitor_create(monitor, ctx, bundle, &opts, &err) != STG_OK)
        return cli_fail("%s: %s", input->model, err.text);
    return CLI_OK;
}

uint64_t cli_input_grace(const cli_input *input)
{
    const bool live = strcmp(input->calls.name[0], "-") == 0;
    return (uint64_t)llround(1e9 * (input->grace_s >= 0 ? input->grace_s : live ? 1 : 0));
}
