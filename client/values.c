/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "values.h"

const char *lookup_string(GVariant *dictionary, const char *name) {
        const char *value;

        return g_variant_lookup(dictionary, name, "&s", &value) ? value : NULL;
}

char *lookup_escaped(const Terminal *terminal, GVariant *dictionary, const char *name) {
        return terminal_escape(terminal, lookup_string(dictionary, name) ?: "?");
}

bool lookup_is(GVariant *dictionary, const char *name, const char *text) {
        const char *value = lookup_string(dictionary, name);

        return value && streq(value, text);
}

GVariant *list_newest(GVariant *list) {
        size_t n = g_variant_n_children(list);

        return n > 0 ? g_variant_get_child_value(list, n - 1) : NULL;
}

GVariant *lookup_list(GVariant *dictionary, const char *name) {
        return g_variant_lookup_value(dictionary, name, G_VARIANT_TYPE("aa{sv}"));
}

bool lookup_number(GVariant *dictionary, const char *name, uint64_t *ret) {
        uint32_t small;

        if (g_variant_lookup(dictionary, name, "t", ret))
                return true;
        if (!g_variant_lookup(dictionary, name, "u", &small))
                return false;
        *ret = small;
        return true;
}

bool lookup_double(GVariant *dictionary, const char *name, double *ret) {
        return g_variant_lookup(dictionary, name, "d", ret);
}

uint64_t lookup_number_or_zero(GVariant *dictionary, const char *name) {
        uint64_t value = 0;

        (void) lookup_number(dictionary, name, &value);
        return value;
}

bool lookup_boolean(GVariant *dictionary, const char *name, bool *ret) {
        gboolean value;

        if (!g_variant_lookup(dictionary, name, "b", &value))
                return false;
        *ret = value;
        return true;
}

bool lookup_true(GVariant *dictionary, const char *name) {
        bool value = false;

        return lookup_boolean(dictionary, name, &value) && value;
}

static int basic_from_message(sd_bus_message *message, char type, GVariant **ret) {
        union {
                uint8_t y;
                int b;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                const char *s;
        } value;
        int r;

        if (!strchr("ybnqiuxtdsog", type))
                return -EOPNOTSUPP;
        r = sd_bus_message_read_basic(message, type, &value);
        if (r < 0)
                return r;

        switch (type) {
        case 'y':
                *ret = g_variant_new_byte(value.y);
                break;
        case 'b':
                *ret = g_variant_new_boolean(value.b);
                break;
        case 'n':
                *ret = g_variant_new_int16(value.n);
                break;
        case 'q':
                *ret = g_variant_new_uint16(value.q);
                break;
        case 'i':
                *ret = g_variant_new_int32(value.i);
                break;
        case 'u':
                *ret = g_variant_new_uint32(value.u);
                break;
        case 'x':
                *ret = g_variant_new_int64(value.x);
                break;
        case 't':
                *ret = g_variant_new_uint64(value.t);
                break;
        case 'd':
                *ret = g_variant_new_double(value.d);
                break;
        case 's':
                *ret = g_variant_new_string(value.s);
                break;
        case 'o':
                *ret = g_variant_new_object_path(value.s);
                break;
        case 'g':
                *ret = g_variant_new_signature(value.s);
                break;
        }
        return 0;
}

/* Reads the rest of the container that was entered. */
static int fill_from_message(sd_bus_message *message, GVariantBuilder *builder) {
        int r;

        while ((r = sd_bus_message_at_end(message, false)) == 0) {
                g_autoptr(GVariant) element = NULL;

                r = variant_from_message(message, &element);
                if (r < 0)
                        return r;
                g_variant_builder_add_value(builder, element);
        }
        return r < 0 ? r : 0;
}

static int container_from_message(sd_bus_message *message, char type, const char *contents, GVariant **ret) {
        g_autoptr(GVariantBuilder) builder = NULL;
        g_autofree char *own_contents = g_strdup(contents), *signature = NULL;
        int r;

        switch (type) {
        case SD_BUS_TYPE_ARRAY:
                signature = g_strdup_printf("a%s", own_contents);
                break;
        case SD_BUS_TYPE_STRUCT:
                signature = g_strdup_printf("(%s)", own_contents);
                break;
        case SD_BUS_TYPE_DICT_ENTRY:
                signature = g_strdup_printf("{%s}", own_contents);
                break;
        case SD_BUS_TYPE_VARIANT:
                signature = g_strdup("v");
                break;
        default:
                return -EOPNOTSUPP;
        }

        builder = g_variant_builder_new(G_VARIANT_TYPE(signature));
        r = sd_bus_message_enter_container(message, type, own_contents);
        if (r < 0)
                return r;
        r = fill_from_message(message, builder);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;

        *ret = g_variant_builder_end(builder);
        return 0;
}

int variant_from_message(sd_bus_message *message, GVariant **ret) {
        GVariant *value = NULL;
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(message, &type, &contents);
        if (r < 0)
                return r;
        if (r == 0)
                return -EBADMSG;

        r = contents ? container_from_message(message, type, contents, &value)
                     : basic_from_message(message, type, &value);
        if (r < 0)
                return r;

        *ret = g_variant_ref_sink(value);
        return 0;
}

int arguments_from_message(sd_bus_message *message, GVariant **ret) {
        g_autoptr(GVariantBuilder) builder = g_variant_builder_new(G_VARIANT_TYPE_TUPLE);
        int r;

        r = fill_from_message(message, builder);
        if (r < 0)
                return r;

        *ret = g_variant_ref_sink(g_variant_builder_end(builder));
        return 0;
}
