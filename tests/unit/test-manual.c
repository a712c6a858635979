/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The manual pages, held against the code in both directions: what there is must be documented, and what is
 * documented must be there. The pages are read as source; man(1) says whether it can show them. */

#include <gio/gio.h>

#include "authority.h"
#include "duration.h"
#include "engine.h"
#include "evidence.h"
#include "names.h"
#include "plot.h"
#include "settings-files.h"
#include "trace.h"

#define WBWATCHD_PAGE "service/wbwatchd.8"
#define CONF_PAGE "service/wbwatch.conf.5"
#define BUS_PAGE "dbus/org.wbwatch1.5"
#define WBCTL_PAGE "client/wbctl.1"
#define EXPORTER_PAGE "client/wbwatch-exporter.8"

static const char *const pages[] = { WBWATCHD_PAGE, CONF_PAGE, BUS_PAGE, WBCTL_PAGE, EXPORTER_PAGE };

/* What tests need */

static const char *environment(const char *name) {
        const char *value = g_getenv(name);

        if (!value)
                g_error("$%s is not set", name);
        return value;
}

/* A file of the source. */
static char *read_source(const char *path) {
        g_autofree char *full = g_build_filename(environment("WBWATCH_SOURCE_DIR"), path, NULL);
        g_autoptr(GError) error = NULL;
        char *text;

        g_file_get_contents(full, &text, NULL, &error);
        g_assert_no_error(error);
        return text;
}

/* What a program prints for --help. */
static char *read_help(const char *variable) {
        const char *arguments[] = { environment(variable), "--help", NULL };
        g_autoptr(GError) error = NULL;
        char *text;
        int status;

        g_spawn_sync(NULL, (char **) arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, &text, NULL, &status,
                     &error);
        g_assert_no_error(error);
        g_spawn_check_wait_status(status, &error);
        g_assert_no_error(error);
        return text;
}

/* A set of texts. */
typedef GHashTable Set;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Set, g_hash_table_unref)

static Set *set_new(void) {
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void set_take(Set *set, char *text) {
        g_hash_table_add(set, text);
}

/* Adds what the pattern finds in the text: its first group, and the other ones behind a space. */
static void set_find(Set *set, const char *text, const char *pattern) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_MULTILINE | G_REGEX_RAW, 0, &error);
        g_autoptr(GMatchInfo) match = NULL;

        g_assert_no_error(error);
        for (g_regex_match(regex, text, 0, &match); g_match_info_matches(match);
             g_match_info_next(match, NULL)) {
                g_auto(GStrv) groups = g_match_info_fetch_all(match);

                set_take(set, g_strstrip(g_strjoinv(" ", groups + 1)));
        }
}

static Set *set_found(const char *text, const char *pattern) {
        Set *set = set_new();

        set_find(set, text, pattern);
        g_assert_cmpuint(g_hash_table_size(set), >, 0);
        return set;
}

/* Fails with the words for each of the texts that is not among the others. */
static void assert_subset(Set *texts, Set *others, const char *words) {
        GHashTableIter iter;
        gpointer text;

        g_hash_table_iter_init(&iter, texts);
        while (g_hash_table_iter_next(&iter, &text, NULL))
                if (!g_hash_table_contains(others, text))
                        g_test_fail_printf("%s: %s", words, (char *) text);
}

static void assert_same(Set *real, Set *documented) {
        g_assert_cmpuint(g_hash_table_size(real), >, 0);
        assert_subset(real, documented, "not documented");
        assert_subset(documented, real, "documented, but not there");
}

static void assert_contains(const char *text, const char *part) {
        if (!strstr(text, part))
                g_test_fail_printf("\"%s\" is missing in: %s", part, text);
}

/* Pages */

/* A paragraph with a tag, and all that belongs to it. */
typedef struct Entry {
        char *section;
        unsigned depth; /* in so many other entries */
        char *tag;
        GString *text;
} Entry;

static void entry_free(Entry *entry) {
        g_free(entry->section);
        g_free(entry->tag);
        g_string_free(entry->text, TRUE);
        g_free(entry);
}

#define DEPTH_MAX 4

typedef struct Page {
        GString *text; /* all of it, without markup */
        GPtrArray *entries;
        GPtrArray *examples;

        /* while it is read */
        char *section;
        unsigned depth;
        Entry *open[DEPTH_MAX];
        bool tag_follows;
        GString *example;
} Page;

