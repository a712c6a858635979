/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "kernel-table.h"

#include <fnmatch.h>
#include <stdarg.h>

#include "text.h"

#define SECTION_TABLE "Table"
#define SECTION_FIX "Fix "
#define SECTION_DISTRIBUTION "Distribution "

/* No version number has more digits. */
#define NUMBER_MAX 999999

typedef struct Distribution {
        char *name;
        char **releases;
        bool numbers_are_exact;
} Distribution;

/* Versions */

static bool parse_number(const char **text, unsigned *ret) {
        uint64_t number;
        char *end;

        if (!g_ascii_isdigit(**text))
                return false;
        number = g_ascii_strtoull(*text, &end, 10);
        if (number > NUMBER_MAX)
                return false;

        *ret = (unsigned) number;
        *text = end;
        return true;
}

/* Parses X.Y or X.Y.Z, and -rcN behind it, which Fedora spells -0.rcN. *ret_rest is what follows the numbers.
 */
static bool parse_version(const char *text, KernelVersion *ret, const char **ret_rest) {
        KernelVersion version = { .candidate = UINT_MAX };
        const char *candidate;

        if (!parse_number(&text, &version.parts[0]) || *text++ != '.' ||
            !parse_number(&text, &version.parts[1]))
                return false;
        if (text[0] == '.' && g_ascii_isdigit(text[1])) {
                text++;
                if (!parse_number(&text, &version.parts[2]))
                        return false;
        }

        candidate = g_str_has_prefix(text, "-rc")     ? text + strlen("-rc")
                    : g_str_has_prefix(text, "-0.rc") ? text + strlen("-0.rc")
                                                      : NULL;
        if (candidate)
                (void) parse_number(&candidate, &version.candidate);

        *ret = version;
        *ret_rest = text;
        return true;
}

static int compare_versions(const KernelVersion *a, const KernelVersion *b) {
        for (size_t i = 0; i < ELEMENTSOF(a->parts); i++)
                if (a->parts[i] != b->parts[i])
                        return a->parts[i] < b->parts[i] ? -1 : 1;
        return a->candidate < b->candidate ? -1 : a->candidate > b->candidate;
}

static bool same_series(const KernelVersion *a, const KernelVersion *b) {
        return a->parts[0] == b->parts[0] && a->parts[1] == b->parts[1];
}

static char *version_format(const KernelVersion *version) {
        g_autofree char *patch =
                        version->parts[2] > 0 ? g_strdup_printf(".%u", version->parts[2]) : g_strdup("");
        g_autofree char *candidate = version->candidate < UINT_MAX
                                                     ? g_strdup_printf("-rc%u", version->candidate)
                                                     : g_strdup("");

        return g_strdup_printf("%u.%u%s%s", version->parts[0], version->parts[1], patch, candidate);
}

/* The entry that decides about a version: that of its series; or the latest one of mainline that is not
 * newer; or NULL. */
static const KernelVersion *find_entry(const GArray *versions, const KernelVersion *version) {
        const KernelVersion *best = NULL;

        for (size_t i = 0; i < versions->len; i++) {
                const KernelVersion *entry = &g_array_index(versions, KernelVersion, i);

                if (same_series(entry, version))
                        return entry;
                if (entry->parts[2] == 0 && compare_versions(entry, version) <= 0)
                        best = entry;
        }
        return best;
}

static bool contains(const GArray *versions, const KernelVersion *version) {
        const KernelVersion *entry = find_entry(versions, version);

        return entry && compare_versions(version, entry) >= 0;
}

static bool contains_series(const GArray *versions, const KernelVersion *version) {
        for (size_t i = 0; i < versions->len; i++)
                if (same_series(&g_array_index(versions, KernelVersion, i), version))
                        return true;
        return false;
}

/* The table */

static void fix_free(KernelFix *fix) {
        g_free(fix->name);
        g_free(fix->brought_by);
        g_free(fix->changes);
        g_strfreev(fix->affected);
        g_strfreev(fix->not_affected);
        g_array_unref(fix->introduced);
        g_array_unref(fix->fixed);
        g_array_unref(fix->partly);
        g_array_unref(fix->unknown);
        g_free(fix);
}

