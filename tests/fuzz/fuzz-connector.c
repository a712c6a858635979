/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any bytes as a datagram of the proc connector. The first four are the acknowledgement that is waited for.
 */

#include "fuzz.h"

#include "connector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint32_t acknowledgement, error = 4321;
        ConnectorNews news;
        void *datagram;

        if (size < sizeof(acknowledgement))
                return 0;
        memcpy(&acknowledgement, data, sizeof(acknowledgement));
        data += sizeof(acknowledgement);
        size -= sizeof(acknowledgement);

        /* Of this size and not a byte more, so that a read beyond is seen. */
        datagram = malloc(size);
        if (size > 0)
                memcpy(datagram, data, size);
        news = connector_parse(datagram, size, acknowledgement, &error);
        fuzz_assert(news >= CONNECTOR_NOTHING && news <= CONNECTOR_ACKNOWLEDGED);
        if (news != CONNECTOR_ACKNOWLEDGED)
                fuzz_assert(error == 4321);

        free(datagram);
        return 0;
}