static void page_free(Page *page) {
        g_string_free(page->text, TRUE);
        g_ptr_array_unref(page->entries);
        g_ptr_array_unref(page->examples);
        g_free(page->section);
        g_free(page);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Page, page_free)

/* Undoes the escapes of roff that the pages use; any other one is an error. */
static char *unescape(const char *text) {
        static const struct {
                const char *escape, *text;
        } table[] = {
                { "\\-", "-" },   { "\\e", "\\" }, { "\\ ", " " }, { "\\(aq", "'" }, { "\\(mc", "\xc2\xb5" },
                { "\\(ha", "^" }, { "\\fB", "" },  { "\\fI", "" }, { "\\fR", "" },   { "\\fP", "" },
        };
        GString *out = g_string_new(NULL);

        while (*text) {
                size_t i = 0;

                if (*text != '\\') {
                        g_string_append_c(out, *text++);
                        continue;
                }

                while (i < ELEMENTSOF(table) && !g_str_has_prefix(text, table[i].escape))
                        i++;
                if (i == ELEMENTSOF(table))
                        g_error("This escape is none of those that the manual uses: %s", text);
                g_string_append(out, table[i].text);
                text += strlen(table[i].escape);
        }

        return g_string_free(out, FALSE);
}

/* The arguments of a macro, put together. Quotes hold spaces, and two of them in quotes are one. */
static char *join_arguments(const char *line, const char *separator) {
        GString *out = g_string_new(NULL);

        for (line += strspn(line, " "); *line; line += strspn(line, " ")) {
                bool quoted = *line == '"';

                if (out->len > 0)
                        g_string_append(out, separator);
                line += quoted;
                for (; *line && (quoted ? *line != '"' || line[1] == '"' : *line != ' '); line++) {
                        if (quoted && *line == '"')
                                line++;
                        else if (*line == '\\')
                                g_string_append_c(out, *line++);
                        g_string_append_c(out, *line);
                }
                line += quoted && *line == '"';
        }

        return g_string_free(out, FALSE);
}

static void page_add_text(Page *page, const char *escaped) {
        g_autofree char *text = unescape(escaped);

        g_string_append_printf(page->text, "%s\n", text);
        if (page->example)
                g_string_append_printf(page->example, "%s\n", text);

        if (page->tag_follows) {
                Entry *entry = g_new(Entry, 1);

                *entry = (Entry){
                        .section = g_strdup(page->section),
                        .depth = page->depth,
                        .tag = g_strdup(text),
                        .text = g_string_new(NULL),
                };
                page->tag_follows = false;
                page->open[page->depth] = entry;
                g_ptr_array_add(page->entries, entry);
                return;
        }

        for (unsigned depth = 0; depth <= page->depth; depth++)
                if (page->open[depth])
                        g_string_append_printf(page->open[depth]->text, "%s ", text);
}

static void page_set_depth(Page *page, unsigned depth) {
        g_assert_cmpuint(depth, <, DEPTH_MAX);
        page->depth = depth;
        for (; depth < DEPTH_MAX; depth++)
                page->open[depth] = NULL;
}

/* A line with a macro. */
static void page_read_macro(Page *page, const char *line) {
        static const char *const alternating[] = { "BR", "BI", "RB", "RI", "IB", "IR", NULL };
        static const char *const without_text[] = { "TH", "br", "nh", "ad", "in", NULL };
        g_autofree char *macro = g_strndup(line + 1, strcspn(line + 1, " "));
        bool is_alternating = g_strv_contains(alternating, macro);
        g_autofree char *arguments = join_arguments(line + 1 + strlen(macro), is_alternating ? "" : " ");

        if (is_alternating || streq(macro, "B") || streq(macro, "I"))
                page_add_text(page, arguments);
        else if (streq(macro, "SH") || streq(macro, "SS")) {
                page_set_depth(page, 0);
                if (streq(macro, "SH")) {
                        g_free(page->section);
                        page->section = unescape(arguments);
                }
        } else if (streq(macro, "TP") || streq(macro, "TQ") || streq(macro, "PP") || streq(macro, "IP")) {
                page_set_depth(page, page->depth);
                page->tag_follows = *macro == 'T';
        } else if (streq(macro, "RS"))
                page_set_depth(page, page->depth + 1);
        else if (streq(macro, "RE")) {
                page_set_depth(page, page->depth);
                page->depth--;
        } else if (streq(macro, "nf"))
                page->example = g_string_new(NULL);
        else if (streq(macro, "fi")) {
                g_ptr_array_add(page->examples, g_string_free(page->example, FALSE));
                page->example = NULL;
        } else if (!g_strv_contains(without_text, macro))
                g_error("This macro is none of those that the manual uses: %s", line);
}

