/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of all public structs by name, for bindings that declare them a second time. */
#include <string.h>

#include <stgraph/stgraph.h>

size_t stg_struct_size(const char *name)
{
#define SIZE(n) {#n, sizeof(stg_##n)}
    static const struct {
        const char *name;
        size_t size;
    } sizes[] = {
        SIZE(error),         SIZE(allocator),    SIZE(ctx_opts),      SIZE(graph_info),
        SIZE(edges),         SIZE(call),         SIZE(gauge),         SIZE(graph_builder_opts),
        SIZE(ingest_opts),   SIZE(lane_opts),    SIZE(ingest_stats),  SIZE(model_info),
        SIZE(import_opts),
        SIZE(session_opts),  SIZE(forecast_info), SIZE(train_progress), SIZE(trainer_opts),
        SIZE(detector_opts), SIZE(report_info),  SIZE(incident_info), SIZE(item),
        SIZE(planner_opts),  SIZE(action),       SIZE(record),        SIZE(monitor_opts),
    };
#undef SIZE
    if (!name)
        return 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(sizes[i].name, name) == 0)
            return sizes[i].size;
    return 0;
}
