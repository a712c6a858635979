/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* D-Bus messages from a fuzzer's bytes: any signature, any values. After the last byte everything is zero or
 * empty. */

#include <systemd/sd-bus.h>

#include "fuzz.h"

typedef struct Input {
        const uint8_t *data;
        size_t size;
} Input;

uint8_t input_byte(Input *input);

/* Often a bound of some value. */
uint64_t input_number(Input *input);

/* Often a meaningful text; otherwise any bytes but NUL, not always UTF-8. */
#define INPUT_TEXT_MAX 300
const char *input_text(Input *input, char buffer[static INPUT_TEXT_MAX + 1]);

/* Appends the values of a signature. */
void append_values(sd_bus_message *m, Input *input, const char *signature);

/* Appends a few values of any types. */
void append_anything(sd_bus_message *m, Input *input);