static Page *page_read(const char *path) {
        g_autofree char *source = read_source(path);
        g_auto(GStrv) lines = g_strsplit(source, "\n", -1);
        Page *page = g_new(Page, 1);

        *page = (Page){
                .text = g_string_new(NULL),
                .entries = g_ptr_array_new_with_free_func((GDestroyNotify) entry_free),
                .examples = g_ptr_array_new_with_free_func(g_free),
        };

        for (char **line = lines; *line; line++) {
                if (g_str_has_prefix(*line, ".\\\""))
                        continue;
                if (**line == '.')
                        page_read_macro(page, *line);
                else
                        page_add_text(page, *line);
        }

        return page;
}

/* The tags in a section that are in no other entry. */
static Set *page_tags(const Page *page, const char *section) {
        Set *tags = set_new();

        for (guint i = 0; i < page->entries->len; i++) {
                const Entry *entry = page->entries->pdata[i];

                if (streq(entry->section, section) && entry->depth == 0)
                        set_take(tags, g_strdup(entry->tag));
        }

        return tags;
}

/* The entry whose tag is the name, or begins with it and has no letter or digit behind it. */
static const Entry *page_find(const Page *page, const char *section, const char *name) {
        for (guint i = 0; i < page->entries->len; i++) {
                const Entry *entry = page->entries->pdata[i];

                if (streq(entry->section, section) && g_str_has_prefix(entry->tag, name) &&
                    !g_ascii_isalnum(entry->tag[strlen(name)]))
                        return entry;
        }

        g_error("%s has no entry %s", section, name);
}

static const char *bound_format(SettingId id, uint64_t number, char *buffer, size_t size) {
        if (setting_table[id].type == SETTING_TYPE_USEC)
                return format_duration(number, buffer, size);
        if (setting_table[id].type == SETTING_TYPE_BOOLEAN)
                return number ? "yes" : "no";

        (void) g_snprintf(buffer, (gulong) size, "%" G_GUINT64_FORMAT, number);
        return buffer;
}

/* "auto, sync or syncfs" */
static char *methods_format(void) {
        GString *out = g_string_new(NULL);

        for (SyncMethod method = 0; method < _SYNC_METHOD_MAX; method++)
                g_string_append_printf(
                                out, "%s%s",
                                method == 0                     ? ""
                                : method + 1 < _SYNC_METHOD_MAX ? ", "
                                                                : " or ",
                                sync_method_to_string(method));

        return g_string_free(out, FALSE);
}

/* "1s to 24h" */
static char *bounds_format(SettingId id) {
        const SettingInfo *info = &setting_table[id];
        char minimum[64], maximum[64];

        if (info->type == SETTING_TYPE_METHOD)
                return methods_format();

        return g_strdup_printf(
                        "%s %s %s%s", bound_format(id, info->minimum, minimum, sizeof(minimum)),
                        info->type == SETTING_TYPE_BOOLEAN ? "or" : "to",
                        bound_format(id, info->maximum, maximum, sizeof(maximum)),
                        info->type == SETTING_TYPE_GLOB ? " bytes" : "");
}

/* All pages */

/* Nothing to complain of in any of them, with all of groff's warnings. */
static void test_shown(void) {
        g_auto(GStrv) variables = g_get_environ();

        variables = g_environ_setenv(variables, "LC_ALL", "C", TRUE);
        variables = g_environ_unsetenv(variables, "MANOPT");
        variables = g_environ_unsetenv(variables, "MANROFFOPT");

        for (size_t i = 0; i < ELEMENTSOF(pages); i++) {
                g_autofree char *path = g_build_filename(environment("WBWATCH_SOURCE_DIR"), pages[i], NULL);
                g_autofree char *output = NULL, *complaints = NULL;
                g_autoptr(GError) error = NULL;
                const char *arguments[] = { "man",    "--warnings=w", "-E", "UTF-8", "-l",
                                            "-Tutf8", "-Z",           path, NULL };
                int status;

                g_spawn_sync(NULL, (char **) arguments, variables, G_SPAWN_SEARCH_PATH, NULL, NULL, &output,
                             &complaints, &status, &error);
                g_assert_no_error(error);
                if (*complaints)
                        g_test_fail_printf("%s: %s", pages[i], complaints);
                g_spawn_check_wait_status(status, &error);
                g_assert_no_error(error);
                g_assert_cmpstr(output, !=, "");
        }
}

