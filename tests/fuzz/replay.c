/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Runs a fuzzer on kept inputs: all files of the given folders. */

#include "fuzz.h"

#include <glib.h>

static unsigned replay_folder(const char *folder) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
        const char *name;
        unsigned n = 0;

        if (!dir) {
                fprintf(stderr, "%s\n", error->message);
                exit(EXIT_FAILURE);
        }

        for (; (name = g_dir_read_name(dir)); n++) {
                g_autofree char *path = g_build_filename(folder, name, NULL), *data = NULL;
                gsize size;

                if (!g_file_get_contents(path, &data, &size, &error)) {
                        fprintf(stderr, "%s\n", error->message);
                        exit(EXIT_FAILURE);
                }
                fprintf(stderr, "%s\n", path);
                (void) LLVMFuzzerTestOneInput((const uint8_t *) data, size);
        }

        return n;
}

int main(int argc, char *argv[]) {
        for (int i = 1; i < argc; i++)
                if (replay_folder(argv[i]) == 0) {
                        fprintf(stderr, "%s is empty\n", argv[i]);
                        return EXIT_FAILURE;
                }

        return EXIT_SUCCESS;
}
