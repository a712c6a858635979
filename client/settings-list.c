/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The settings of the daemon as text, and the verb get. */

#include <inttypes.h>

#include "client.h"
#include "connection.h"
#include "duration.h"
#include "json.h"
#include "values.h"

/* The value as written in a file, or NULL. */
char *setting_format(const Terminal *terminal, GVariant *properties, const SettingInfo *info) {
        char buffer[DURATION_SIZE];
        uint64_t number;
        bool boolean;

        switch (info->type) {
        case SETTING_TYPE_GLOB:
        case SETTING_TYPE_METHOD:
                return lookup_string(properties, info->property)
                                       ? lookup_escaped(terminal, properties, info->property)
                                       : NULL;
        case SETTING_TYPE_BOOLEAN:
                return lookup_boolean(properties, info->property, &boolean) ? g_strdup(boolean ? "yes" : "no")
                                                                            : NULL;
        case SETTING_TYPE_USEC:
                return lookup_number(properties, info->property, &number)
                                       ? g_strdup(format_duration(number, buffer, sizeof(buffer)))
                                       : NULL;
        case SETTING_TYPE_UNSIGNED:
                return lookup_number(properties, info->property, &number)
                                       ? g_strdup_printf("%" PRIu64, number)
                                       : NULL;
        }
        return NULL;
}

char *setting_origin_format(const Terminal *terminal, GVariant *properties, const SettingInfo *info) {
        g_autoptr(GVariant) origins =
                        g_variant_lookup_value(properties, "SettingOrigins", G_VARIANT_TYPE("a{ss}"));
        const char *origin = NULL;

        if (origins)
                (void) g_variant_lookup(origins, info->property, "&s", &origin);
        return terminal_escape(terminal, origin ?: "");
}

void settings_append(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *properties,
                unsigned ids) {
        _cleanup_(table_freep) Table *table = table_new(2);

        table_set_width(table, terminal);
        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];
                g_autofree char *value = setting_format(terminal, properties, info);

                if (!value || !(ids & 1u << id))
                        continue;
                table_add_owned(table, g_strdup_printf("%s=%s", info->key, value));
                table_add_owned(table, setting_origin_format(terminal, properties, info));
        }

        table_append(table, out, indent);
}

/* {"ThresholdUSec": {"Value": 30000000, "Origin": "built-in"}} */
static void print_settings_json(GVariant *properties, unsigned ids) {
        g_autoptr(GVariantBuilder) builder = g_variant_builder_new(G_VARIANT_TYPE_VARDICT);
        g_autoptr(GVariant) settings = NULL;
        const Terminal terminal = { .utf8 = true };

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];
                g_autoptr(GVariant) value = g_variant_lookup_value(properties, info->property, NULL);
                g_autofree char *origin = setting_origin_format(&terminal, properties, info);

                if (value && ids & 1u << id)
                        g_variant_builder_add_parsed(
                                        builder, "{%s, <{'Value': <%@v>, 'Origin': <%s>}>}", info->property,
                                        g_variant_new_variant(value), origin);
        }
        settings = g_variant_ref_sink(g_variant_builder_end(builder));
        json_print(settings);
}

int verb_get(const Options *options, char **arguments) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        g_autoptr(GVariant) properties = NULL;
        g_autoptr(GString) out = g_string_new(NULL);
        unsigned ids;
        int r;

        r = settings_from_names(arguments, &ids);
        if (r == 0)
                r = connection_open_or_complain(&bus);
        if (r == 0)
                r = request_properties(bus, &properties);
        if (r != 0)
                return r;

        if (options->json)
                print_settings_json(properties, ids);
        else {
                settings_append(out, &options->terminal, "", properties, ids);
                text_print(out);
        }
        return EXIT_SUCCESS;
}