/* Verbs of wbctl that the pages recommend. */
static void test_verbs_mentioned(void) {
        g_autofree char *help = read_help("WBCTL");
        g_autoptr(Set) verbs = set_found(help, "^  ([a-z]+) +(?:NAME=|\\[[A-Z]| )"), mentioned = set_new();

        for (size_t i = 0; i < ELEMENTSOF(pages); i++) {
                g_autoptr(Page) page = page_read(pages[i]);

                set_find(mentioned, page->text->str, "\\bwbctl ([a-z]+)");
        }

        g_assert_cmpuint(g_hash_table_size(mentioned), >, 0);
        assert_subset(mentioned, verbs, "mentioned, but no verb of wbctl");
}

/* Options: as --help shows them, like "-v, --verbose" or "--config=FILE" */

static void check_options(const Page *page, const char *help) {
        g_autoptr(Set) real =
                        set_found(help, "^  ((?:-[a-zA-Z], )?--[a-z.-]+(?:=\\[?[A-Z]+\\]?(?::[A-Z]+)?)?) ");
        g_autoptr(Set) documented = page_tags(page, "OPTIONS");
        g_autoptr(Set) names = set_found(help, "^  (?:-[a-zA-Z], )?(--[a-z.-]+)");
        g_autoptr(Set) mentioned = set_found(page->text->str, "(--[a-z][a-z-]*(?:[.][a-z-]+)*)");

        assert_same(real, documented);
        assert_subset(mentioned, names, "mentioned, but no option");
}

/* wbwatchd(8) */

static void test_wbwatchd_options(void) {
        g_autoptr(Page) page = page_read(WBWATCHD_PAGE), conf_page = page_read(CONF_PAGE);
        g_autofree char *help = read_help("WBWATCHD");
        g_autoptr(Set) names = set_found(help, "(--[a-z-]+)");
        g_autoptr(Set) mentioned = set_found(conf_page->text->str, "(--[a-z-]+)");

        check_options(page, help);
        assert_subset(mentioned, names, "wbwatch.conf(5) mentions it, but it is no option");
}

static void test_wbwatchd_states(void) {
        g_autoptr(Page) page = page_read(WBWATCHD_PAGE);
        g_autoptr(Set) documented = page_tags(page, "STATES"), real = set_new();

        for (EngineState state = ENGINE_IDLE; state <= ENGINE_PAUSED; state++)
                set_take(real, g_strdup(engine_state_to_string(state)));

        assert_same(real, documented);
}

static void test_wbwatchd_messages(void) {
        g_autoptr(Page) page = page_read(WBWATCHD_PAGE);
        g_autofree char *header = read_source("service/common/messages.h");
        g_autoptr(Set) ids = set_found(header, "\"([0-9a-f]{32})\""),
                       documented_ids = set_found(page->text->str, "\\b([0-9a-f]{32})\\b"),
                       fields = set_found(header, "^ \\*   ([A-Z_]+=)"),
                       documented_fields = set_found(page->text->str, "\\b([A-Z]+(?:_[A-Z0-9]+)*=)");

        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++)
                set_take(fields, g_strconcat(evidence_table[id].field, "=", NULL));
        g_hash_table_remove(documented_fields, "MESSAGE_ID=");
        assert_same(ids, documented_ids);
        assert_same(fields, documented_fields);
}

/* wbwatch.conf(5) */

static void test_conf_keys(void) {
        g_autoptr(Page) page = page_read(CONF_PAGE);
        g_autoptr(Set) documented = page_tags(page, "KEYS"), real = set_new();

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                set_take(real, g_strdup_printf("%s=", setting_table[id].key));
        assert_same(real, documented);
        if (g_test_failed())
                return;

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];
                g_autofree char *built_in = g_strdup_printf(" Default: %s. ", info->built_in);
                g_autofree char *range = bounds_format(id), *bounds = g_strdup_printf(" Bounds: %s. ", range);
                const Entry *entry = page_find(page, "KEYS", info->key);

                assert_contains(entry->text->str, built_in);
                assert_contains(entry->text->str, bounds);
        }
}

static void test_conf_files(void) {
        g_autoptr(Page) page = page_read(CONF_PAGE), service_page = page_read(WBWATCHD_PAGE);

        for (size_t i = 0; settings_default_folders[i]; i++) {
                g_autofree char *file = g_strdup_printf("%s/wbwatch.conf\n", settings_default_folders[i]);
                g_autofree char *drop_ins =
                                g_strdup_printf("%s/wbwatch.conf.d/*.conf\n", settings_default_folders[i]);

                assert_contains(page->text->str, file);
                assert_contains(page->text->str, drop_ins);
                assert_contains(service_page->text->str, file);
                assert_contains(service_page->text->str, drop_ins);
        }
}

