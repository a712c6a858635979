/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "journal.h"

#include <inttypes.h>
#include <systemd/sd-journal.h>

#include "terminal.h"

#define UNIT "wbwatchd.service"

/* An entry of wbwatchd has 12 KiB at most: LOG_FIELDS_MAX, and its line with what precedes it. The journal
 * adds its own fields. */
#define ENTRY_MAX (128 * 1024)

/* The child: it writes each entry behind its size, and at the end an int, 0 or a negative errno. */

static int open_journal(const JournalQuery *query, sd_journal **ret) {
        return query->directory ? sd_journal_open_directory(ret, query->directory, 0)
                                : sd_journal_open(ret, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
}

static int add_match(sd_journal *journal, const char *field, const char *value) {
        g_autofree char *match = g_strdup_printf("%s=%s", field, value);

        return sd_journal_add_match(journal, match, 0);
}

/* Matches entries of the daemon. The journal vouches for the unit and the user, as nobody else can: any
 * program may send the same message. Started by hand, the daemon has no unit of its own. */
static int match_daemon(sd_journal *journal, bool about_unit) {
        int r;

        r = add_match(journal, "_SYSTEMD_UNIT", UNIT);
        if (r >= 0)
                r = sd_journal_add_disjunction(journal);
        if (r >= 0)
                r = add_match(journal, "_UID", "0");
        if (r >= 0)
                r = add_match(journal, "SYSLOG_IDENTIFIER", "wbwatchd");
        if (r < 0 || !about_unit)
                return r;

        r = sd_journal_add_disjunction(journal);
        if (r >= 0)
                r = add_match(journal, "_PID", "1");
        if (r >= 0)
                r = add_match(journal, "UNIT", UNIT);
        return r;
}

static int match_query(sd_journal *journal, const JournalQuery *query, const char *boot_id) {
        int r;

        r = match_daemon(journal, !query->message_ids);
        if (r >= 0 && query->message_ids) {
                r = sd_journal_add_conjunction(journal);
                for (const char *const *id = query->message_ids; r >= 0 && *id; id++)
                        r = add_match(journal, "MESSAGE_ID", *id);
        }
        if (r >= 0 && boot_id) {
                r = sd_journal_add_conjunction(journal);
                if (r >= 0)
                        r = add_match(journal, "_BOOT_ID", boot_id);
        }
        return r;
}

static int get_boot_id(sd_journal *journal, char boot_id[static SD_ID128_STRING_MAX]) {
        sd_id128_t id;
        uint64_t usec;
        int r;

        r = sd_journal_get_monotonic_usec(journal, &usec, &id);
        if (r >= 0)
                (void) sd_id128_to_string(id, boot_id);
        return r;
}

/* Moves from any entry of a boot to the last one of the boot before. Returns 0 if there is none. */
static int go_to_boot_before(sd_journal *journal, const char *boot_id) {
        char other[SD_ID128_STRING_MAX];
        int r;

        r = add_match(journal, "_BOOT_ID", boot_id);
        if (r >= 0)
                r = sd_journal_seek_head(journal);
        if (r >= 0)
                r = sd_journal_next(journal);
        sd_journal_flush_matches(journal);

        while (r > 0) {
                r = sd_journal_previous(journal);
                if (r <= 0)
                        return r;
                r = get_boot_id(journal, other);
                if (r < 0 || !streq(other, boot_id))
                        return r < 0 ? r : 1;
                r = 1;
        }
        return r;
}

/* The boot this many before the newest one, whose last entry is the current one. */
static int find_boot(sd_journal *journal, unsigned n_before, char boot_id[static SD_ID128_STRING_MAX]) {
        int r;

        r = get_boot_id(journal, boot_id);
        for (; r >= 0 && n_before > 0; n_before--) {
                r = go_to_boot_before(journal, boot_id);
                if (r == 0)
                        return -ENXIO;
                if (r > 0)
                        r = get_boot_id(journal, boot_id);
        }
        return r;
}

static bool is_wanted(const char *field) {
        static const char *const own[] = { "_BOOT_ID", "_PID", "_SYSTEMD_INVOCATION_ID", "_HOSTNAME" };

        for (size_t i = 0; i < ELEMENTSOF(own); i++)
                if (streq(field, own[i]))
                        return true;
        return *field != '_';
}

static int read_entry(sd_journal *journal, GVariant **ret) {
        g_autoptr(GVariantBuilder) builder = g_variant_builder_new(G_VARIANT_TYPE("a{ss}"));
        g_autofree char *time = NULL;
        const void *data;
        uint64_t usec;
        size_t size;
        int r;

        r = sd_journal_get_realtime_usec(journal, &usec);
        if (r < 0)
                return r;
        time = g_strdup_printf("%" PRIu64, usec);
        g_variant_builder_add(builder, "{ss}", JOURNAL_TIME, time);

        SD_JOURNAL_FOREACH_DATA(journal, data, size) {
                g_autofree char *field = g_utf8_make_valid(data, (gssize) size);
                char *value = strchr(field, '=');

                if (!value)
                        continue;
                *value++ = '\0';
                if (is_wanted(field))
                        g_variant_builder_add(builder, "{ss}", field, value);
        }

        *ret = g_variant_ref_sink(g_variant_builder_end(builder));
        return 0;
}

/* Each is written at once: a disk that hangs later does not withhold it. */
static int write_sized(FILE *out, const void *data, size_t size) {
        (void) fwrite(&size, sizeof(size), 1, out);
        (void) fwrite(data, size, 1, out);
        return fflush(out) == 0 ? 0 : -errno;
}

/* Writes the current entry. Skips one that is damaged or too long. */
static int write_entry(sd_journal *journal, FILE *out) {
        g_autoptr(GVariant) entry = NULL;

        if (read_entry(journal, &entry) < 0 || g_variant_get_size(entry) > ENTRY_MAX)
                return 0;
        return write_sized(out, g_variant_get_data(entry), g_variant_get_size(entry));
}

static bool has_message_id(sd_journal *journal, const char *id) {
        g_autofree char *match = g_strdup_printf("MESSAGE_ID=%s", id);
        const void *data;
        size_t size;

        return sd_journal_get_data(journal, "MESSAGE_ID", &data, &size) >= 0 && size == strlen(match) &&
               memcmp(data, match, size) == 0;
}

static int write_entries(const JournalQuery *query, FILE *out) {
        sd_journal *journal;
        char found[SD_ID128_STRING_MAX];
        const char *boot_id = query->boot;
        int r;

        /* Never closed: the process ends after this. */
        r = open_journal(query, &journal);
        if (r < 0)
                return r;
        r = sd_journal_seek_tail(journal);
        if (r >= 0)
                r = sd_journal_previous(journal);
        if (r <= 0)
                return r < 0 ? r : -ENODATA;

        if (boot_id && strlen(boot_id) != SD_ID128_STRING_MAX - 1) {
                r = find_boot(journal, (unsigned) abs(atoi(boot_id)), found);
                if (r < 0)
                        return r;
                boot_id = found;
        }

        r = match_query(journal, query, boot_id);
        if (r >= 0)
                r = sd_journal_seek_tail(journal);
        for (size_t n = 0; r >= 0 && n < query->max_entries;) {
                uint64_t usec;

                r = sd_journal_previous(journal);
                if (r <= 0 || (sd_journal_get_realtime_usec(journal, &usec) >= 0 && usec < query->since_usec))
                        break;
                r = write_entry(journal, out);
                if (!query->counted_id || has_message_id(journal, query->counted_id))
                        n++;
        }
        return MIN(r, 0);
}

static int run_query(const void *userdata, FILE *out) {
        int r = write_entries(userdata, out);

        return write_sized(out, &r, sizeof(r));
}

/* The parent */

JournalReader *journal_reader_start(const JournalQuery *query) {
        JournalReader *reader = g_new(JournalReader, 1);

        *reader = (JournalReader){
                .run = run_query, .userdata = query, .size_max = SIZE_MAX, .result = g_string_new(NULL)
        };
        jobs_start(reader, 1);
        return reader;
}

/* Adds the entries. Returns the int at the end, or another negative errno if there is none. */
static int parse_result(JournalReader *reader, GPtrArray *entries) {
        g_autoptr(GBytes) bytes = g_string_free_to_bytes(reader->result);
        size_t total, size;
        const char *data = g_bytes_get_data(bytes, &total);

        for (size_t at = 0; total - at >= sizeof(size); at += size) {
                g_autoptr(GBytes) entry = NULL;
                int r;

                memcpy(&size, data + at, sizeof(size));
                at += sizeof(size);
                if (size > total - at)
                        break;
                if (size == sizeof(r)) {
                        memcpy(&r, data + at, sizeof(r));
                        return r;
                }
                entry = g_bytes_new_from_bytes(bytes, at, size);
                g_ptr_array_add(entries, g_variant_ref_sink(g_variant_new_from_bytes(
                                                         G_VARIANT_TYPE("a{ss}"), entry, TRUE)));
        }
        return reader->timed_out ? -ETIMEDOUT : reader->status < 0 ? reader->status : -EIO;
}

GPtrArray *journal_reader_finish(JournalReader *reader, uint64_t deadline_usec, int *ret_error) {
        GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);

        if (!reader)
                return entries;
        jobs_finish(reader, 1, deadline_usec);
        *ret_error = parse_result(reader, entries);
        g_free(reader);
        return entries;
}

char *journal_explain(const JournalQuery *query, int error) {
        g_autofree char *name = query->directory ? g_strdup_printf("The journal in %s", query->directory)
                                                 : g_strdup("The journal");

        switch (error) {
        case -ETIMEDOUT:
                return g_strdup_printf("%s could not be read in time", name);
        case -ENXIO:
                return g_strdup_printf("%s does not have the boot %s", name, query->boot);
        case -ENODATA:
                if (geteuid() == 0)
                        return query->directory ? g_strdup_printf("%s has no entry", name)
                                                : g_strdup("There is no journal on this machine");
                if (!query->directory)
                        return g_strdup("No journal that this user may read: root and the group "
                                        "systemd-journal may");
                return g_strdup_printf("%s has no entry that this user may read", name);
        default:
                return g_strdup_printf("%s cannot be read: %s", name, g_strerror(-error));
        }
}

bool journal_number(GVariant *entry, const char *field, uint64_t *ret) {
        const char *text;
        guint64 number;

        if (!g_variant_lookup(entry, field, "&s", &text) ||
            !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &number, NULL))
                return false;
        *ret = number;
        return true;
}
