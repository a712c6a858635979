/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The server's side of the authentication that precedes D-Bus messages, without I/O. It has one mechanism,
 * EXTERNAL: the kernel has said who the peer is (SO_PEERCRED), and the peer may only agree. Source: the D-Bus
 * specification, "Authentication Protocol".
 */

#include <sys/types.h>

#include "macro.h"

/* 32 hexadecimal digits, and a NUL. */
#define PEER_AUTH_GUID_SIZE 33

#define PEER_AUTH_REPLY_MAX 64

typedef enum PeerAuthState {
        PEER_AUTH_BEGIN, /* the NUL before the first line has not come */
        PEER_AUTH_MECHANISM,
        PEER_AUTH_DATA,
        PEER_AUTH_OK,
        PEER_AUTH_DONE, /* messages follow */
} PeerAuthState;

/* Starts with the first two members set. */
typedef struct PeerAuth {
        uid_t uid;        /* of the peer */
        const char *guid; /* of the server */
        PeerAuthState state;
        bool passes_fds; /* the peer accepts descriptors */
        unsigned n_refusals;
} PeerAuth;

/* Processes the first line of what was received. Returns its size; 0 if it is not complete. *reply is the
 * answer, maybe "". Negative errno if the connection must be closed: -EBADMSG if this is no authentication,
 * -EACCES after too many attempts. */
ssize_t peer_auth_process(
                PeerAuth *auth,
                const void *data,
                size_t n,
                char reply[static PEER_AUTH_REPLY_MAX + 1]);