static void fail_by_warning(const char *warning, void *userdata) {
        g_test_fail_printf("%s", warning);
}

/* What the page shows as a configuration is one. */
static void test_conf_examples(void) {
        g_autoptr(Page) page = page_read(CONF_PAGE);
        unsigned n = 0;

        for (guint i = 0; i < page->examples->len; i++) {
                const char *example = page->examples->pdata[i];
                Settings settings;

                if (!strstr(example, "[Watch]\n"))
                        continue;
                n++;

                settings_init(&settings);
                (void) settings_parse_text(
                                &settings, example, strlen(example), CONF_PAGE, ORIGIN_FILE, fail_by_warning,
                                NULL);
        }

        g_assert_cmpuint(n, >=, 3);
}

/* The units of durations: those on one line are the same. */
static void test_conf_units(void) {
        g_autoptr(Page) page = page_read(CONF_PAGE);
        unsigned n = 0;

        for (guint i = 0; i < page->examples->len; i++) {
                g_auto(GStrv) lines = g_strsplit(page->examples->pdata[i], "\n", -1);

                if (!g_str_has_prefix(lines[0], "usec "))
                        continue;

                for (char **line = lines; **line; line++) {
                        g_auto(GStrv) units = g_strsplit(*line, " ", -1);
                        uint64_t first_usec = 0, usec = 0;

                        for (char **unit = units; *unit; unit++, n++) {
                                g_autofree char *duration = g_strdup_printf("1%s", *unit);

                                if (parse_duration(duration, 0, &usec) < 0)
                                        g_test_fail_printf("no unit: %s", *unit);
                                else if (unit == units)
                                        first_usec = usec;
                                else if (usec != first_usec)
                                        g_test_fail_printf("%s is not the same as %s", *unit, *units);
                        }
                }
        }

        g_assert_cmpuint(n, >, 10);
}

/* org.wbwatch1(5) */

static GDBusNodeInfo *read_node(void) {
        g_autofree char *xml = read_source("dbus/org.wbwatch1.xml");
        g_autoptr(GError) error = NULL;
        GDBusNodeInfo *node;

        node = g_dbus_node_info_new_for_xml(xml, &error);
        g_assert_no_error(error);
        return node;
}

/* "State (s, read, emits change)" */
static char *describe_property(const GDBusPropertyInfo *property) {
        const char *annotation = g_dbus_annotation_info_lookup(
                        property->annotations, "org.freedesktop.DBus.Property.EmitsChangedSignal");
        const char *change = !annotation                  ? "emits change"
                             : streq(annotation, "const") ? "constant"
                             : streq(annotation, "false") ? "no signal"
                                                          : annotation;

        return g_strdup_printf(
                        "%s (%s, %s, %s)", property->name, property->signature,
                        property->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE ? "read-write" : "read",
                        change);
}

static void describe_arguments(GString *out, GDBusArgInfo **arguments, const char *direction) {
        for (; arguments && *arguments; arguments++)
                g_string_append_printf(
                                out, "%s%s%s %s", out->str[out->len - 1] == '(' ? "" : ", ", direction,
                                (*arguments)->signature, (*arguments)->name);
}

/* "ForceSync(out t duration_usec)" */
static char *describe_method(const GDBusMethodInfo *method) {
        GString *out = g_string_new(method->name);

        g_string_append_c(out, '(');
        describe_arguments(out, method->in_args, "in ");
        describe_arguments(out, method->out_args, "out ");
        g_string_append_c(out, ')');
        return g_string_free(out, FALSE);
}

/* "EpisodeStarted(t id, a{sv} details)" */
static char *describe_signal(const GDBusSignalInfo *signal) {
        GString *out = g_string_new(signal->name);

        g_string_append_c(out, '(');
        describe_arguments(out, signal->args, "");
        g_string_append_c(out, ')');
        return g_string_free(out, FALSE);
}

