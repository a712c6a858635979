/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "metrics.h"

/* A media range of the header Accept. */
typedef struct Range {
        char *type;       /* "text/plain", "text" followed by "/" and "*", in lower case */
        char *version;    /* of the parameter, or NULL */
        unsigned quality; /* in thousandths */
} Range;

static void range_done(Range *range) {
        g_free(range->type);
        g_free(range->version);
}

/* What a format is, for clients; "*" matches each of it. */
static const struct {
        const char *type, *any_subtype, *version;
} formats[] = {
        [METRICS_TEXT] = { "text/plain", "text/*", "0.0.4" },
        [METRICS_OPENMETRICS] = { "application/openmetrics-text", "application/*", "1.0.0" },
};

const char *metrics_media_type(MetricsFormat format) {
        return format == METRICS_TEXT ? "text/plain; version=0.0.4; charset=utf-8"
                                      : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

/* A digit, and up to three behind a point: 0 to 1. */
static bool parse_quality(const char *text, unsigned *ret) {
        unsigned quality = 0, scale = 1000;

        if (*text != '0' && *text != '1')
                return false;
        quality = (unsigned) (*text++ - '0') * scale;
        if (*text == '.')
                for (text++; g_ascii_isdigit(*text) && scale > 1; text++) {
                        scale /= 10;
                        quality += (unsigned) (*text - '0') * scale;
                }
        if (*text || quality > 1000)
                return false;
        *ret = quality;
        return true;
}

static bool range_set_parameter(Range *range, const char *text) {
        g_auto(GStrv) sides = g_strsplit(text, "=", 2);
        char *value;

        if (!sides[0] || !sides[1])
                return true;
        value = g_strstrip(sides[1]);
        if (*value == '"' && strlen(value) > 1 && g_str_has_suffix(value, "\"")) {
                value[strlen(value) - 1] = '\0';
                value++;
        }
        g_strstrip(sides[0]);
        if (g_ascii_strcasecmp(sides[0], "q") == 0)
                return parse_quality(value, &range->quality);
        if (g_ascii_strcasecmp(sides[0], "version") == 0) {
                g_free(range->version);
                range->version = g_strdup(value);
        }
        return true; /* others, such as charset and escaping, do not concern us */
}

static bool range_parse(Range *range, const char *text) {
        g_auto(GStrv) parts = g_strsplit(text, ";", -1);

        *range = (Range){ .quality = 1000 };
        if (!parts[0])
                return false;
        range->type = g_ascii_strdown(g_strstrip(parts[0]), -1);
        for (char **part = parts + 1; *part; part++)
                if (!range_set_parameter(range, *part))
                        return false;
        return true;
}

/* How closely the range describes the format: 0 not at all, 4 with its version. */
static unsigned range_match(const Range *range, MetricsFormat format) {
        if (range->version && !streq(range->version, formats[format].version))
                return 0;
        if (streq(range->type, formats[format].type))
                return range->version ? 4 : 3;
        if (streq(range->type, formats[format].any_subtype))
                return 2;
        return streq(range->type, "*/*") ? 1 : 0;
}

typedef struct Match {
        unsigned closeness, quality; /* of the range that describes the format most closely */
} Match;

static Match find_match(char **ranges, MetricsFormat format) {
        Match best = {};

        for (; *ranges; ranges++) {
                _cleanup_(range_done) Range range = {};
                unsigned closeness = range_parse(&range, *ranges) ? range_match(&range, format) : 0;

                if (closeness > best.closeness ||
                    (closeness == best.closeness && closeness > 0 && range.quality > best.quality))
                        best = (Match){ closeness, range.quality };
        }
        return best;
}

MetricsFormat metrics_negotiate(const char *accept) {
        g_auto(GStrv) ranges = g_strsplit(accept ?: "", ",", -1);
        Match text = find_match(ranges, METRICS_TEXT);
        Match openmetrics = find_match(ranges, METRICS_OPENMETRICS);

        if (openmetrics.quality != text.quality)
                return openmetrics.quality > text.quality ? METRICS_OPENMETRICS : METRICS_TEXT;
        return openmetrics.quality > 0 && openmetrics.closeness > text.closeness && openmetrics.closeness >= 3
                               ? METRICS_OPENMETRICS
                               : METRICS_TEXT;
}
