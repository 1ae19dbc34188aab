/* SPDX-License-Identifier: Apache-2.0 */
/* Models from files of any kind: our own, or checkpoints of other codes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MOST ((size_t)1 << 30)

static char *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "re");
    char *data = NULL;
    size_t room = 0;
    *len = 0;
    while (file && !feof(file) && !ferror(file)) {
        if (*len == room) {
            room = room ? 2 * room : 1 << 20;
            char *grown = room > MOST ? NULL : (char *)realloc(data, room);
            if (!grown) {
                cli_say("%s: too large", path);
                free(data);
                fclose(file);
                return NULL;
            }
            data = grown;
        }
        *len += fread(data + *len, 1, room - *len, file);
    }
    const bool ok = file && !ferror(file);
    if (!ok)
        cli_say("%s: %s", path, strerror(errno));
    if (file)
        fclose(file);
    if (ok)
        return data;
    free(data);
    return NULL;
}

const stg_model *cli_read_model(stg_ctx *ctx, const char *path, const stg_import_opts *opts,
                                bool *imported)
{
    size_t len;
    char *data = read_file(path, &len);
    const stg_model *model = NULL;
    stg_bundle *bundle = NULL;
    stg_error err = {0};
    int32_t status = STG_E_NOTFOUND;
    if (!data)
        return NULL;
    if (stg_bundle_parse(&bundle, ctx, data, len, NULL) == STG_OK)
        status = stg_model_load(&model, bundle, &err);
    stg_bundle_destroy(bundle);
    *imported = status == STG_E_NOTFOUND;
    if (*imported)
        status = stg_model_import(&model, ctx, data, len, opts, &err);
    free(data);
    if (status != STG_OK)
        cli_say("%s: %s", path, err.text[0] ? err.text : stg_status_name(status));
    return model;
}

bool cli_supports_named(const char *text, uint32_t *supports)
{
    *supports = strcmp(text, "exact") == 0           ? STG_SUPPORTS_EXACT
                : strcmp(text, "port_reversed") == 0 ? STG_SUPPORTS_PORT_REVERSED
                                                     : STG_SUPPORTS_MODEL;
    if (*supports == STG_SUPPORTS_MODEL)
        cli_say("--supports: '%s' is neither exact nor port_reversed", text);
    return *supports != STG_SUPPORTS_MODEL;
}
