/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files without libFuzzer: every argument is a file, or a folder of files.
 * Each input is handed over in a block of exactly its length, so that a sanitizer or valgrind sees a
 * read behind it. Fails when there was nothing to run.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t runs;

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    static uint8_t buffer[1 << 22];
    const size_t size = fread(buffer, 1, sizeof buffer, file);
    const int bad = ferror(file) || size == sizeof buffer;
    fclose(file);
    if (bad) {
        fprintf(stderr, "%s: cannot be read, or is too long\n", path);
        return 1;
    }
    uint8_t *exact = (uint8_t *)malloc(size ? size : 1);
    if (!exact)
        return 1;
    memcpy(exact, buffer, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    runs++;
    return 0;
}

static int run_folder(const char *path)
{
    struct dirent **names;
    int bad = 0;
    const int n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        perror(path);
        return 1;
    }
    for (int i = 0; i < n; i++) {
        char file[4096];
        if (names[i]->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
            bad |= run_file(file);
        }
        free(names[i]);
    }
    free(names);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0) {
            perror(argv[i]);
            bad = 1;
        } else {
            bad |= S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
        }
    }
    printf("%zu inputs\n", runs);
    return bad || runs == 0;
}
