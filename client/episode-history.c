/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "episode-history.h"

#include <stdio.h>

#include "client.h"
#include "evidence.h"
#include "journal.h"
#include "messages.h"
#include "values.h"

const char *const history_message_ids[] = {
        MESSAGE_EPISODE_STARTED,
        MESSAGE_EPISODE_ENDED,
        MESSAGE_SYNC_STARTED,
        MESSAGE_SYNC_FINISHED,
        MESSAGE_SYNC_STALLED,
        MESSAGE_SYNC_JUDGED,
        NULL,
};

/* Parts: the entries about one episode or one sync, the newest first */

/* Of an entry, to which the texts belong. To look fields up in a GVariant takes much longer. */
typedef struct Field {
        const char *name, *value;
} Field;

typedef struct Parts {
        const char *boot, *pid; /* of the daemon */
        uint64_t number;        /* of the episode or sync, counted by that daemon */
        uint64_t start_usec;
        uint64_t episode;      /* of a sync: the number of its episode, or 0 */
        uint64_t episode_usec; /* and when the journal got the entry that says so */
        GPtrArray *entries;    /* of GArray of Field */
} Parts;

static void parts_free(Parts *parts) {
        g_ptr_array_unref(parts->entries);
        g_free(parts);
}

static GPtrArray *parts_list_new(void) {
        return g_ptr_array_new_with_free_func((GDestroyNotify) parts_free);
}

static GArray *fields_of(GVariant *entry) {
        GArray *fields = g_array_new(false, false, sizeof(Field));
        GVariantIter iter;
        Field field;

        g_variant_iter_init(&iter, entry);
        while (g_variant_iter_next(&iter, "{&s&s}", &field.name, &field.value))
                g_array_append_val(fields, field);
        return fields;
}

/* The values of a field that may occur several times, in the newest entry that has it. */
static GPtrArray *parts_values(const Parts *parts, const char *name) {
        GPtrArray *values = g_ptr_array_new();

        for (size_t i = 0; i < parts->entries->len && values->len == 0; i++) {
                const GArray *fields = parts->entries->pdata[i];

                for (size_t k = 0; k < fields->len; k++) {
                        const Field *field = &g_array_index(fields, Field, k);

                        if (streq(field->name, name))
                                g_ptr_array_add(values, (char *) field->value);
                }
        }
        return values;
}

/* A field of the newest entry that has it; "" if none does. */
static const char *parts_field(const Parts *parts, const char *name) {
        g_autoptr(GPtrArray) values = parts_values(parts, name);

        return values->len > 0 ? values->pdata[0] : "";
}

static bool parts_number(const Parts *parts, const char *name, uint64_t *ret) {
        guint64 number;

        if (!g_ascii_string_to_unsigned(parts_field(parts, name), 10, 0, G_MAXUINT64, &number, NULL))
                return false;
        *ret = number;
        return true;
}

static uint64_t parts_number_or_zero(const Parts *parts, const char *name) {
        uint64_t number = 0;

        (void) parts_number(parts, name, &number);
        return number;
}

static Parts *parts_list_find(const GPtrArray *list, const char *boot, uint64_t number, uint64_t start_usec) {
        for (size_t i = list->len; i-- > 0;) {
                Parts *parts = list->pdata[i];

                if (parts->start_usec == start_usec && parts->number == number && streq(parts->boot, boot))
                        return parts;
        }
        return NULL;
}

/* Adds an entry to the parts of its episode or sync, which start_usec identifies within a boot. */
static void parts_list_add(GPtrArray *list, GVariant *entry, const char *number_field) {
        const char *boot = lookup_string(entry, "_BOOT_ID") ?: "", *pid = lookup_string(entry, "_PID") ?: "";
        uint64_t number, start_usec, episode;
        Parts *parts;

        if (!journal_number(entry, "START_USEC", &start_usec) ||
            !journal_number(entry, number_field, &number) || !journal_number(entry, "EPISODE", &episode))
                return;

        parts = parts_list_find(list, boot, number, start_usec);
        if (!parts) {
                parts = g_new(Parts, 1);
                *parts = (Parts){ .boot = boot,
                                  .pid = pid,
                                  .number = number,
                                  .start_usec = start_usec,
                                  .entries = g_ptr_array_new_with_free_func((GDestroyNotify) g_array_unref) };
                g_ptr_array_add(list, parts);
        }
        if (parts->episode == 0 && journal_number(entry, JOURNAL_TIME, &parts->episode_usec))
                parts->episode = episode;
        g_ptr_array_add(parts->entries, fields_of(entry));
}