static void distribution_free(Distribution *distribution) {
        g_free(distribution->name);
        g_strfreev(distribution->releases);
        g_free(distribution);
}

KernelTable *kernel_table_new(void) {
        KernelTable *table = g_new0(KernelTable, 1);

        table->fixes = g_ptr_array_new_with_free_func((GDestroyNotify) fix_free);
        table->distributions = g_ptr_array_new_with_free_func((GDestroyNotify) distribution_free);
        return table;
}

KernelTable *kernel_table_free(KernelTable *table) {
        if (!table)
                return NULL;
        g_free(table->date);
        g_ptr_array_unref(table->fixes);
        g_ptr_array_unref(table->distributions);
        g_free(table);
        return NULL;
}

static KernelFix *find_fix(const KernelTable *table, const char *name) {
        for (size_t i = 0; i < table->fixes->len; i++) {
                KernelFix *fix = table->fixes->pdata[i];

                if (streq(fix->name, name))
                        return fix;
        }
        return NULL;
}

static KernelFix *fix_for(KernelTable *table, const char *name) {
        KernelFix *fix = find_fix(table, name);

        if (fix)
                return fix;
        fix = g_new0(KernelFix, 1);
        fix->name = g_strdup(name);
        fix->introduced = g_array_new(FALSE, FALSE, sizeof(KernelVersion));
        fix->fixed = g_array_new(FALSE, FALSE, sizeof(KernelVersion));
        fix->partly = g_array_new(FALSE, FALSE, sizeof(KernelVersion));
        fix->unknown = g_array_new(FALSE, FALSE, sizeof(KernelVersion));
        g_ptr_array_add(table->fixes, fix);
        return fix;
}

static Distribution *distribution_for(KernelTable *table, const char *name) {
        Distribution *distribution;

        for (size_t i = 0; i < table->distributions->len; i++) {
                distribution = table->distributions->pdata[i];
                if (streq(distribution->name, name))
                        return distribution;
        }
        distribution = g_new0(Distribution, 1);
        distribution->name = g_strdup(name);
        g_ptr_array_add(table->distributions, distribution);
        return distribution;
}

static char **split(const char *value) {
        g_auto(GStrv) words = g_strsplit(value, " ", -1);
        GStrvBuilder *builder = g_strv_builder_new();
        char **list;

        for (char **word = words; *word; word++)
                if (**word)
                        g_strv_builder_add(builder, *word);
        list = g_strv_builder_end(builder);
        g_strv_builder_unref(builder);
        return list;
}

/* Replaces the versions in the list. Returns the word that is not a version, to be freed by the caller, or
 * NULL. */
static char *set_versions(GArray *versions, const char *value) {
        g_auto(GStrv) words = split(value);

        g_array_set_size(versions, 0);
        for (char **word = words; *word; word++) {
                KernelVersion version;
                const char *rest;

                if (!parse_version(*word, &version, &rest) || (version.candidate == UINT_MAX && *rest))
                        return g_strdup(*word);
                g_array_append_val(versions, version);
        }
        return NULL;
}

static void replace_text(char **text, const char *value) {
        g_free(*text);
        *text = g_strdup(value);
}

static void replace_words(char ***words, const char *value) {
        g_strfreev(*words);
        *words = split(value);
}