static void test_bus_members(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);
        g_autoptr(Set) documented_properties = page_tags(page, "PROPERTIES"), properties = set_new(),
                       documented_methods = page_tags(page, "METHODS"), methods = set_new(),
                       documented_signals = page_tags(page, "SIGNALS"), signals = set_new();
        g_autoptr(GDBusNodeInfo) node = read_node();
        GDBusInterfaceInfo *interface = g_dbus_node_info_lookup_interface(node, BUS_INTERFACE);

        for (GDBusPropertyInfo **property = interface->properties; *property; property++)
                set_take(properties, describe_property(*property));
        for (GDBusMethodInfo **method = interface->methods; *method; method++)
                set_take(methods, describe_method(*method));
        for (GDBusSignalInfo **signal = interface->signals; *signal; signal++)
                set_take(signals, describe_signal(*signal));

        assert_same(properties, documented_properties);
        assert_same(methods, documented_methods);
        assert_same(signals, documented_signals);
}

/* What is in the dictionaries: the interface's comments say "PID u", the page "PID (u)". */
static void test_bus_dictionaries(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);
        g_autofree char *xml = read_source("dbus/org.wbwatch1.xml");
        g_autoptr(Set) real =
                        set_found(xml, "\\b([A-Z]\\w+) (s|t|u|b|d|as|a\\(tuu\\)|aa?\\{sv\\})(?![\\w{])"),
                       documented = set_found(
                                       page->text->str,
                                       "\\b([A-Z]\\w+) \\((s|t|u|b|d|as|a\\(tuu\\)|aa?\\{sv\\})\\)");

        assert_same(real, documented);
}

/* "DirtyBytes (t)", with its meaning. */
static void test_bus_evidence(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);
        g_autoptr(Set) documented = page_tags(page, "EVIDENCE"), real = set_new();

        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++) {
                const EvidenceInfo *info = &evidence_table[id];
                const char *type = info->unit == EVIDENCE_UNIT_PERCENT ? "d" : "t";

                set_take(real, g_strdup_printf("%s (%s)", info->key, type));
                assert_contains(page_find(page, "EVIDENCE", info->key)->text->str, info->meaning + 1);
        }

        assert_same(real, documented);
}

static void test_bus_states(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);
        g_autoptr(Set) documented = set_new(), real = set_new();

        for (guint i = 0; i < page->entries->len; i++) {
                const Entry *entry = page->entries->pdata[i];

                if (streq(entry->section, "PROPERTIES") && entry->depth > 0)
                        set_take(documented, g_strdup(entry->tag));
        }
        for (EngineState state = ENGINE_IDLE; state <= ENGINE_PAUSED; state++)
                set_take(real, g_strdup(engine_state_to_string(state)));

        assert_same(real, documented);
}

static void test_bus_bounds(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                g_autofree char *range = bounds_format(id), *bounds = g_strdup_printf(" %s. ", range);
                const Entry *entry = page_find(page, "PROPERTIES", setting_table[id].property);

                if (setting_table[id].type != SETTING_TYPE_BOOLEAN &&
                    setting_table[id].type != SETTING_TYPE_METHOD)
                        assert_contains(entry->text->str, bounds);
        }
}

/* The names that values have. */
static void test_bus_values(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);
        const char *method = page_find(page, "PROPERTIES", "SyncMethod")->text->str,
                   *results = page_find(page, "PROPERTIES", "FilesystemResults")->text->str,
                   *last = page_find(page, "PROPERTIES", "LastSyncResult")->text->str,
                   *outcomes = page_find(page, "METHODS", "Outcome")->text->str,
                   *syncs = page_find(page, "METHODS", "Syncs")->text->str;

        for (SyncMethod i = 0; i < _SYNC_METHOD_MAX; i++)
                assert_contains(method, sync_method_to_string(i));
        for (FilesystemResult i = FILESYSTEM_PENDING; i <= FILESYSTEM_FAILED; i++)
                assert_contains(results, filesystem_result_to_string(i));
        for (SyncResult i = SYNC_OK; i <= SYNC_FAILED; i++)
                assert_contains(last, sync_result_to_string(i));
        for (EpisodeOutcome i = OUTCOME_ONGOING; i <= OUTCOME_OUTLIVED; i++)
                assert_contains(outcomes, episode_outcome_to_string(i));
        for (SyncHelped i = HELPED_PENDING; i <= HELPED_NO; i++)
                assert_contains(syncs, sync_helped_to_string(i));
}