/* Whether a daemon said that the sync is part of an episode with this number. */
static bool sync_may_be_of(const Parts *sync, const Parts *episode) {
        return sync->episode == episode->number && streq(sync->boot, episode->boot) &&
               streq(sync->pid, episode->pid) && sync->episode_usec >= episode->start_usec;
}

/* Two daemons of a boot may have had the same process id, one after the other: the sync is of the last such
 * episode then. A sync may have begun before its episode. */
static bool sync_is_of(const Parts *sync, const Parts *episode, const GPtrArray *episodes) {
        if (!sync_may_be_of(sync, episode))
                return false;
        for (size_t i = 0; i < episodes->len; i++) {
                const Parts *other = episodes->pdata[i];

                if (other->start_usec > episode->start_usec && sync_may_be_of(sync, other))
                        return false;
        }
        return true;
}

/* Parts as dictionaries of the bus */

static void add_string(GVariantBuilder *builder, const char *key, const char *value) {
        g_variant_builder_add(builder, "{sv}", key, g_variant_new_string(value));
}

static void add_usec(GVariantBuilder *builder, const char *key, uint64_t value) {
        g_variant_builder_add(builder, "{sv}", key, g_variant_new_uint64(value));
}

static void add_count(GVariantBuilder *builder, const char *key, uint64_t value) {
        g_variant_builder_add(builder, "{sv}", key, g_variant_new_uint32((uint32_t) MIN(value, UINT32_MAX)));
}

static void add_boolean(GVariantBuilder *builder, const char *key, bool value) {
        g_variant_builder_add(builder, "{sv}", key, g_variant_new_boolean(value));
}

/* A value of a field as an element of a list; NULL if it is malformed. */
typedef GVariant *(*parse_t)(const char *value);

/* Adds a list of the values of a field. The journal does not keep their order. */
static void add_list(
                GVariantBuilder *builder,
                const char *key,
                const Parts *parts,
                const char *field,
                parse_t parse,
                GCompareFunc compare) {
        g_autoptr(GPtrArray) values = parts_values(parts, field), elements = g_ptr_array_new();
        GVariantBuilder list;

        for (size_t i = 0; i < values->len; i++) {
                GVariant *element = parse(values->pdata[i]);

                if (element)
                        g_ptr_array_add(elements, element);
        }
        g_ptr_array_sort(elements, compare);
        g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
        for (size_t i = 0; i < elements->len; i++)
                g_variant_builder_add_value(&list, elements->pdata[i]);
        g_variant_builder_add(builder, "{sv}", key, g_variant_builder_end(&list));
}

static void add_evidence(GVariantBuilder *builder, const Parts *parts) {
        GVariantBuilder evidence;

        g_variant_builder_init(&evidence, G_VARIANT_TYPE_VARDICT);
        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++) {
                const EvidenceInfo *info = &evidence_table[id];
                const char *text = parts_field(parts, info->field);
                uint64_t number;

                if (info->unit == EVIDENCE_UNIT_PERCENT && *text)
                        g_variant_builder_add(
                                        &evidence, "{sv}", info->key,
                                        g_variant_new_double(g_ascii_strtod(text, NULL)));
                else if (parts_number(parts, info->field, &number))
                        add_usec(&evidence, info->key, number);
        }
        g_variant_builder_add(builder, "{sv}", "Evidence", g_variant_builder_end(&evidence));
}

/* "RESULT DURATION_USEC TYPE MOUNTPOINT" */
static GVariant *parse_filesystem(const char *value) {
        g_auto(GStrv) words = g_strsplit(value, " ", 4);
        GVariantBuilder filesystem;

        if (g_strv_length(words) != 4)
                return NULL;
        g_variant_builder_init(&filesystem, G_VARIANT_TYPE_VARDICT);
        add_string(&filesystem, "Mountpoint", words[3]);
        add_string(&filesystem, "Type", words[2]);
        add_usec(&filesystem, "DurationUSec", g_ascii_strtoull(words[1], NULL, 10));
        add_string(&filesystem, "Result", words[0]);
        return g_variant_builder_end(&filesystem);
}

/* Those that were not synced come first. */
static int compare_filesystems(const void *a, const void *b) {
        return filesystem_is_ok(*(GVariant *const *) a) - filesystem_is_ok(*(GVariant *const *) b);
}

