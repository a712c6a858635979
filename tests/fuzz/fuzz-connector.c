/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any bytes as a datagram of the proc connector, compared with a decoder by offsets. The first four bytes are
 * the expected acknowledgement. */

#include "fuzz.h"

#include <sys/param.h>

#include "connector.h"

#define NO_ERROR 4321
#define MESSAGE_SIZE 76

/* Offsets and values of the kernel's messages, which never change. */
enum {
        AT_LENGTH = 0,
        AT_INDEX = 16,
        AT_VALUE = 20,
        AT_ACKNOWLEDGEMENT = 28,
        AT_WHAT = 36,
        AT_ERROR = 52,
        AT_PARENT = 56,
};
enum {
        EVENT_NONE = 0,
        EVENT_FORK = 1,
        KTHREADD = 2,
};

static uint32_t get(const uint8_t *message, size_t at) {
        uint32_t value;

        memcpy(&value, message + at, sizeof(value));
        return value;
}

static void put(uint8_t *message, size_t at, uint32_t value) {
        memcpy(message + at, &value, sizeof(value));
}

static ConnectorNews parse_slowly(
                const uint8_t *message,
                size_t size,
                uint32_t acknowledgement,
                uint32_t *ret_error) {

        if (size < MESSAGE_SIZE || get(message, AT_LENGTH) < MESSAGE_SIZE || get(message, AT_LENGTH) > size)
                return CONNECTOR_NOTHING;
        if (get(message, AT_INDEX) != 1 || get(message, AT_VALUE) != 1)
                return CONNECTOR_NOTHING;

        if (get(message, AT_WHAT) == EVENT_FORK && get(message, AT_PARENT) == KTHREADD)
                return CONNECTOR_BIRTH;
        if (get(message, AT_WHAT) == EVENT_NONE && get(message, AT_ACKNOWLEDGEMENT) == acknowledgement) {
                *ret_error = get(message, AT_ERROR);
                return CONNECTOR_ACKNOWLEDGED;
        }

        return CONNECTOR_NOTHING;
}

static void check(const uint8_t *data, size_t size, uint32_t acknowledgement, ConnectorNews at_least) {
        uint32_t error = NO_ERROR, expected_error = NO_ERROR;
        ConnectorNews news, expected;
        void *datagram;

        /* Of exactly this size, so that AddressSanitizer sees a read beyond it. */
        datagram = calloc(1, size);
        if (size > 0)
                memcpy(datagram, data, size);
        news = connector_parse(datagram, size, acknowledgement, &error);
        expected = parse_slowly(data, size, acknowledgement, &expected_error);
        free(datagram);

        fuzz_assert(news == expected);
        fuzz_assert(error == expected_error);
        if (at_least != CONNECTOR_NOTHING)
                fuzz_assert(news == at_least);
}

/* Real messages are recognised, whatever their other fields contain. */
static void check_real(const uint8_t *data, size_t size, uint32_t acknowledgement) {
        uint8_t message[MESSAGE_SIZE] = {};

        if (size > 0)
                memcpy(message, data, MIN(size, sizeof(message)));
        put(message, AT_LENGTH, MESSAGE_SIZE);
        put(message, AT_INDEX, 1);
        put(message, AT_VALUE, 1);
        put(message, AT_WHAT, EVENT_FORK);
        put(message, AT_PARENT, KTHREADD);
        check(message, sizeof(message), acknowledgement, CONNECTOR_BIRTH);

        put(message, AT_WHAT, EVENT_NONE);
        put(message, AT_ACKNOWLEDGEMENT, acknowledgement);
        check(message, sizeof(message), acknowledgement, CONNECTOR_ACKNOWLEDGED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint32_t acknowledgement;

        if (size < sizeof(acknowledgement))
                return 0;
        memcpy(&acknowledgement, data, sizeof(acknowledgement));
        data += sizeof(acknowledgement);
        size -= sizeof(acknowledgement);

        check(data, size, acknowledgement, CONNECTOR_NOTHING);
        check_real(data, size, acknowledgement);
        return 0;
}
