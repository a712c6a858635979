/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "verdict.h"

#include <inttypes.h>

#include "client.h"
#include "glob.h"
#include "values.h"

/* After this many automatic syncs in a row that did not help, wbwatchd reports that they do not help here. */
#define SYNCS_UNHELPFUL_REPORTED 5

/* A pause that has lasted this long may have been forgotten. */
#define PAUSE_LONG_USEC USEC_PER_DAY

Facts facts_new(const Terminal *terminal, GVariant *properties, GVariant *episodes, uint64_t now_usec) {
        return (Facts){
                .terminal = terminal,
                .properties = properties,
                .episode = episodes ? list_newest(episodes) : NULL,
                .knows_episodes = episodes,
                .state = lookup_string(properties, "State") ?: "unknown",
                .now_usec = now_usec,
        };
}

void facts_done(Facts *facts) {
        g_clear_pointer(&facts->episode, g_variant_unref);
}

const char *fault_of(GVariant *properties) {
        const char *fault = properties ? lookup_string(properties, "Fault") : NULL;

        return fault && *fault ? fault : NULL;
}

bool facts_are_ongoing(const Facts *facts) {
        return facts->episode && lookup_is(facts->episode, "Outcome", "ongoing");
}

static size_t count_inhibitors(GVariant *properties) {
        g_autoptr(GVariant) inhibitors = lookup_list(properties, "Inhibitors");

        return inhibitors ? g_variant_n_children(inhibitors) : 0;
}

bool syncs_are_suspended(GVariant *properties) {
        return lookup_is(properties, "State", "paused") || count_inhibitors(properties) > 0 ||
               lookup_number_or_zero(properties, "PausedUntilUSec") > 0;
}

static bool facts_are_dry_run(const Facts *facts) {
        return lookup_true(facts->properties, "DryRun");
}

/* How long the member, a point in time, has passed. */
static uint64_t facts_age(const Facts *facts, const char *name) {
        return usec_subtract(facts->now_usec, lookup_number_or_zero(facts->properties, name));
}

static bool is_paused_long(const Facts *facts) {
        uint64_t since_usec;

        return streq(facts->state, "paused") &&
               lookup_number(facts->properties, "StateSinceUSec", &since_usec) &&
               usec_subtract(facts->now_usec, since_usec) > PAUSE_LONG_USEC;
}

static bool matches_nothing(GVariant *properties) {
        const char *glob = lookup_string(properties, "Glob");

        return glob && !glob_can_match_kworker(glob);
}

/* wbwatchd forgets this after an hour without a stall. */
static bool is_outlived(const Facts *facts) {
        uint64_t n_unhelpful = 1;

        (void) lookup_number(facts->properties, "SyncsUnhelpful", &n_unhelpful);
        return n_unhelpful > 0 && facts->episode && lookup_is(facts->episode, "Outcome", "outlived");
}

static bool is_unhelpful(const Facts *facts) {
        return lookup_number_or_zero(facts->properties, "SyncsUnhelpful") >= SYNCS_UNHELPFUL_REPORTED;
}

static bool filesystem_hangs(GVariant *filesystem) {
        return lookup_is(filesystem, "Result", "timeout") || lookup_is(filesystem, "Result", "pending");
}

/* Whether its data is still being written, or was written after the last sync had given it up. */
static bool filesystem_is_late(const Facts *facts, GVariant *filesystem) {
        return lookup_is(filesystem, "Result", "slow") ||
               lookup_number_or_zero(filesystem, "DurationUSec") >
                               lookup_number_or_zero(facts->properties, "LastSyncDurationUSec");
}

/* What has become of a sync that stalled, which counts as ended. The result of a filesystem changes when its
 * sync returns after all; a sync(2) leaves no such trace. VERDICT_WELL: nothing hangs. */
