/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "findings.h"

#include "json.h"

/* The columns of evidence in the text. */
#define NAME_COLUMNS 18
#define RESULT_COLUMNS 9
#define INDENT 2

/* Lines are not made wider than this on wide terminals: they are easier to read. */
#define COLUMNS_MAX 100

static const char *const results[] = {
        [RESULT_OK] = "ok",
        [RESULT_NOTE] = "note",
        [RESULT_BAD] = "bad",
        [RESULT_UNKNOWN] = "unknown",
};

static const Colour result_colours[] = {
        [RESULT_OK] = COLOUR_GREEN,
        [RESULT_NOTE] = COLOUR_NONE,
        [RESULT_BAD] = COLOUR_RED,
        [RESULT_UNKNOWN] = COLOUR_YELLOW,
};

static const struct {
        const char *title, *key;
} sections[] = {
        [SECTION_KERNEL] = { "Kernel", "kernel" },
        [SECTION_CONDITIONS] = { "Can it happen here", "conditions" },
        [SECTION_PRESSURE] = { "Pressure", "pressure" },
        [SECTION_NOW] = { "Now", "now" },
        [SECTION_BEFORE] = { "Before", "before" },
        [SECTION_PROTECTION] = { "Protection", "protection" },
};

static const struct {
        Verdict verdict;
        const char *name, *nagios;
        Colour colour;
} verdicts[] = {
        { VERDICT_NOT_AFFECTED, "not-affected", "OK", COLOUR_GREEN },
        { VERDICT_AFFECTED, "affected", "CRITICAL", COLOUR_RED },
        { VERDICT_UNKNOWN, "unknown", "UNKNOWN", COLOUR_YELLOW },
};

static size_t verdict_index(const Findings *findings) {
        size_t i = 0;

        while (verdicts[i].verdict != findings->verdict)
                i++;
        return i;
}

static void finding_free(Finding *finding) {
        g_free(finding->name);
        g_free(finding->evidence);
        g_free(finding);
}

Findings *findings_new(void) {
        Findings *findings = g_new0(Findings, 1);

        findings->list = g_ptr_array_new_with_free_func((GDestroyNotify) finding_free);
        findings->advice = g_ptr_array_new_with_free_func(g_free);
        return findings;
}

Findings *findings_free(Findings *findings) {
        if (!findings)
                return NULL;
        g_ptr_array_unref(findings->list);
        g_ptr_array_unref(findings->advice);
        g_free(findings->summary);
        g_free(findings->release);
        g_free(findings->table_date);
        g_free(findings);
        return NULL;
}

void findings_add(Findings *findings, Section section, const char *name, Result result, char *evidence) {
        Finding *finding = g_new(Finding, 1);

        *finding = (Finding){
                .section = section,
                .result = result,
                .name = g_strdup(name),
                .evidence = evidence,
        };
        g_ptr_array_add(findings->list, finding);
}

void findings_advise(Findings *findings, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        text = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        if (!g_ptr_array_find_with_equal_func(findings->advice, text, g_str_equal, NULL))
                g_ptr_array_add(findings->advice, g_steal_pointer(&text));
}

/* For g_ptr_array_sort(), which keeps the order of equal ones. */
static int compare_sections(gconstpointer a, gconstpointer b) {
        const Finding *const *first = a, *const *second = b;

        return (int) (*first)->section - (int) (*second)->section;
}

void findings_sort(Findings *findings) {
        g_ptr_array_sort(findings->list, compare_sections);
}

/* Text */

/* The end of the word that begins here. A command in backticks, which is copied whole, is one word. */
static const char *word_end(const char *text) {
        while (*text && *text != ' ') {
                const char *end = *text == '`' ? strchr(text + 1, '`') : NULL;

                text = (end ?: text) + 1;
        }
        return text;
}

/* Appends words in lines of these columns, all but the first after an indent. column: where the first begins.
 */
static void append_wrapped(GString *out, const char *text, size_t column, size_t indent, size_t columns) {
        size_t at = column;

        for (const char *word = text, *end;; word = end + 1) {
                size_t width;

                end = word_end(word);
                width = (size_t) g_utf8_strlen(word, end - word);

                if (at > indent && at + 1 + width > columns) {
                        g_string_append_printf(out, "\n%*s", (int) indent, "");
                        at = indent;
                } else if (word > text) {
                        g_string_append_c(out, ' ');
                        at++;
                }
                g_string_append_len(out, word, end - word);
                at += width;
                if (!*end)
                        break;
        }
        g_string_append_c(out, '\n');
}

static size_t text_columns(const Terminal *terminal) {
        return MIN(terminal->columns > 0 ? terminal->columns : 80, (size_t) COLUMNS_MAX);
}

static void append_finding(GString *out, const Terminal *terminal, const Finding *finding) {
        g_autofree char *evidence = terminal_escape(terminal, finding->evidence);
        size_t indent = INDENT + NAME_COLUMNS + RESULT_COLUMNS;

        g_string_append_printf(
                        out, "%*s%-*s%s%-*s%s", INDENT, "", NAME_COLUMNS, finding->name,
                        colour_on(terminal, result_colours[finding->result]), RESULT_COLUMNS,
                        results[finding->result], colour_off(terminal));
        append_wrapped(out, evidence, indent, indent, text_columns(terminal));
}