static void test_bus_errors(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);
        g_autofree char *xml = read_source("dbus/org.wbwatch1.xml"), *limits = NULL;
        g_autoptr(Set) real = set_found(xml, "\\b(org\\.wbwatch1\\.Error\\.\\w+)"),
                       documented = page_tags(page, "ERRORS");

        set_find(real, xml, "\\b(org\\.freedesktop\\.DBus\\.Error\\.\\w+)");
        set_take(real, g_strdup(SD_BUS_ERROR_ACCESS_DENIED));
        set_take(real, g_strdup(SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED));
        set_take(real, g_strdup(SD_BUS_ERROR_LIMITS_EXCEEDED));
        assert_same(real, documented);

        limits =
                        g_strdup_printf("at most %d of all callers, and of one user at most %d for polkit",
                                        AUTHORITY_OPEN_MAX, AUTHORITY_POLKIT_PER_USER_MAX);
        assert_contains(page_find(page, "ERRORS", SD_BUS_ERROR_LIMITS_EXCEEDED)->text->str, limits);
}

/* The actions of polkit, and which method needs which. */
static void test_bus_actions(void) {
        g_autoptr(Page) page = page_read(BUS_PAGE);
        g_autofree char *policy = read_source("polkit/org.wbwatch1.policy"),
                        *xml = read_source("dbus/org.wbwatch1.xml");
        g_autoptr(Set) actions = set_found(policy, "<action id=\"([^\"]+)\">"),
                       documented_actions = page_tags(page, "AUTHORIZATION"),
                       needs =
                                       set_found(xml, "Action\\s+(org\\.wbwatch1\\.[a-z-]+)\\.\\s*-->\\s*"
                                                      "<method name=\"(\\w+)\""),
                       documented_needs = set_new();

        assert_same(actions, documented_actions);

        for (guint i = 0; i < page->entries->len; i++) {
                const Entry *entry = page->entries->pdata[i];
                const char *need = strstr(entry->text->str, "Needs ");

                if (streq(entry->section, "METHODS") && entry->depth == 0 && need) {
                        need += strlen("Needs ");
                        set_take(documented_needs,
                                 g_strdup_printf("%.*s %.*s", (int) strcspn(need, " ") - 1, need,
                                                 (int) strcspn(entry->tag, "("), entry->tag));
                }
        }
        assert_same(needs, documented_needs);
}

/* wbctl(1) */

/* A part of --help: from the line that says so to the next empty one. */
static char *help_part(const char *help, const char *heading) {
        const char *begin = strstr(help, heading), *end;

        if (!begin)
                g_error("There is no \"%s\" in the help", heading);
        end = strstr(begin, "\n\n");
        return end ? g_strndup(begin, (size_t) (end - begin)) : g_strdup(begin);
}

static void test_wbctl_verbs(void) {
        g_autoptr(Page) page = page_read(WBCTL_PAGE);
        g_autofree char *help = read_help("WBCTL"), *part = help_part(help, "\nVerbs:\n");
        g_autoptr(Set) real = set_found(
                        part, "^  ([a-z]+)(?: +(NAME=VALUE\\.\\.\\.|\\[?[A-Z]+(?:\\.\\.\\.)?\\]?))? {2,}"),
                       documented = page_tags(page, "VERBS");

        assert_same(real, documented);
}

static void test_exporter_options(void) {
        g_autoptr(Page) page = page_read(EXPORTER_PAGE);
        g_autofree char *help = NULL;

        if (!g_getenv("WBWATCH_EXPORTER")) {
                g_test_skip("wbwatch-exporter was not built");
                return;
        }
        help = read_help("WBWATCH_EXPORTER");
        check_options(page, help);
}

static void test_wbctl_options(void) {
        g_autoptr(Page) page = page_read(WBCTL_PAGE);
        g_autofree char *help = read_help("WBCTL");

        check_options(page, help);
}

static void test_wbctl_exit_status(void) {
        g_autoptr(Page) page = page_read(WBCTL_PAGE);
        g_autofree char *help = read_help("WBCTL"), *part = help_part(help, "\nExit status:\n");
        g_autoptr(Set) real = set_found(part, "^  ([0-9]+)  "), documented = page_tags(page, "EXIT STATUS");

        assert_same(real, documented);
}

static void test_wbctl_environment(void) {
        g_autoptr(Page) page = page_read(WBCTL_PAGE);
        g_autofree char *help = read_help("WBCTL"), *part = help_part(help, "\nEnvironment: ");
        g_autoptr(Set) real = set_found(part, "\\b([A-Z_]{2,})\\b"),
                       documented = page_tags(page, "ENVIRONMENT");

        assert_same(real, documented);
}

static void test_wbctl_settings(void) {
        g_autoptr(Page) page = page_read(WBCTL_PAGE);
        const Entry *entry = page_find(page, "VERBS", "set");
        g_autoptr(Set) words = set_found(entry->text->str, "\\b(\\w+)\\b");

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (!g_hash_table_contains(words, setting_table[id].key))
                        g_test_fail_printf("not documented: %s", setting_table[id].key);
}

