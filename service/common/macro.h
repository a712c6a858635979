/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The few macros and cleanup helpers that every file uses. Nothing here knows about wbwatch. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
#define NSEC_PER_USEC UINT64_C(1000)

/* "Never" or "none" wherever a time is expected, as on the bus. */
#define USEC_INFINITY UINT64_MAX

#ifndef MIN
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _printf_(template, arguments) __attribute__((__format__(__printf__, template, arguments)))
#define _unused_ __attribute__((unused))

/* Whether this was built with AddressSanitizer, by gcc or by clang. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#endif

/* Defines FUNCTION##p for _cleanup_(): calls FUNCTION on a pointer variable unless it is NULL. */
#define DEFINE_TRIVIAL_CLEANUP(type, function)                                                               \
        static inline void function##p(type *p) {                                                            \
                if (*p)                                                                                      \
                        (void) function(*p);                                                                 \
        }                                                                                                    \
        struct macro_swallows_the_semicolon

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

static inline bool startswith(const char *text, const char *prefix) {
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Unlike isdigit(3), independent of the locale. */
static inline bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Cleanup for int variables that hold a file descriptor, or a negative value for none. Keeps errno. */
static inline void closep(int *fd) {
        if (*fd >= 0) {
                int saved_errno = errno;

                (void) close(*fd);
                errno = saved_errno;
        }
}
#define _cleanup_close_ _cleanup_(closep)

static inline void freep(void *p) {
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(freep)

/* Moves the descriptor out of a variable with a cleanup attribute. */
static inline int take_fd(int *fd) {
        int taken = *fd;

        *fd = -EBADF;
        return taken;
}

/* The English text of a positive errno. Unlike strerror(3) it reads no translations from disk, and unlike
 * g_strerror() it allocates nothing. */
static inline const char *errno_text(int error) {
        return strerrordesc_np(error) ?: "Unknown error";
}

#define TAKE_POINTER(pointer)                                                                                \
        ({                                                                                                   \
                __typeof__(pointer) _taken = (pointer);                                                      \
                (pointer) = NULL;                                                                            \
                _taken;                                                                                      \
        })

/* a + b, or USEC_INFINITY if that overflows. */
static inline uint64_t usec_add(uint64_t a, uint64_t b) {
        return b > USEC_INFINITY - a ? USEC_INFINITY : a + b;
}

/* a - b, or 0 if b is later. */
static inline uint64_t usec_subtract(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

/* Now on the given clock; the clocks used here always exist. */
static inline uint64_t usec_now(clockid_t clock) {
        struct timespec time;

        (void) clock_gettime(clock, &time);
        return (uint64_t) time.tv_sec * USEC_PER_SEC + (uint64_t) time.tv_nsec / NSEC_PER_USEC;
}

/* The timeout for a poll(2) that ends soon after this time (CLOCK_MONOTONIC; 0: none), and after wait_msec at
 * the latest (-1: never). */
static inline int limit_wait_msec(int wait_msec, uint64_t usec) {
        uint64_t left_msec;

        if (usec == 0)
                return wait_msec;

        left_msec = usec_subtract(usec, usec_now(CLOCK_MONOTONIC)) / USEC_PER_MSEC + 1;
        return wait_msec < 0 || left_msec < (uint64_t) wait_msec ? (int) MIN(left_msec, (uint64_t) INT32_MAX)
                                                                 : wait_msec;
}

/* A point in time on both clocks: the first for all decisions, the second only for display. */
typedef struct Moment {
        uint64_t monotonic_usec; /* CLOCK_MONOTONIC: does not advance during suspend */
        uint64_t realtime_usec;  /* CLOCK_REALTIME: may jump */
} Moment;

static inline Moment moment_now(void) {
        return (Moment){
                .monotonic_usec = usec_now(CLOCK_MONOTONIC),
                .realtime_usec = usec_now(CLOCK_REALTIME),
        };
}
