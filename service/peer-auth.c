/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Authentication of peers: see peer-auth.h. */

#include "peer-auth.h"

#include <inttypes.h>
#include <stdio.h>

/* The longest line that makes sense is "AUTH EXTERNAL " and a number of 10 digits. */
#define LINE_MAX 256

#define REFUSALS_MAX 8

#define REJECTED "REJECTED EXTERNAL\r\n"
#define ERROR "ERROR\r\n"

static void set_reply(char *reply, const char *text) {
        (void) snprintf(reply, PEER_AUTH_REPLY_MAX + 1, "%s", text);
}

static int refuse(PeerAuth *auth, PeerAuthState state, const char *text, char *reply) {
        auth->state = state;
        set_reply(reply, text);
        return ++auth->n_refusals < REFUSALS_MAX ? 0 : -EACCES;
}

/* Whether a peer names itself rightly: by nothing, or by the digits of its user ID, each as two hexadecimal
 * digits. */
static bool is_uid(const char *text, uid_t uid) {
        char digits[16], hex[2 * sizeof(digits)];
        size_t n;

        n = (size_t) snprintf(digits, sizeof(digits), "%" PRIu32, uid);
        for (size_t i = 0; i < n; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", (unsigned) digits[i]);
        return text[0] == '\0' || streq(text, hex);
}

static int identify(PeerAuth *auth, const char *identity, char *reply) {
        if (!is_uid(identity, auth->uid))
                return refuse(auth, PEER_AUTH_MECHANISM, REJECTED, reply);

        auth->state = PEER_AUTH_OK;
        (void) snprintf(reply, PEER_AUTH_REPLY_MAX + 1, "OK %s\r\n", auth->guid);
        return 0;
}

/* The text behind a command and a space; "" if there is only the command. NULL if it is another command. */
static const char *after(const char *line, const char *command) {
        size_t n = strlen(command);

        if (strncmp(line, command, n) != 0 || (line[n] != ' ' && line[n] != '\0'))
                return NULL;
        return line[n] == ' ' ? line + n + 1 : line + n;
}

static int process_mechanism(PeerAuth *auth, const char *line, char *reply) {
        const char *identity = after(line, "AUTH EXTERNAL");

        if (!identity)
                return refuse(auth, PEER_AUTH_MECHANISM, after(line, "AUTH") ? REJECTED : ERROR, reply);
        if (identity[0] != '\0')
                return identify(auth, identity, reply);

        auth->state = PEER_AUTH_DATA;
        set_reply(reply, "DATA\r\n");
        return 0;
}

static int process_line(PeerAuth *auth, const char *line, char *reply) {
        const char *identity = after(line, "DATA");

        if (auth->state == PEER_AUTH_MECHANISM)
                return process_mechanism(auth, line, reply);
        if (after(line, "CANCEL") || after(line, "ERROR"))
                return refuse(auth, PEER_AUTH_MECHANISM, REJECTED, reply);
        if (auth->state == PEER_AUTH_DATA && identity)
                return identify(auth, identity, reply);
        if (auth->state == PEER_AUTH_OK && streq(line, "NEGOTIATE_UNIX_FD")) {
                auth->passes_fds = true;
                set_reply(reply, "AGREE_UNIX_FD\r\n");
                return 0;
        }
        if (auth->state == PEER_AUTH_OK && streq(line, "BEGIN")) {
                auth->state = PEER_AUTH_DONE;
                return 0;
        }

        return refuse(auth, auth->state, ERROR, reply);
}

ssize_t peer_auth_process(
                PeerAuth *auth,
                const void *data,
                size_t n,
                char reply[static PEER_AUTH_REPLY_MAX + 1]) {
        const char *text = data, *end;
        char line[LINE_MAX + 1];
        size_t size;
        int r;

        reply[0] = '\0';
        if (n == 0)
                return 0;
        if (auth->state == PEER_AUTH_BEGIN) {
                auth->state = PEER_AUTH_MECHANISM;
                return text[0] == '\0' ? 1 : -EBADMSG;
        }

        end = memchr(text, '\n', MIN(n, (size_t) LINE_MAX));
        if (!end)
                return n < LINE_MAX ? 0 : -EBADMSG;
        size = (size_t) (end - text);
        if (size == 0 || text[size - 1] != '\r' || memchr(text, '\0', size))
                return -EBADMSG;

        memcpy(line, text, size - 1);
        line[size - 1] = '\0';
        r = process_line(auth, line, reply);
        return r < 0 ? r : (ssize_t) size + 1;
}