void findings_append_text(GString *out, const Terminal *terminal, const Findings *findings) {
        g_string_append(out, colour_on(terminal, verdicts[verdict_index(findings)].colour));
        if (terminal->utf8)
                g_string_append(out, "● ");
        append_wrapped(out, findings->summary, terminal->utf8 ? 2 : 0, 0, text_columns(terminal));
        g_string_append(out, colour_off(terminal));

        for (size_t i = 0; i < findings->list->len; i++) {
                const Finding *finding = findings->list->pdata[i],
                              *before = i > 0 ? findings->list->pdata[i - 1] : NULL;

                if (!before || before->section != finding->section)
                        g_string_append_printf(out, "\n%s:\n", sections[finding->section].title);
                append_finding(out, terminal, finding);
        }

        if (findings->advice->len > 0)
                g_string_append(out, "\nWhat to do:\n");
        for (size_t i = 0; i < findings->advice->len; i++) {
                g_autofree char *advice = terminal_escape(terminal, findings->advice->pdata[i]);

                g_string_append(out, "  - ");
                append_wrapped(out, advice, 4, 4, text_columns(terminal));
        }
}

/* JSON */

/* D-Bus strings are UTF-8; mountpoints and lines of a log need not be. */
static GVariant *make_string(const char *text) {
        return g_variant_new_take_string(g_utf8_make_valid(text, -1));
}

static GVariant *finding_to_variant(const Finding *finding) {
        g_autofree char *evidence = g_utf8_make_valid(finding->evidence, -1);
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("a{ss}"));
        g_variant_builder_add(&builder, "{ss}", "Section", sections[finding->section].key);
        g_variant_builder_add(&builder, "{ss}", "Check", finding->name);
        g_variant_builder_add(&builder, "{ss}", "Result", results[finding->result]);
        g_variant_builder_add(&builder, "{ss}", "Evidence", evidence);
        return g_variant_builder_end(&builder);
}

void findings_append_json(GString *out, const Findings *findings) {
        GVariantBuilder builder, list, advice;
        g_autoptr(GVariant) value = NULL;

        g_variant_builder_init(&list, G_VARIANT_TYPE("aa{ss}"));
        for (size_t i = 0; i < findings->list->len; i++)
                g_variant_builder_add_value(&list, finding_to_variant(findings->list->pdata[i]));

        g_variant_builder_init(&advice, G_VARIANT_TYPE("as"));
        for (size_t i = 0; i < findings->advice->len; i++)
                g_variant_builder_add_value(&advice, make_string(findings->advice->pdata[i]));

        g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(
                        &builder, "{sv}", "Verdict",
                        g_variant_new_string(verdicts[verdict_index(findings)].name));
        g_variant_builder_add(&builder, "{sv}", "Summary", make_string(findings->summary));
        g_variant_builder_add(&builder, "{sv}", "KernelRelease", make_string(findings->release));
        g_variant_builder_add(&builder, "{sv}", "TableDate", g_variant_new("ms", findings->table_date));
        g_variant_builder_add(&builder, "{sv}", "Checks", g_variant_builder_end(&list));
        g_variant_builder_add(&builder, "{sv}", "Advice", g_variant_builder_end(&advice));

        value = g_variant_ref_sink(g_variant_builder_end(&builder));
        json_append(out, value);
        g_string_append_c(out, '\n');
}

/* One line for NRPE and other plugins of Nagios: their exit statuses for OK, CRITICAL and UNKNOWN are these,
 * too. */
void findings_append_nrpe(GString *out, const Findings *findings) {
        static const Terminal ascii = {};
        /* What follows a bar would be performance data. */
        g_autofree char *summary = terminal_escape(&ascii, findings->summary);

        g_strdelimit(summary, "|", '/');
        g_string_append_printf(out, "WBWATCH %s - %s\n", verdicts[verdict_index(findings)].nagios, summary);
}

/* Prometheus, text format 0.0.4, for the textfile collector */

void findings_append_prometheus(GString *out, const Findings *findings) {
        g_string_append(out, "# HELP wbwatch_kernel_fixed Whether the kernel is free of this bug. Absent if "
                             "unknown.\n"
                             "# TYPE wbwatch_kernel_fixed gauge\n");
        for (size_t i = 0; i < findings->list->len; i++) {
                const Finding *finding = findings->list->pdata[i];

                /* The release is no bug. */
                if (finding->section == SECTION_KERNEL &&
                    (finding->result == RESULT_OK || finding->result == RESULT_BAD))
                        g_string_append_printf(
                                        out, "wbwatch_kernel_fixed{fix=\"%s\"} %d\n", finding->name,
                                        finding->result == RESULT_OK);
        }

        g_string_append(out, "# HELP wbwatch_doctor_verdict The verdict of wbctl doctor: 1 for the one that "
                             "holds.\n"
                             "# TYPE wbwatch_doctor_verdict gauge\n");
        for (size_t i = 0; i < ELEMENTSOF(verdicts); i++)
                g_string_append_printf(
                                out, "wbwatch_doctor_verdict{verdict=\"%s\"} %d\n", verdicts[i].name,
                                verdicts[i].verdict == findings->verdict);
}