/* "PID START_TIME RUNNING_USEC CPU_USEC NAME" */
static GVariant *parse_worker(const char *value) {
        g_auto(GStrv) words = g_strsplit(value, " ", 5);
        GVariantBuilder worker;

        if (g_strv_length(words) != 5)
                return NULL;
        g_variant_builder_init(&worker, G_VARIANT_TYPE_VARDICT);
        add_string(&worker, "Name", words[4]);
        add_count(&worker, "PID", g_ascii_strtoull(words[0], NULL, 10));
        add_usec(&worker, "StartTime", g_ascii_strtoull(words[1], NULL, 10));
        add_usec(&worker, "RunningUSec", g_ascii_strtoull(words[2], NULL, 10));
        add_usec(&worker, "CPUUSec", g_ascii_strtoull(words[3], NULL, 10));
        return g_variant_builder_end(&worker);
}

/* The longest run comes first. */
static int compare_runs(const void *a, const void *b) {
        uint64_t one = lookup_number_or_zero(*(GVariant *const *) a, "RunningUSec"),
                 other = lookup_number_or_zero(*(GVariant *const *) b, "RunningUSec");

        return one > other ? -1 : one < other;
}

static void add_also_spinning(GVariantBuilder *builder, const Parts *parts) {
        g_autoptr(GPtrArray) names = parts_values(parts, "ALSO_SPINNING");

        g_variant_builder_add(
                        builder, "{sv}", "AlsoSpinning",
                        g_variant_new_strv((const char *const *) names->pdata, (gssize) names->len));
}

/* "REALTIME_USEC,SPINNING,WAITING", separated by spaces. */
static void add_samples(GVariantBuilder *builder, const Parts *parts) {
        g_auto(GStrv) words = g_strsplit(parts_field(parts, "WBWATCH_SAMPLES"), " ", -1);
        GVariantBuilder samples;

        g_variant_builder_init(&samples, G_VARIANT_TYPE("a(tuu)"));
        for (char **word = words; *word; word++) {
                guint64 usec;
                unsigned n_spinning, n_waiting;

                if (sscanf(*word, "%" G_GUINT64_FORMAT ",%u,%u", &usec, &n_spinning, &n_waiting) == 3)
                        g_variant_builder_add(&samples, "(tuu)", usec, n_spinning, n_waiting);
        }
        g_variant_builder_add(builder, "{sv}", "Samples", g_variant_builder_end(&samples));
}

static GVariant *sync_from_parts(const Parts *parts) {
        GVariantBuilder sync;
        const char *rule = parts_field(parts, "RULE"), *helped = parts_field(parts, "HELPED");

        g_variant_builder_init(&sync, G_VARIANT_TYPE_VARDICT);
        add_usec(&sync, "Id", parts->number);
        add_string(&sync, "Rule", rule);
        add_usec(&sync, "StartUSec", parts->start_usec);
        add_usec(&sync, "DurationUSec", parts_number_or_zero(parts, "DURATION_USEC"));
        add_string(&sync, "Result", parts_field(parts, "RESULT"));
        add_string(&sync, "Helped", *helped ? helped : "pending");
        add_string(&sync, "Method", parts_field(parts, "METHOD"));
        add_boolean(&sync, "Requested", *rule == '\0');
        add_boolean(&sync, "DryRun", streq(parts_field(parts, "DRY_RUN"), "yes"));
        add_evidence(&sync, parts);
        add_list(&sync, "Filesystems", parts, "FILESYSTEM", parse_filesystem, compare_filesystems);
        return g_variant_builder_end(&sync);
}

/* Returns how many of them were no dry runs. */
static uint64_t add_syncs(
                GVariantBuilder *builder,
                const Parts *episode,
                const GPtrArray *episodes,
                const GPtrArray *syncs) {
        GVariantBuilder list;
        uint64_t n = 0;

        g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
        for (size_t i = syncs->len; i-- > 0;)
                if (sync_is_of(syncs->pdata[i], episode, episodes)) {
                        g_variant_builder_add_value(&list, sync_from_parts(syncs->pdata[i]));
                        if (!streq(parts_field(syncs->pdata[i], "DRY_RUN"), "yes"))
                                n++;
                }
        g_variant_builder_add(builder, "{sv}", "Syncs", g_variant_builder_end(&list));
        return n;
}

