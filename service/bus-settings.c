/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Settings over the bus: see bus-settings.h. */

#include "bus-settings.h"

#include "bus-properties.h"
#include "names.h"

/* How much of a list of names an error message shows. */
#define NAMES_SHOWN_MAX_BYTES 511

/* Reads a value of this type into a setting. -EINVAL or -ERANGE with *ret_error set if it is refused. */
static int read_value(
                sd_bus_message *m,
                SettingId id,
                const char *type,
                Origin origin,
                Settings *settings,
                char **ret_error) {

        const char *text;
        uint64_t usec;
        uint32_t number; /* booleans have 32 bits, too */
        int r;

        if (streq(type, "s")) {
                r = sd_bus_message_read(m, type, &text);
                if (r < 0)
                        return r;
                return setting_table[id].type == SETTING_TYPE_GLOB
                                       ? settings_set_glob(settings, id, text, origin, ret_error)
                                       : settings_set_text(settings, id, text, origin, ret_error);
        }

        if (streq(type, "t")) {
                r = sd_bus_message_read(m, type, &usec);
                return r < 0 ? r : settings_set_number(settings, id, usec, origin, ret_error);
        }

        r = sd_bus_message_read(m, type, &number);
        return r < 0 ? r : settings_set_number(settings, id, number, origin, ret_error);
}

