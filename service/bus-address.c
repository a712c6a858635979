/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The address of a bus: see bus-address.h. */

#include "bus-address.h"

#include <ctype.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DEFAULT_ADDRESS "unix:path=/run/dbus/system_bus_socket"

const char *bus_address(void) {
        return secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: DEFAULT_ADDRESS;
}

/* The value of a hexadecimal digit; -1 if it is none. */
static int unhex(char c) {
        const char *digits = "0123456789abcdef",
                   *digit = c != '\0' ? strchr(digits, tolower((unsigned char) c)) : NULL;

        return digit ? (int) (digit - digits) : -1;
}

/* Reads one byte, which may be escaped as %xx. -EINVAL if the escape is invalid. */
static int read_byte(const char **text, char *ret) {
        int high, low;

        if (**text != '%') {
                *ret = *(*text)++;
                return 0;
        }

        high = unhex((*text)[1]);
        low = high >= 0 ? unhex((*text)[2]) : -1;
        if (low < 0 || high + low == 0)
                return -EINVAL;

        *ret = (char) (high << 4 | low);
        *text += 3;
        return 0;
}

/* Reads a value up to ',', ';' or the end of the text. */
static int read_value(const char *text, char *buffer, size_t size) {
        size_t n = 0;

        while (*text != '\0' && *text != ',' && *text != ';') {
                int r;

                if (n + 1 >= size)
                        return -ENAMETOOLONG;
                r = read_byte(&text, buffer + n);
                if (r < 0)
                        return r;
                n++;
        }

        buffer[n] = '\0';
        return n > 0 ? 0 : -EINVAL;
}

static int connect_to(const struct sockaddr_un *address, size_t path_size, int *ret_fd) {
        const socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + path_size);
        _cleanup_close_ int fd = -EBADF;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) address, size) < 0)
                return -errno;

        *ret_fd = take_fd(&fd);
        return 0;
}

/* Connects to one address. Only its first key counts; a guid= that may follow is ignored. */
static int connect_one(const char *text, int *ret_fd) {
        static const char path[] = "unix:path=", abstract[] = "unix:abstract=";
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r;

        if (startswith(text, path)) {
                r = read_value(text + strlen(path), address.sun_path, sizeof(address.sun_path));
                if (r < 0)
                        return r;
                return connect_to(&address, strlen(address.sun_path) + 1, ret_fd);
        }

        if (startswith(text, abstract)) {
                r = read_value(text + strlen(abstract), address.sun_path + 1, sizeof(address.sun_path) - 1);
                if (r < 0)
                        return r;
                return connect_to(&address, strlen(address.sun_path + 1) + 1, ret_fd);
        }

        return -EAFNOSUPPORT;
}

int bus_address_connect(const char *addresses, int *ret_fd) {
        int error = -EAFNOSUPPORT;

        for (const char *text = addresses; text && *text != '\0';) {
                int r = connect_one(text, ret_fd);

                if (r >= 0)
                        return 0;
                if (r != -EAFNOSUPPORT)
                        error = r;

                text = strchr(text, ';');
                if (text)
                        text++;
        }

        return error;
}