static GVariant *episode_from_parts(const Parts *parts, const GPtrArray *episodes, const GPtrArray *syncs) {
        const char *outcome = parts_field(parts, "OUTCOME");
        GVariantBuilder episode;
        uint64_t end_usec, n_syncs;

        g_variant_builder_init(&episode, G_VARIANT_TYPE_VARDICT);
        add_usec(&episode, "Id", parts->number);
        add_string(&episode, "Rule", parts_field(parts, "RULE"));
        add_string(&episode, "Work", parts_field(parts, "WORK"));
        add_usec(&episode, "StartUSec", parts->start_usec);
        if (parts_number(parts, "END_USEC", &end_usec))
                add_usec(&episode, "EndUSec", end_usec);
        add_string(&episode, "Outcome", *outcome ? outcome : OUTCOME_UNKNOWN);
        add_count(&episode, "WorkerCount", parts_number_or_zero(parts, "WORKERS"));
        add_count(&episode, "SpinningMax", parts_number_or_zero(parts, "SPINNING_MAX"));
        add_count(&episode, "WaitingMax", parts_number_or_zero(parts, "WAITING_MAX"));
        add_also_spinning(&episode, parts);
        add_evidence(&episode, parts);
        add_samples(&episode, parts);
        add_list(&episode, "Workers", parts, "WORKER", parse_worker, compare_runs);
        n_syncs = add_syncs(&episode, parts, episodes, syncs);
        (void) parts_number(parts, "SYNCS", &n_syncs);
        add_count(&episode, "SyncCount", n_syncs);
        add_string(&episode, "BootID", parts->boot);
        add_boolean(&episode, "FromJournal", true);
        return g_variant_builder_end(&episode);
}

static int compare_starts(const void *a, const void *b) {
        uint64_t one = lookup_number_or_zero(*(GVariant *const *) a, "StartUSec"),
                 other = lookup_number_or_zero(*(GVariant *const *) b, "StartUSec");

        return one < other ? -1 : one > other;
}

/* The newest ones, in the order of their start. */
static GVariant *sorted_list(GPtrArray *episodes, size_t max) {
        GVariantBuilder list;

        g_ptr_array_sort(episodes, compare_starts);
        g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
        for (size_t i = episodes->len > max ? episodes->len - max : 0; i < episodes->len; i++)
                g_variant_builder_add_value(&list, episodes->pdata[i]);
        return g_variant_ref_sink(g_variant_builder_end(&list));
}

static GPtrArray *list_new(void) {
        return g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
}

GVariant *history_from_journal(const GPtrArray *entries) {
        g_autoptr(GPtrArray) episodes = parts_list_new(), syncs = parts_list_new(), list = list_new();

        for (size_t i = 0; i < entries->len; i++) {
                GVariant *entry = entries->pdata[i];

                if (lookup_is(entry, "MESSAGE_ID", MESSAGE_EPISODE_STARTED) ||
                    lookup_is(entry, "MESSAGE_ID", MESSAGE_EPISODE_ENDED))
                        parts_list_add(episodes, entry, "EPISODE");
                else
                        parts_list_add(syncs, entry, "SYNC");
        }
        for (size_t i = 0; i < episodes->len; i++)
                g_ptr_array_add(list,
                                g_variant_ref_sink(episode_from_parts(episodes->pdata[i], episodes, syncs)));
        return sorted_list(list, SIZE_MAX);
}

/* One list */

static bool passes(GVariant *episode, const HistoryFilter *filter) {
        uint64_t start_usec = lookup_number_or_zero(episode, "StartUSec");

        return start_usec >= filter->since_usec && start_usec <= filter->until_usec;
}

static bool daemon_has(GVariant *daemon, const char *boot_id, GVariant *episode) {
        if (!daemon || !lookup_is(episode, "BootID", boot_id))
                return false;
        for (size_t i = 0; i < g_variant_n_children(daemon); i++) {
                g_autoptr(GVariant) other = g_variant_get_child_value(daemon, i);

                if (lookup_number_or_zero(other, "StartUSec") == lookup_number_or_zero(episode, "StartUSec"))
                        return true;
        }
        return false;
}

/* The daemon's episode, with the members that the list has in addition. */
static GVariant *extended(GVariant *episode, const char *boot_id) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
        for (size_t i = 0; i < g_variant_n_children(episode); i++) {
                g_autoptr(GVariant) member = g_variant_get_child_value(episode, i);

                g_variant_builder_add_value(&builder, member);
        }
        add_string(&builder, "BootID", boot_id);
        add_boolean(&builder, "FromJournal", false);
        return g_variant_ref_sink(g_variant_builder_end(&builder));
}

GVariant *history_merge(
                GVariant *journal,
                GVariant *daemon,
                const char *boot_id,
                const HistoryFilter *filter) {
        g_autoptr(GPtrArray) list = list_new();

        for (size_t i = 0; i < g_variant_n_children(journal); i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(journal, i);

                if (passes(episode, filter) && !daemon_has(daemon, boot_id, episode))
                        g_ptr_array_add(list, g_variant_ref(episode));
        }
        for (size_t i = 0; daemon && i < g_variant_n_children(daemon); i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(daemon, i);

                if (passes(episode, filter))
                        g_ptr_array_add(list, extended(episode, boot_id));
        }
        return sorted_list(list, filter->max);
}
