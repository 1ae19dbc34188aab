/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where lanes come from: the header page, the sealed shared file, and the checks that a descriptor
 * has to pass before either end maps it. The seals say that the file can never shrink again, so
 * that no access to the mapping can raise SIGBUS.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring_priv.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static bool sizes_valid(uint32_t records, uint32_t names)
{
    return records >= STG__LANE_MIN_RECORDS && records <= STG__LANE_MAX_RECORDS &&
           (records & (records - 1)) == 0 && names >= STG__LANE_MIN_NAMES &&
           names <= STG__LANE_MAX_NAMES;
}

int32_t stg__lane_sizes(const stg_lane_opts *opts, uint32_t *records, uint32_t *names)
{
    stg_lane_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_lane_opts", NULL));
    *records = o.records ? o.records : 65536;
    *names = o.names ? o.names : 4096;
    return sizes_valid(*records, *names) ? STG_OK : STG_E_INVALID;
}

void stg__lane_page_init(stg__lane_page *page, const stg_ctx *ctx, uint32_t records, uint32_t names)
{
    page->magic = STG__LANE_MAGIC;
    page->version = STG__LANE_VERSION;
    page->records = records;
    page->names = names;
    memcpy(page->sketch_key, ctx->sketch_key, sizeof page->sketch_key);
}

int32_t stg_lane_create_fd(int *fd, stg_ctx *ctx, const stg_lane_opts *opts)
{
    if (!fd || !ctx)
        return STG_E_INVALID;
    *fd = -1;
    uint32_t records;
    uint32_t names;
    STG_RETURN_IF_ERROR(stg__lane_sizes(opts, &records, &names));
    const int file = memfd_create("stgraph-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0)
        return STG_E_IO;
    stg__lane_page page;
    memset(&page, 0, sizeof page);
    stg__lane_page_init(&page, ctx, records, names);
    if (ftruncate(file, (off_t)stg__lane_bytes(records)) != 0 ||
        pwrite(file, &page, sizeof page, 0) != (ssize_t)sizeof page ||
        fcntl(file, F_ADD_SEALS, SEALS) != 0) {
        close(file);
        return STG_E_IO;
    }
    *fd = file;
    return STG_OK;
}

int32_t stg__lane_map(int fd, stg__lane_page **page, uint32_t *records, uint32_t *names)
{
    *page = NULL;
    const int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    if (fstat(fd, &st) != 0)
        return STG_E_IO;
    if (seals < 0 || (seals & SEALS) != SEALS || st.st_size < (off_t)STG__LANE_PAGE ||
        st.st_size > (off_t)stg__lane_bytes(STG__LANE_MAX_RECORDS))
        return STG_E_FORMAT;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return STG_E_IO;
    const volatile stg__lane_page *p = (const volatile stg__lane_page *)at;
    *records = p->records; /* read once: checked copies are used from here on */
    *names = p->names;
    if (p->magic != STG__LANE_MAGIC || p->version != STG__LANE_VERSION ||
        !sizes_valid(*records, *names) || stg__lane_bytes(*records) != (size_t)st.st_size) {
        munmap(at, (size_t)st.st_size);
        return STG_E_FORMAT;
    }
    *page = (stg__lane_page *)at;
    return STG_OK;
}
