/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The format is that of pax(1) in POSIX, "ustar Interchange Format". liblzma, which libsystemd needs as well,
 * compresses it. */

#include "archive.h"

#include <lzma.h>
#include <stdio.h>

#define BLOCK_SIZE 512

typedef struct UstarHeader {
        char name[100];
        char mode[8];
        char uid[8];
        char gid[8];
        char size[12];
        char mtime[12];
        char checksum[8];
        char type;
        char link_name[100];
        char magic[6];
        char version[2];
        char user[32];
        char group[32];
        char rest[183];
} UstarHeader;
G_STATIC_ASSERT(sizeof(UstarHeader) == BLOCK_SIZE);

/* Zeros up to the next whole block. */
static void tar_pad(GByteArray *tar) {
        static const uint8_t zeros[BLOCK_SIZE];

        if (tar->len % BLOCK_SIZE > 0)
                g_byte_array_append(tar, zeros, BLOCK_SIZE - tar->len % BLOCK_SIZE);
}

void tar_append(GByteArray *tar, const char *name, const void *data, size_t size, uint64_t time_usec) {
        UstarHeader header = { .type = '0', .magic = "ustar", .version = { '0', '0' } };
        unsigned sum = 0;

        (void) g_strlcpy(header.name, name, sizeof(header.name));
        (void) snprintf(header.mode, sizeof(header.mode), "%07o", 0600u);
        (void) snprintf(header.uid, sizeof(header.uid), "%07o", 0u);
        (void) snprintf(header.gid, sizeof(header.gid), "%07o", 0u);
        (void) snprintf(header.size, sizeof(header.size), "%011o", (unsigned) size);
        (void) snprintf(header.mtime, sizeof(header.mtime), "%011o", (unsigned) (time_usec / USEC_PER_SEC));

        /* The sum of all bytes, with spaces in place of itself. */
        memset(header.checksum, ' ', sizeof(header.checksum));
        for (size_t i = 0; i < sizeof(header); i++)
                sum += ((const uint8_t *) &header)[i];
        (void) snprintf(header.checksum, sizeof(header.checksum), "%06o", sum);

        g_byte_array_append(tar, (const uint8_t *) &header, sizeof(header));
        g_byte_array_append(tar, data, (guint) size);
        tar_pad(tar);
}

void tar_end(GByteArray *tar) {
        static const uint8_t end[2 * BLOCK_SIZE];

        g_byte_array_append(tar, end, sizeof(end));
}

int xz_compress(const GByteArray *data, GByteArray **ret) {
        size_t size_max = lzma_stream_buffer_bound(data->len), size = 0;
        g_autoptr(GByteArray) out = g_byte_array_new();
        lzma_ret r;

        g_byte_array_set_size(out, (guint) size_max);
        r = lzma_easy_buffer_encode(
                        /* preset= */ 1, LZMA_CHECK_CRC64, NULL, data->data, data->len, out->data, &size,
                        size_max);
        if (r != LZMA_OK)
                return r == LZMA_MEM_ERROR ? -ENOMEM : -EIO;

        g_byte_array_set_size(out, (guint) size);
        *ret = g_steal_pointer(&out);
        return 0;
}
