/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The service manager's end of sd_notify(3): a socket that receives the daemon's messages. */

#include <glib.h>

typedef struct NotifySocket {
        char *path; /* for $NOTIFY_SOCKET */
        int fd;
} NotifySocket;

/* Creates a socket in this folder, to which every user may send. */
NotifySocket notify_socket_new(const char *folder);
void notify_socket_done(NotifySocket *notify);

/* Drops the messages received so far. */
void notify_socket_drain(const NotifySocket *notify);

/* Waits for the next message, to be freed; NULL if none arrives in time. */
char *notify_socket_take(const NotifySocket *notify, gint64 deadline_usec);

/* Waits for a message that contains this text, or fails the test. */
void notify_socket_wait(const NotifySocket *notify, const char *text, gint64 deadline_usec);