/* The plot of an episode, as plot_append() draws it. */
static void append_episode_plot(const Episode *episode, void *userdata) {
        const Terminal terminal = {};
        GVariantBuilder samples, syncs;
        g_autoptr(GVariant) sample_list = NULL, sync_list = NULL;

        g_variant_builder_init(&samples, G_VARIANT_TYPE("a(tuu)"));
        for (uint32_t i = 0; i < episode->samples.n; i++) {
                const Sample *sample = &episode->samples.samples[i];

                g_variant_builder_add(
                                &samples, "(tuu)", episode_sample_usec(episode, sample),
                                (guint32) sample->n_spinning, (guint32) sample->n_waiting);
        }
        g_variant_builder_init(&syncs, G_VARIANT_TYPE("aa{sv}"));
        for (uint32_t i = 0; i < episode->n_syncs; i++)
                g_variant_builder_add_parsed(
                                &syncs, "{'Id': <%t>, 'StartUSec': <%t>}", (guint64) episode->syncs[i].id,
                                (guint64) episode->syncs[i].start.realtime_usec);

        sample_list = g_variant_ref_sink(g_variant_builder_end(&samples));
        sync_list = g_variant_ref_sink(g_variant_builder_end(&syncs));
        plot_append(userdata, &terminal, sample_list, sync_list);
}

/* The example of a plot is that of a recorded stall. */
static void test_wbctl_plot(void) {
        g_autofree char *path = g_build_filename(
                        environment("WBWATCH_SOURCE_DIR"), "tests/corpus/stall-60k.trace", NULL);
        g_autofree char *page = read_source(WBCTL_PAGE), *error = NULL;
        g_autoptr(GString) plot = g_string_new(NULL);
        const ReplayOptions options = { .events = true, .episode = append_episode_plot, .userdata = plot };
        _cleanup_(trace_freep) Trace *trace = NULL;
        ReplayResult result;

        g_assert_cmpint(trace_load(path, &trace, &error), ==, 0);
        g_assert_cmpint(trace_set(trace, "DryRun=yes", &error), ==, 0);
        g_assert_cmpint(trace_replay(trace, &options, &result), ==, 0);

        /* As roff spells it. */
        (void) g_string_replace(plot, "-", "\\-", 0);
        (void) g_string_replace(plot, "^", "\\(ha", 0);
        g_assert_cmpuint(plot->len, >, 0);
        if (!strstr(page, plot->str))
                g_test_fail_printf("the example should be:\n%s", plot->str);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/manual/shown", test_shown);
        g_test_add_func("/manual/verbs-mentioned", test_verbs_mentioned);
        g_test_add_func("/manual/wbwatchd/options", test_wbwatchd_options);
        g_test_add_func("/manual/wbwatchd/states", test_wbwatchd_states);
        g_test_add_func("/manual/wbwatchd/messages", test_wbwatchd_messages);
        g_test_add_func("/manual/conf/keys", test_conf_keys);
        g_test_add_func("/manual/conf/files", test_conf_files);
        g_test_add_func("/manual/conf/examples", test_conf_examples);
        g_test_add_func("/manual/conf/units", test_conf_units);
        g_test_add_func("/manual/bus/members", test_bus_members);
        g_test_add_func("/manual/bus/dictionaries", test_bus_dictionaries);
        g_test_add_func("/manual/bus/evidence", test_bus_evidence);
        g_test_add_func("/manual/bus/states", test_bus_states);
        g_test_add_func("/manual/bus/bounds", test_bus_bounds);
        g_test_add_func("/manual/bus/values", test_bus_values);
        g_test_add_func("/manual/bus/errors", test_bus_errors);
        g_test_add_func("/manual/bus/actions", test_bus_actions);
        g_test_add_func("/manual/wbctl/verbs", test_wbctl_verbs);
        g_test_add_func("/manual/wbctl/options", test_wbctl_options);
        g_test_add_func("/manual/exporter/options", test_exporter_options);
        g_test_add_func("/manual/wbctl/exit-status", test_wbctl_exit_status);
        g_test_add_func("/manual/wbctl/environment", test_wbctl_environment);
        g_test_add_func("/manual/wbctl/settings", test_wbctl_settings);
        g_test_add_func("/manual/wbctl/plot", test_wbctl_plot);

        return g_test_run();
}
