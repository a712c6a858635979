/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The log's level and target over the bus: see bus-log-control.h. */

#include "bus-log-control.h"

#include "bus-properties.h"
#include "log.h"
#include "names.h"

static const char *const level_names[] = {
        [LOG_EMERG] = "emerg",     [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static const char *const target_names[] = {
        [LOG_TARGET_STDERR] = "console",
        [LOG_TARGET_JOURNAL] = "journal",
};

static int find_name(const char *const *names, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(names[i], name))
                        return (int) i;

        return -EINVAL;
}

static int get_level(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *ret_error) {

        return sd_bus_message_append(reply, "s", level_names[log_get_max_level()]);
}

static int get_target(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *ret_error) {

        return sd_bus_message_append(reply, "s", target_names[log_get_target()]);
}

static int get_identifier(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *ret_error) {

        return sd_bus_message_append(reply, "s", "wbwatchd");
}

/* Reads the value of a Set, which must be one of these names. Returns its index, or negative errno with
 * ret_error set. */
static int read_name(
                sd_bus_message *call,
                const char *property,
                const char *const *names,
                size_t n,
                const char *shown_names,
                sd_bus_error *ret_error) {

        const char *value;
        int i, r;

        r = sd_bus_message_skip(call, "ss");
        if (r < 0)
                return r;
        r = bus_enter_value(call, property, "s", ret_error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "s", &value);
        if (r < 0)
                return r;
        r = bus_check_name(value, ret_error);
        if (r < 0)
                return r;

        i = find_name(names, n, value);
        if (i < 0)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: %s is not one of %s", property,
                                value, shown_names);
        return i;
}

static int set(sd_bus_message *call, const char *property, Authority *authority, sd_bus_error *ret_error) {
        bool is_level = streq(property, "LogLevel");
        int value, r;

        if (is_level)
                value =
                                read_name(call, property, level_names, ELEMENTSOF(level_names),
                                          "emerg, alert, crit, err, warning, notice, info, debug", ret_error);
        else
                value =
                                read_name(call, property, target_names, ELEMENTSOF(target_names),
                                          "console, journal", ret_error);
        if (value < 0)
                return value;

        r = authority_check(authority, call, ACTION_CONFIGURE, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* runs again when it is authorized */

        if (is_level)
                log_set_max_level(value);
        else
                log_set_target((LogTarget) value);
        return sd_bus_reply_method_return(call, NULL);
}

static int on_object(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *property = NULL;
        int r;

        r = bus_properties_inspect(m, LOG_CONTROL_INTERFACE, &property, ret_error);
        if (r < 0)
                return r;

        /* The vtable answers for properties that cannot be set. */
        if (!property || !(streq(property, "LogLevel") || streq(property, "LogTarget")))
                return 0;

        return set(m, property, userdata, ret_error);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_level, bus_refuse_set, 0, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", get_target, bus_refuse_set, 0, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int bus_log_control_add(sd_bus *connection, Authority *authority) {
        int r;

        /* The callback must be added first, to see messages before the vtable does. */
        r = sd_bus_add_object(connection, NULL, LOG_CONTROL_PATH, on_object, authority);
        if (r < 0)
                return r;

        return sd_bus_add_object_vtable(
                        connection, NULL, LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE, vtable, authority);
}
