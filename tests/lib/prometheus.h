/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Programs of Prometheus from the folder of tests/get-prometheus ($WBWATCH_PROMETHEUS), or from the PATH. */

#include <gio/gio.h>
#include <stdbool.h>

/* Whether they are there; otherwise skips the test. */
bool prometheus_is_there(void);

/* The path of one of its programs. To be freed. */
char *prometheus_program(const char *name);

/* Runs `promtool` with these arguments, quoted as in a shell, in the source folder; it must succeed. */
void promtool(const char *arguments);

/* Has promtool and the strict parsers read an answer of the exporter; is_openmetrics: only the parser for
 * that. They must accept it. Returns its samples, one a line, as tests/check-metrics prints them. To be
 * freed. */
char *metrics_parse(const char *text, bool is_openmetrics);

/* A client that uses no proxy. */
GSocketClient *http_client_new(void);

/* Requests a path of a server with this address ("127.0.0.1:80") and these further header lines, each with
 * "\r\n". Returns the answer with its headers; an empty text if nothing answers. To be freed. */
char *http_request(const char *address, const char *method, const char *path, const char *headers);

/* The content of an answer. */
const char *http_content(const char *answer);