static Verdict judge_last_sync(const Facts *facts) {
        g_autoptr(GVariant) filesystems = lookup_list(facts->properties, "FilesystemResults");
        Verdict verdict = VERDICT_SYNC_STALLED;

        if (!lookup_is(facts->properties, "LastSyncResult", "stalled"))
                return VERDICT_WELL;
        for (size_t i = 0; filesystems && i < g_variant_n_children(filesystems); i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);

                if (filesystem_hangs(filesystem))
                        return VERDICT_SYNC_HANGS;
                if (filesystem_is_late(facts, filesystem))
                        verdict = VERDICT_WELL;
        }
        return verdict;
}

Verdict verdict_of(const Facts *facts) {
        Verdict last_sync = judge_last_sync(facts);

        if (facts_are_ongoing(facts))
                return VERDICT_STUCK;
        if (!facts->knows_episodes)
                return VERDICT_UNKNOWN;
        if (fault_of(facts->properties))
                return VERDICT_FAULT;
        if (matches_nothing(facts->properties))
                return VERDICT_GLOB;
        /* What is known of the last sync is about another one. */
        if (streq(facts->state, "syncing"))
                return VERDICT_SYNCING;
        if (last_sync != VERDICT_WELL)
                return last_sync;
        if (is_unhelpful(facts))
                return VERDICT_UNHELPFUL;
        if (is_outlived(facts))
                return VERDICT_OUTLIVED;
        if (is_paused_long(facts))
                return VERDICT_PAUSED_LONG;
        if (streq(facts->state, "recovery"))
                return VERDICT_RECOVERY;
        if (lookup_number_or_zero(facts->properties, "WorkerCount") == 0 && streq(facts->state, "idle"))
                return VERDICT_WELL;
        return VERDICT_RUNNING; /* also for states of newer daemons */
}

/* The first line of `wbctl status` */

char *describe_workers(GVariant *properties) {
        uint64_t count = lookup_number_or_zero(properties, "WorkerCount"), n_spinning = 0, n_waiting = 0;
        g_autofree char *span = span_format(lookup_number_or_zero(properties, "LongestRunUSec"));
        bool apart = lookup_number(properties, "SpinningCount", &n_spinning) &&
                     lookup_number(properties, "WaitingCount", &n_waiting);
        g_autoptr(GString) out = g_string_new(NULL);

        if (!apart)
                g_string_append_printf(out, "%" PRIu64 " running", count);
        if (n_spinning > 0)
                g_string_append_printf(out, "%" PRIu64 " spinning", n_spinning);
        if (n_waiting > 0)
                g_string_append_printf(out, "%s%" PRIu64 " waiting", n_spinning > 0 ? ", " : "", n_waiting);
        if (apart ? n_spinning + n_waiting == 0 : count == 0)
                return g_strdup("none running");
        g_string_append_printf(out, "; longest run %s", span);
        return g_string_free(g_steal_pointer(&out), FALSE);
}

static void sync_append(GString *out, const Facts *facts) {
        g_autofree char *span = span_format(facts_age(facts, "StateSinceUSec"));

        g_string_append_printf(out, "A sync has been under way for %s.", span);
}

static void stalled_append(GString *out, const Facts *facts, bool hangs) {
        g_autofree char *span = span_format(facts_age(facts, "LastSyncUSec"));

        g_string_append_printf(
                        out,
                        hangs ? "A sync has not returned for %s: a disk or a filesystem does not answer."
                              : "The last sync, %s ago, stalled: a disk or a filesystem did not answer. "
                                "`wbctl sync` tries again.",
                        span);
}

static void unhelpful_append(GString *out, const Facts *facts) {
        if (is_unhelpful(facts))
                g_string_append_printf(
                                out,
                                "Syncs do not help here: the last %" PRIu64
                                " did not end a stall. At most one per hour follows.",
                                lookup_number_or_zero(facts->properties, "SyncsUnhelpful"));
        else
                g_string_append(out, "Syncs did not end the last stall.");
}