/* Sets a key. Returns NULL, or why not, to be freed by the caller. */
static char *set_fix_key(KernelFix *fix, const char *key, const char *value) {
        const struct {
                const char *key;
                GArray *versions;
        } lists[] = {
                { "Introduced", fix->introduced },
                { "Fixed", fix->fixed },
                { "Partly", fix->partly },
                { "Unknown", fix->unknown },
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                if (streq(key, lists[i].key)) {
                        g_autofree char *wrong = set_versions(lists[i].versions, value);

                        return wrong ? g_strdup_printf("\"%s\" is not a version like 6.18, 6.12.94 or "
                                                       "7.3-rc5",
                                                       wrong)
                                     : NULL;
                }

        if (streq(key, "BroughtBy"))
                replace_text(&fix->brought_by, value);
        else if (streq(key, "Changes"))
                replace_text(&fix->changes, value);
        else if (streq(key, "Affected"))
                replace_words(&fix->affected, value);
        else if (streq(key, "NotAffected"))
                replace_words(&fix->not_affected, value);
        else
                return g_strdup("unknown key");
        return NULL;
}

static char *set_distribution_key(Distribution *distribution, const char *key, const char *value) {
        if (streq(key, "Release"))
                replace_words(&distribution->releases, value);
        else if (!streq(key, "Numbers"))
                return g_strdup("unknown key");
        else if (!streq(value, "kernel.org"))
                return g_strdup_printf("\"%s\" is not kernel.org, the only value", value);
        else
                distribution->numbers_are_exact = true;
        return NULL;
}

static char *set_date(KernelTable *table, const char *key, const char *value) {
        g_autoptr(GDateTime) date = NULL;
        g_autofree char *text = g_strdup_printf("%sT00:00:00Z", value);

        if (!streq(key, "Date"))
                return g_strdup("unknown key");
        date = g_date_time_new_from_iso8601(text, NULL);
        if (!date)
                return g_strdup_printf("\"%s\" is not a date like 2026-11-20", value);
        replace_text(&table->date, value);
        return NULL;
}

/* The output has the name as a label. */
static bool is_name(const char *name) {
        return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
}

static char *set_key(KernelTable *table, const char *section, const char *key, const char *value) {
        if (streq(section, SECTION_TABLE))
                return set_date(table, key, value);
        if (g_str_has_prefix(section, SECTION_FIX) && !is_name(section + strlen(SECTION_FIX)))
                return g_strdup("a name has only a-z, 0-9 and -");
        if (g_str_has_prefix(section, SECTION_FIX))
                return set_fix_key(fix_for(table, section + strlen(SECTION_FIX)), key, value);
        if (g_str_has_prefix(section, SECTION_DISTRIBUTION))
                return set_distribution_key(
                                distribution_for(table, section + strlen(SECTION_DISTRIBUTION)), key, value);
        return g_strdup("unknown section");
}

/* What the whole table lacks, to be freed by the caller, or NULL. */
static char *check_table(const KernelTable *table) {
        if (!table->date)
                return g_strdup("[Table] has no Date=");
        for (size_t i = 0; i < table->fixes->len; i++) {
                const KernelFix *fix = table->fixes->pdata[i];

                if (fix->fixed->len == 0)
                        return g_strdup_printf("[Fix %s] has no Fixed=", fix->name);
                if (fix->introduced->len == 0 && !fix->brought_by)
                        return g_strdup_printf("[Fix %s] has neither Introduced= nor BroughtBy=", fix->name);
                if (fix->brought_by && !find_fix(table, fix->brought_by))
                        return g_strdup_printf(
                                        "[Fix %s] BroughtBy=%s: there is no such fix", fix->name,
                                        fix->brought_by);
        }
        return NULL;
}

static int add_section(
                KernelTable *table,
                GKeyFile *file,
                const char *section,
                const char *path,
                char **ret_error) {
        g_auto(GStrv) keys = g_key_file_get_keys(file, section, NULL, NULL);

        for (char **key = keys; key && *key; key++) {
                g_autofree char *value = g_key_file_get_value(file, section, *key, NULL);
                g_autofree char *reason = set_key(table, section, *key, value);

                if (reason)
                        return refuse(-EINVAL, ret_error, "%s: [%s] %s=: %s", path, section, *key, reason);
        }
        return 0;
}

int kernel_table_add(KernelTable *table, const char *text, const char *path, char **ret_error) {
        g_autoptr(GKeyFile) file = g_key_file_new();
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) sections = NULL;
        g_autofree char *missing = NULL;

        if (!g_key_file_load_from_data(file, text, (gsize) -1, G_KEY_FILE_NONE, &error))
                return refuse(-EINVAL, ret_error, "%s: %s", path, error->message);

        sections = g_key_file_get_groups(file, NULL);
        for (char **section = sections; *section; section++) {
                int r = add_section(table, file, *section, path, ret_error);

                if (r < 0)
                        return r;
        }

        missing = check_table(table);
        return missing ? refuse(-EINVAL, ret_error, "%s: %s", path, missing) : 0;
}

