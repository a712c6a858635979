/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The method Inhibit: see bus-inhibit.h. */

#include "bus-inhibit.h"

#include <stdio.h>

#include "log.h"
#include "names.h"
#include "text.h"

/* D-Bus strings are valid UTF-8. */
static int read_text(
                sd_bus_message *call,
                const char *argument,
                size_t min,
                size_t max,
                const char **ret_text,
                sd_bus_error *ret_error) {

        const char *text;
        size_t length;
        int r;

        r = sd_bus_message_read(call, "s", &text);
        if (r < 0)
                return r;

        length = strlen(text);
        if (length < min)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: must not be empty", argument);
        if (length > max)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "%s: its length of %zu bytes exceeds the maximum of %zu", argument, length,
                                max);
        for (const char *p = text; *p != '\0'; p++)
                if (text_is_control(p)) {
                        char shown[TEXT_SHOWN_SIZE];

                        return sd_bus_error_setf(
                                        ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                        "%s: %s has a control character", argument, text_show(text, shown));
                }

        *ret_text = text;
        return 0;
}

static int read_arguments(
                sd_bus_message *call,
                const char **ret_who,
                const char **ret_why,
                sd_bus_error *ret_error) {
        int r;

        r = read_text(call, "who", 1, INHIBITOR_WHO_MAX, ret_who, ret_error);
        return r < 0 ? r : read_text(call, "why", 0, INHIBITOR_WHY_MAX, ret_why, ret_error);
}

static int explain(int error, sd_bus_error *ret_error) {
        switch (error) {
        case -EBUSY:
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many inhibitors are held: at most %d", INHIBITORS_MAX);
        case -EDQUOT:
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "This user holds too many inhibitors: at most %d", INHIBITORS_PER_USER_MAX);
        default:
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_FAILED, "The inhibitor can't be made: %s",
                                errno_text(-error));
        }
}

/* If the reply does not reach the caller, its descriptor is closed with it, and so releases the inhibitor. */
static int grant(BusInhibit *inhibit, sd_bus_message *call, uid_t uid, pid_t pid, sd_bus_error *ret_error) {

        _cleanup_close_ int fd = -EBADF;
        Inhibitor inhibitor = { .uid = uid, .pid = pid, .since = moment_now() };
        const char *who, *why;
        int r;

        r = sd_bus_message_rewind(call, /* complete= */ true);
        if (r < 0)
                return r;
        r = read_arguments(call, &who, &why, ret_error);
        if (r < 0)
                return r;
        (void) snprintf(inhibitor.who, sizeof(inhibitor.who), "%s", who);
        (void) snprintf(inhibitor.why, sizeof(inhibitor.why), "%s", why);

        r = manager_inhibit(inhibit->manager, &inhibitor, &fd);
        if (r < 0)
                return explain(r, ret_error);
        return sd_bus_reply_method_return(call, "h", fd);
}

static int read_credentials(sd_bus_message *reply, uint32_t *ret_uid, uint32_t *ret_pid) {
        uint32_t uid = UINT32_MAX, pid = 0;
        const char *key;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = sd_bus_message_read(reply, "s", &key);
                if (r < 0)
                        break;
                if (streq(key, "UnixUserID"))
                        r = sd_bus_message_read(reply, "v", "u", &uid);
                else if (streq(key, "ProcessID"))
                        r = sd_bus_message_read(reply, "v", "u", &pid);
                else
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        if (r < 0)
                return r;
        if (uid == UINT32_MAX)
                return -ENODATA;

        *ret_uid = uid;
        *ret_pid = pid;
        return 0;
}

static void inhibit_call_close(InhibitCall *waiting) {
        sd_bus_message_unref(waiting->call);
        sd_bus_slot_unref(waiting->slot);
        *waiting = (InhibitCall){};
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(inhibit_call_close) InhibitCall waiting = *(InhibitCall *) userdata;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        uint32_t uid, pid;
        int r;

        *(InhibitCall *) userdata = (InhibitCall){};
        if (sd_bus_message_is_method_error(reply, NULL) || read_credentials(reply, &uid, &pid) < 0)
                r = sd_bus_error_set(&error, SD_BUS_ERROR_FAILED, "The bus did not say who makes this call");
        else
                r = grant(waiting.inhibit, waiting.call, uid, (pid_t) pid, &error);
        if (r < 0)
                (void) sd_bus_reply_method_errno(waiting.call, r, &error);
        return 1;
}

static InhibitCall *find_unused(BusInhibit *inhibit) {
        for (size_t i = 0; i < INHIBITORS_MAX; i++)
                if (!inhibit->calls[i].call)
                        return &inhibit->calls[i];
        return NULL;
}

/* The bus knows the caller's process, too, which the message does not have. */
static int ask_credentials(BusInhibit *inhibit, sd_bus_message *call, sd_bus_error *ret_error) {
        InhibitCall *waiting = find_unused(inhibit);
        int r;

        if (!waiting)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls of Inhibit are waiting: at most %d", INHIBITORS_MAX);

        r = sd_bus_call_method_async(
                        sd_bus_message_get_bus(call), &waiting->slot, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE,
                        "GetConnectionCredentials", on_credentials, waiting, "s",
                        sd_bus_message_get_sender(call));
        if (r < 0)
                return r;

        waiting->inhibit = inhibit;
        waiting->call = sd_bus_message_ref(call);
        return 1;
}

int bus_inhibit_on_inhibit(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        BusInhibit *inhibit = userdata;
        const char *who, *why;
        int r;

        r = read_arguments(call, &who, &why, ret_error);
        if (r < 0)
                return r;
        /* Without a reply nobody would get the descriptor. */
        if (sd_bus_message_get_expect_reply(call) == 0)
                return 1;

        r = authority_check(inhibit->authority, call, ACTION_PAUSE, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* runs again when it is authorized */

        if (!inhibit->listener)
                return ask_credentials(inhibit, call, ret_error);
        return grant(inhibit, call, bus_connection_caller(inhibit->callers),
                     bus_connection_caller_pid(inhibit->callers), ret_error);
}

void bus_inhibit_drop(BusInhibit *inhibit) {
        for (size_t i = 0; i < INHIBITORS_MAX; i++)
                if (inhibit->calls[i].call)
                        inhibit_call_close(&inhibit->calls[i]);
}