/* What happens next in a stall. */
static void outlook_append(GString *out, const Facts *facts) {
        if (streq(facts->state, "syncing"))
                sync_append(out, facts);
        else if (count_inhibitors(facts->properties) > 0)
                g_string_append(out,
                                "`wbctl sync` syncs now, `wbctl inhibitors` lists who suspends automatic "
                                "syncs.");
        else if (syncs_are_suspended(facts->properties))
                g_string_append(out, "`wbctl sync` syncs now, `wbctl resume` ends the pause.");
        else if (facts_are_dry_run(facts))
                g_string_append(out, "`wbctl sync` syncs now.");
        else if (judge_last_sync(facts) == VERDICT_SYNC_HANGS)
                stalled_append(out, facts, true);
        else if (is_unhelpful(facts))
                unhelpful_append(out, facts);
        else
                g_string_append(out, streq(facts->state, "recovery")
                                                     ? "A sync has ended; another one follows after the "
                                                       "recovery time."
                                                     : "A sync follows.");
}

static void stuck_append(GString *out, const Facts *facts) {
        g_autofree char *workers = describe_workers(facts->properties), *work = NULL;

        g_string_append(out, "Kernel workers are stuck");
        if (lookup_string(facts->episode, "Work")) {
                work = lookup_escaped(facts->terminal, facts->episode, "Work");
                g_string_append_printf(out, " in %s", work);
        }
        g_string_append_printf(out, " (%s). ", workers);
        outlook_append(out, facts);
}

static void fault_append(GString *out, const Facts *facts) {
        g_autofree char *fault = lookup_escaped(facts->terminal, facts->properties, "Fault");

        g_string_append_printf(
                        out, "Stalls may go undetected: %s%s", fault,
                        g_str_has_suffix(fault, ".") ? "" : ".");
}

/* Whether the episode's last sync was not made, and none was made later. */
static bool last_was_dry_run(const Facts *facts) {
        g_autoptr(GVariant) syncs = facts->episode ? lookup_list(facts->episode, "Syncs") : NULL;
        g_autoptr(GVariant) last = syncs ? list_newest(syncs) : NULL;

        return last && lookup_true(last, "DryRun") &&
               lookup_number_or_zero(last, "StartUSec") >
                               lookup_number_or_zero(facts->properties, "LastSyncUSec");
}

static void sentence_append(GString *out, const Facts *facts, Verdict verdict) {
        g_autofree char *workers = describe_workers(facts->properties), *span = NULL;

        switch (verdict) {
        case VERDICT_WELL:
                g_string_append(out, "All is well: no matching worker is running.");
                break;
        case VERDICT_RUNNING:
                g_string_append_printf(out, "Not stuck; matching workers: %s.", workers);
                break;
        case VERDICT_RECOVERY:
                g_string_append_printf(
                                out, "Recovery time after a %s; matching workers: %s.",
                                last_was_dry_run(facts) ? "dry run" : "sync", workers);
                break;
        case VERDICT_SYNCING:
                sync_append(out, facts);
                break;
        case VERDICT_SYNC_HANGS:
        case VERDICT_SYNC_STALLED:
                stalled_append(out, facts, verdict == VERDICT_SYNC_HANGS);
                break;
        case VERDICT_UNKNOWN:
                g_string_append_printf(
                                out, "It is not known whether workers are stuck; matching workers: %s.",
                                workers);
                break;
        case VERDICT_STUCK:
                stuck_append(out, facts);
                break;
        case VERDICT_UNHELPFUL:
        case VERDICT_OUTLIVED:
                unhelpful_append(out, facts);
                break;
        case VERDICT_PAUSED_LONG:
                span = span_format(facts_age(facts, "StateSinceUSec"));
                g_string_append_printf(
                                out,
                                count_inhibitors(facts->properties) > 0
                                                ? "The pause has lasted %s; `wbctl inhibitors` lists who "
                                                  "makes "
                                                  "it last."
                                                : "The pause has lasted %s; `wbctl resume` ends it.",
                                span);
                break;
        case VERDICT_FAULT:
                fault_append(out, facts);
                break;
        case VERDICT_GLOB:
                g_string_append(out, "No stall can be detected: Glob matches no kernel worker.");
                break;
        }
}