/* A kernel */

static bool matches_any(const char *release, char **globs) {
        for (; globs && *globs; globs++)
                if (fnmatch(*globs, release, 0) == 0)
                        return true;
        return false;
}

static bool is_exact(
                const KernelTable *table,
                const char *release,
                const KernelVersion *version,
                const char *rest) {
        if (version->parts[2] > 0 || *rest == '\0' || *rest == '+' || g_str_has_prefix(rest, "-rc"))
                return true;

        for (size_t i = 0; i < table->distributions->len; i++) {
                const Distribution *distribution = table->distributions->pdata[i];

                if (matches_any(release, distribution->releases))
                        return distribution->numbers_are_exact;
        }
        return false;
}

/* Debian's kernels have their version number in the text of the build, which begins with a '#': "#1 SMP
 * Debian 6.1.170-3". The release may be 6.1.0-40-amd64. Before that text, Debian's compiler has a version,
 * too. */
static char *find_debian_number(const char *proc_version) {
        g_autoptr(GRegex) regex = g_regex_new("#\\d.*\\bDebian (\\d+\\.\\d+\\.\\d+)-\\d", 0, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;

        if (!proc_version || !g_regex_match(regex, proc_version, 0, &match))
                return NULL;
        return g_match_info_fetch(match, 1);
}

void kernel_set_release(
                Kernel *kernel,
                const KernelTable *table,
                const char *release,
                const char *proc_version) {
        g_autofree char *number = find_debian_number(proc_version);
        const char *text = number ?: release, *rest;

        kernel->release = g_strdup(release);
        kernel->is_version = parse_version(text, &kernel->version, &rest);
        if (kernel->is_version) {
                kernel->is_exact = is_exact(table, text, &kernel->version, rest);
                kernel->number = version_format(&kernel->version);
        }
}

void kernel_done(Kernel *kernel) {
        g_free(kernel->release);
        g_free(kernel->number);
        g_free(kernel->shown_by);
}

/* Whether the number shows which changes the kernel has. It does not if the kernel itself contradicts it. */
static bool number_counts(const KernelTable *table, const Kernel *kernel) {
        const KernelFix *fix = find_fix(table, FIX_STALL_2025);

        return kernel->is_exact &&
               (!fix || kernel->has_fix_2025 == ANSWER_UNKNOWN ||
                (kernel->has_fix_2025 == ANSWER_YES) == contains(fix->fixed, &kernel->version));
}

/* Whether the kernel has the change that introduced the bug. */
static Answer was_introduced(const KernelTable *table, const KernelFix *fix, const Kernel *kernel) {
        const KernelFix *cause = fix->brought_by ? find_fix(table, fix->brought_by) : NULL;

        if (cause && streq(cause->name, FIX_STALL_2025) && kernel->has_fix_2025 != ANSWER_UNKNOWN)
                return kernel->has_fix_2025;
        if (contains(cause ? cause->fixed : fix->introduced, &kernel->version))
                return ANSWER_YES;
        return number_counts(table, kernel) ? ANSWER_NO : ANSWER_UNKNOWN;
}

/* What the fix is in: "6.12.94", for the series of the version; or "6.18 and later". */
static char *describe_fixed(const KernelFix *fix, const KernelVersion *version) {
        const KernelVersion *best = NULL;

        for (size_t i = 0; i < fix->fixed->len; i++) {
                const KernelVersion *entry = &g_array_index(fix->fixed, KernelVersion, i);

                if (same_series(entry, version))
                        return version_format(entry);
                if (entry->parts[2] == 0 && (!best || compare_versions(entry, best) < 0))
                        best = entry;
        }
        return best ? version_format(best) : g_strdup("no version yet");
}

/* What was reported about this very release. */
static Answer judge_reports(const KernelFix *fix, const Kernel *kernel, char **ret) {
        bool is_affected = matches_any(kernel->release, fix->affected);

        if (!is_affected && !matches_any(kernel->release, fix->not_affected))
                return ANSWER_UNKNOWN;
        *ret = g_strdup_printf("%s was reported as %saffected", kernel->release, is_affected ? "" : "not ");
        return is_affected ? ANSWER_YES : ANSWER_NO;
}

static Answer judge_number(
                const KernelTable *table,
                const KernelFix *fix,
                const Kernel *kernel,
                Answer introduced,
                char **ret) {
        g_autofree char *fixed = describe_fixed(fix, &kernel->version);

        if (kernel->is_exact && contains(fix->fixed, &kernel->version)) {
                *ret = g_strdup_printf("%s has the fix (first in %s)", kernel->number, fixed);
                return ANSWER_NO;
        }
        if (!number_counts(table, kernel) || introduced == ANSWER_UNKNOWN) {
                *ret =
                                g_strdup_printf("the number of %s does not show whether it has %s",
                                                kernel->release, fix->changes ?: "the fix");
                return ANSWER_UNKNOWN;
        }
        if (contains_series(fix->unknown, &kernel->version)) {
                *ret =
                                g_strdup_printf("not known which %u.%u has the fix", kernel->version.parts[0],
                                                kernel->version.parts[1]);
                return ANSWER_UNKNOWN;
        }

        /* No entry of another series counts for this one. */
        *ret = g_strdup_printf(
                        "%s %s; fixed in %s", kernel->number,
                        contains_series(fix->partly, &kernel->version) &&
                                                        contains(fix->partly, &kernel->version)
                                        ? "has only some of the changes, which made it worse for some"
                                        : "does not have the fix",
                        fixed);
        return ANSWER_YES;
}

Answer kernel_judge(
                const KernelTable *table,
                const KernelFix *fix,
                const Kernel *kernel,
                char **ret_evidence) {
        bool is_shown = streq(fix->name, FIX_STALL_2025) && kernel->has_fix_2025 != ANSWER_UNKNOWN;
        Answer introduced, reported;

        if (is_shown && kernel->has_fix_2025 == ANSWER_YES) {
                *ret_evidence = g_strdup_printf("the running kernel has the fix: %s", kernel->shown_by);
                return ANSWER_NO;
        }
        if (!kernel->is_version) {
                *ret_evidence = g_strdup_printf("\"%s\" is not a version of Linux", kernel->release);
                return ANSWER_UNKNOWN;
        }

        introduced = was_introduced(table, fix, kernel);
        if (introduced == ANSWER_NO) {
                *ret_evidence = g_strdup_printf(
                                "%s does not have the change that introduced it", kernel->number);
                return ANSWER_NO;
        }
        if (is_shown && introduced == ANSWER_YES) {
                *ret_evidence = g_strdup_printf(
                                "the running kernel does not have the fix: %s", kernel->shown_by);
                return ANSWER_YES;
        }

        reported = judge_reports(fix, kernel, ret_evidence);
        return reported != ANSWER_UNKNOWN ? reported
                                          : judge_number(table, fix, kernel, introduced, ret_evidence);
}

/* Updates */

static bool is_free_of_bugs(const KernelTable *table, const KernelVersion *version) {
        const Kernel kernel = {
                .release = (char *) "",
                .number = (char *) "",
                .is_version = true,
                .is_exact = true,
                .version = *version,
                .has_fix_2025 = ANSWER_UNKNOWN,
        };

        for (size_t i = 0; i < table->fixes->len; i++) {
                const KernelFix *fix = table->fixes->pdata[i];
                g_autofree char *evidence = NULL;

                if (!streq(fix->name, FIX_DIRTYTIME_ZERO) &&
                    kernel_judge(table, fix, &kernel, &evidence) != ANSWER_NO)
                        return false;
        }
        return true;
}

char *kernel_find_update(const KernelTable *table, const Kernel *kernel) {
        const KernelVersion *best = NULL;

        if (!kernel->is_version)
                return NULL;
        for (size_t i = 0; i < table->fixes->len; i++) {
                const KernelFix *fix = table->fixes->pdata[i];

                for (size_t j = 0; j < fix->fixed->len; j++) {
                        const KernelVersion *version = &g_array_index(fix->fixed, KernelVersion, j);

                        if (compare_versions(version, &kernel->version) > 0 &&
                            (!best || compare_versions(version, best) < 0) && is_free_of_bugs(table, version))
                                best = version;
                }
        }
        return best ? version_format(best) : NULL;
}
