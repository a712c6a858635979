/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "exporter-pages.h"

#include <stdio.h>

#include "client.h"
#include "connection.h"
#include "destination.h"

#define PUBLIC_SOCKET "/run/wbwatchd/public"

#define PLAIN "text/plain; charset=utf-8"

/* Says it once for each change, not at each scrape. */
static void note_answer(Pages *pages, const Answers *answers) {
        bool is_up = answers->values[QUESTION_PROPERTIES] != NULL;
        const char *end = answers->words ? strchrnul(answers->words, '\n') : NULL;

        if (pages->is_known && pages->is_up == is_up)
                return;
        if (!is_up)
                (void) fprintf(stderr, "wbwatch_up is 0: %.*s\n", (int) (end - answers->words),
                               answers->words);
        else if (pages->is_known)
                (void) fprintf(stderr, "wbwatchd answers again\n");
        pages->is_known = true;
        pages->is_up = is_up;
}

/* The socket first: it works without the bus, and costs less. If something listens there but does not answer,
 * neither would it over the bus. */
static void ask(const Pages *pages, Answers *answers) {
        const unsigned wanted = 1u << QUESTION_PROPERTIES;

        g_assert_null(destination_set(pages->socket ?: PUBLIC_SOCKET, NULL, NULL));
        answers_read(answers, wanted);
        if (pages->socket || answers->status != EXIT_NO_DAEMON)
                return;

        answers_clear(answers);
        *answers = (Answers){};
        g_assert_null(destination_set(NULL, NULL, NULL));
        answers_read(answers, wanted);
}

/* The time counts from the answer on: of a daemon that does not answer it would else be over by then, and
 * those who wait would ask one after the other. */
static void refresh(Pages *pages) {
        _cleanup_(answers_clear) Answers answers = {};

        ask(pages, &answers);
        note_answer(pages, &answers);
        for (MetricsFormat format = 0; format < _METRICS_FORMAT_MAX; format++) {
                g_free(pages->metrics[format]);
                pages->metrics[format] =
                                metrics_write(format, answers.values[QUESTION_PROPERTIES], pages->fixes);
        }
        pages->fresh_until_usec = usec_now(CLOCK_MONOTONIC) + PAGES_SHARED_USEC;
}

static Page get_metrics(Pages *pages, const char *accept) {
        MetricsFormat format = metrics_negotiate(accept);

        if (usec_now(CLOCK_MONOTONIC) >= pages->fresh_until_usec)
                refresh(pages);
        return (Page){ 200, metrics_media_type(format), g_strdup(pages->metrics[format]), true };
}

static Page get_index(const Pages *pages) {
        g_autofree char *path = g_markup_escape_text(pages->metrics_path, -1);

        return (Page){
                .status = 200,
                .media_type = "text/html; charset=utf-8",
                .text = g_strdup_printf(
                                "<!DOCTYPE html>\n"
                                "<html lang=\"en\"><head><title>wbwatch-exporter</title></head>\n"
                                "<body><h1>wbwatch-exporter " WBWATCH_VERSION "</h1>\n"
                                "<p><a href=\"%s\">Metrics</a> of wbwatchd on this "
                                "machine.</p></body></html>\n",
                                path),
        };
}

Page pages_get(Pages *pages, const char *path, const char *accept) {
        if (streq(path, pages->metrics_path))
                return get_metrics(pages, accept);
        if (streq(path, "/"))
                return get_index(pages);
        if (streq(path, "/healthz"))
                return (Page){ 200, PLAIN, g_strdup("OK\n"), false };
        return (Page){ 404, PLAIN, g_strdup("Not found\n"), false };
}

void page_done(Page *page) {
        g_clear_pointer(&page->text, g_free);
}

void pages_done(Pages *pages) {
        for (MetricsFormat format = 0; format < _METRICS_FORMAT_MAX; format++)
                g_clear_pointer(&pages->metrics[format], g_free);
        g_clear_pointer(&pages->fixes, g_variant_unref);
}