/* Reads a variant into a setting. Negative errno with ret_error set. */
static int read_setting(
                sd_bus_message *m,
                const char *property,
                Origin origin,
                Settings *settings,
                SettingId *ret_id,
                sd_bus_error *ret_error) {

        static const char *const types[] = {
                [SETTING_TYPE_GLOB] = "s",    [SETTING_TYPE_USEC] = "t",   [SETTING_TYPE_UNSIGNED] = "u",
                [SETTING_TYPE_BOOLEAN] = "b", [SETTING_TYPE_METHOD] = "s",
        };
        _cleanup_free_ char *error = NULL;
        const char *type;
        SettingId id;
        int r;

        r = bus_check_name(property, ret_error);
        if (r < 0)
                return r;
        if (setting_from_property(property, &id) < 0)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: no such setting", property);

        type = types[setting_table[id].type];
        r = bus_enter_value(m, property, type, ret_error);
        if (r < 0)
                return r;
        r = read_value(m, id, type, origin, settings, &error);
        if (error)
                return sd_bus_error_setf(ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: %s", property, error);
        if (r < 0)
                return r;

        *ret_id = id;
        return sd_bus_message_exit_container(m);
}

/* Reads an a{sv} into settings. *ret_ids is the mask of the settings that it has. */
static int read_settings(
                sd_bus_message *call,
                Origin origin,
                Settings *settings,
                unsigned *ret_ids,
                sd_bus_error *ret_error) {

        unsigned ids = 0;
        int r;

        r = sd_bus_message_enter_container(call, 'a', "{sv}");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
                const char *property;
                SettingId id;

                r = sd_bus_message_read(call, "s", &property);
                if (r < 0)
                        return r;
                r = read_setting(call, property, origin, settings, &id, ret_error);
                if (r < 0)
                        return r;

                /* Bounds the size of a call that is kept until polkit answers. */
                if (ids & (1u << id))
                        return sd_bus_error_setf(
                                        ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: given twice", property);
                ids |= 1u << id;

                r = sd_bus_message_exit_container(call);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        *ret_ids = ids;
        return 0;
}

/* Keeps a call whose change the manager is storing (r >= 0): the reply follows once it is stored. Otherwise
 * sets the error. */
static int keep_call(BusSettings *settings, sd_bus_message *call, int r, sd_bus_error *ret_error) {
        if (r == -EBUSY)
                return sd_bus_error_set(ret_error, BUS_ERROR_BUSY, "Other settings are being stored or read");
        if (r < 0)
                return sd_bus_error_setf(
                                ret_error, BUS_ERROR_STORE_FAILED, "The settings can't be stored: %s",
                                errno_text(-r));

        settings->store_call = sd_bus_message_ref(call);
        return 1;
}

int bus_settings_on_set_properties(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        BusSettings *settings = userdata;
        Settings change = *manager_settings(settings->manager);
        unsigned ids = 0;
        int runtime, r;

        r = sd_bus_message_read(call, "b", &runtime);
        if (r < 0)
                return r;
        r = read_settings(
                        call, runtime ? ORIGIN_BUS_RUNTIME : ORIGIN_BUS_PERMANENT, &change, &ids, ret_error);
        if (r < 0)
                return r;

        r = authority_check(settings->authority, call, ACTION_CONFIGURE, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* runs again when it is authorized */

        if (!runtime && ids != 0)
                return keep_call(
                                settings, call, manager_store_settings(settings->manager, &change, ids),
                                ret_error);

        manager_apply_settings(settings->manager, &change);
        return sd_bus_reply_method_return(call, NULL);
}

/* Appends a name to a list if it fits as a whole. */
static void append_name(char list[static NAMES_SHOWN_MAX_BYTES + 1], const char *name, bool is_first) {
        if (strlen(list) + strlen(", ") + strlen(name) > NAMES_SHOWN_MAX_BYTES)
                return;

        strcat(list, is_first ? "" : ", ");
        strcat(list, name);
}

/* Reads an array of names. *ret_ids is the mask of these settings, or of all if there is no name. Unknown
 * names are refused together. */
static int read_names(sd_bus_message *call, unsigned *ret_ids, sd_bus_error *ret_error) {
        char unknown[NAMES_SHOWN_MAX_BYTES + 1] = "";
        const char *name;
        unsigned ids = 0, n_unknown = 0;
        SettingId id;
        int r;

        r = sd_bus_message_enter_container(call, 'a', "s");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_read_basic(call, 's', &name)) > 0) {
                r = bus_check_name(name, ret_error);
                if (r < 0)
                        return r;
                if (setting_from_property(name, &id) < 0) {
                        append_name(unknown, name, n_unknown++ == 0);
                        continue;
                }

                /* Bounds the size of a call that is kept until polkit answers. */
                if (ids & (1u << id))
                        return sd_bus_error_setf(
                                        ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: given twice", name);
                ids |= 1u << id;
        }
        if (r < 0)
                return r;
        if (n_unknown > 0)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: no such setting", unknown);

        *ret_ids = ids != 0 ? ids : (1u << _SETTING_MAX) - 1;
        return sd_bus_message_exit_container(call);
}

int bus_settings_on_reset_properties(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        BusSettings *settings = userdata;
        unsigned ids = 0;
        int runtime, r;

        r = sd_bus_message_read(call, "b", &runtime);
        if (r < 0)
                return r;
        r = read_names(call, &ids, ret_error);
        if (r < 0)
                return r;

        r = authority_check(settings->authority, call, ACTION_CONFIGURE, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* runs again when it is authorized */

        r = manager_reset_settings(settings->manager, runtime, ids);
        return r == 0 ? sd_bus_reply_method_return(call, NULL) : keep_call(settings, call, r, ret_error);
}

int bus_settings_set(
                BusSettings *settings,
                sd_bus_message *call,
                const char *property,
                sd_bus_error *ret_error) {

        Settings change = *manager_settings(settings->manager);
        SettingId id;
        int r;

        if (setting_from_property(property, &id) < 0)
                return 0;

        r = sd_bus_message_skip(call, "ss");
        if (r < 0)
                return r;
        r = read_setting(call, property, ORIGIN_BUS_RUNTIME, &change, &id, ret_error);
        if (r < 0)
                return r;

        r = authority_check(settings->authority, call, ACTION_CONFIGURE, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* runs again when it is authorized */

        manager_apply_settings(settings->manager, &change);
        return sd_bus_reply_method_return(call, NULL);
}

void bus_settings_reply_stored(BusSettings *settings, int r) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = TAKE_POINTER(settings->store_call);

        /* It may have been dropped with its connection. */
        if (!call)
                return;

        if (r < 0)
                r = sd_bus_reply_method_errorf(
                                call, BUS_ERROR_STORE_FAILED, "The settings were not %s: %s",
                                streq(sd_bus_message_get_member(call), METHOD_RESET_PROPERTIES) ? "reset"
                                                                                                : "stored",
                                errno_text(-r));
        else
                r = sd_bus_reply_method_return(call, NULL);
        if (r < 0)
                (void) sd_bus_reply_method_errno(call, r, NULL);
}

void bus_settings_drop(BusSettings *settings) {
        settings->store_call = sd_bus_message_unref(settings->store_call);
}