static Colour verdict_colour(Verdict verdict, bool syncs_automatically) {
        switch (verdict) {
        case VERDICT_WELL:
                return syncs_automatically ? COLOUR_GREEN : COLOUR_YELLOW;
        case VERDICT_RUNNING:
        case VERDICT_RECOVERY:
        case VERDICT_SYNCING:
                return COLOUR_YELLOW;
        default:
                return COLOUR_RED;
        }
}

void headline_append(GString *out, const Facts *facts) {
        const char *glyph = facts->terminal->utf8 ? "● " : "";
        g_autoptr(GString) words = g_string_new(NULL);
        bool paused = syncs_are_suspended(facts->properties), dry_run = facts_are_dry_run(facts);
        size_t n_inhibitors = count_inhibitors(facts->properties);
        Verdict verdict = verdict_of(facts);

        sentence_append(words, facts, verdict);
        if (paused && n_inhibitors == 0)
                g_string_append(words, " Paused: no automatic syncs.");
        else if (paused)
                g_string_append_printf(
                                words, " Paused by %zu inhibitor%s: no automatic syncs.", n_inhibitors,
                                plural(n_inhibitors));
        if (dry_run)
                g_string_append(words, " Dry run: no automatic syncs.");

        g_string_append_printf(
                        out, "%s%s", colour_on(facts->terminal, verdict_colour(verdict, !paused && !dry_run)),
                        glyph);
        text_wrap(out, words->str, (size_t) g_utf8_strlen(glyph, -1), facts->terminal->columns);
        g_string_append_printf(out, "%s\n", colour_off(facts->terminal));
}

/* The line of `wbctl health` */

/* What is done about a stall, in a few words. */
static const char *describe_response(const Facts *facts) {
        if (streq(facts->state, "syncing"))
                return "; syncing";
        if (syncs_are_suspended(facts->properties))
                return "; paused";
        if (facts_are_dry_run(facts))
                return "; dry run";
        return is_unhelpful(facts) ? "; syncs do not help" : "";
}

static char *stuck_summarize(const Facts *facts) {
        g_autofree char *span = describe_episode_length(facts->episode, facts->now_usec);
        uint64_t n = lookup_number_or_zero(facts->properties, "WorkerCount");

        /* Between two of its workers, none may run. */
        if (n == 0)
                return g_strdup_printf("workers stuck for %s%s", span, describe_response(facts));
        return g_strdup_printf(
                        "%" PRIu64 " worker%s stuck for %s%s", n, plural(n), span, describe_response(facts));
}

char *verdict_summarize(const Facts *facts) {
        uint64_t n_unhelpful = lookup_number_or_zero(facts->properties, "SyncsUnhelpful");
        g_autofree char *fault = lookup_escaped(facts->terminal, facts->properties, "Fault"), *span = NULL;

        switch (verdict_of(facts)) {
        case VERDICT_STUCK:
                return stuck_summarize(facts);
        case VERDICT_SYNC_HANGS:
                span = span_format(facts_age(facts, "LastSyncUSec"));
                return g_strdup_printf("a sync has not returned for %s: a disk does not answer", span);
        case VERDICT_SYNC_STALLED:
                span = span_format(facts_age(facts, "LastSyncUSec"));
                return g_strdup_printf("the last sync, %s ago, stalled: a disk did not answer", span);
        case VERDICT_UNHELPFUL:
                return g_strdup_printf("the last %" PRIu64 " syncs did not end a stall", n_unhelpful);
        case VERDICT_OUTLIVED:
                return g_strdup("syncs did not end the last stall");
        case VERDICT_PAUSED_LONG:
                span = span_format(facts_age(facts, "StateSinceUSec"));
                return g_strdup_printf("paused for %s: no automatic syncs", span);
        case VERDICT_FAULT:
                return g_strdup_printf("stalls may go undetected: %s", fault);
        case VERDICT_GLOB:
                return g_strdup("Glob matches no kernel worker");
        case VERDICT_UNKNOWN:
                return g_strdup("wbwatchd did not list its episodes");
        default:
                return g_strdup_printf(
                                "no stall%s%s", syncs_are_suspended(facts->properties) ? "; paused" : "",
                                facts_are_dry_run(facts) ? "; dry run" : "");
        }
}
