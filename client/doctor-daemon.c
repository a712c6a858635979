/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Whether wbwatchd protects this machine, and what it has recorded. */

#include <fnmatch.h>

#include "client.h"
#include "connection.h"
#include "doctor.h"
#include "glob.h"
#include "values.h"

#define UNIT "wbwatchd.service"

/* The names of the workers of a stall; the glob must match them. */
#define STUCK_NAME "kworker/0:1+inode_switch_wbs"
#define STUCK_WORK "inode_switch_wbs"

bool doctor_has_bus(const Doctor *doctor) {
        return destination_is_below(doctor->root);
}

/* Asks for the properties and the episodes, and writes them as text, behind a '+'; or an error message; or
 * nothing, if they are not answered in time. */
int doctor_write_daemon(const void *userdata, FILE *out) {
        Answers answers = {};
        g_autoptr(GVariant) both = NULL;
        g_autofree char *text = NULL;

        if (!doctor_has_bus(userdata))
                return 0;
        answers_read(&answers, 1u << QUESTION_PROPERTIES | 1u << QUESTION_EPISODES);
        if (answers.status != 0) {
                if (!answers.silent)
                        (void) fputs(answers.words, out);
                return 0;
        }
        both = g_variant_ref_sink(
                        g_variant_new("(@a{sv}@aa{sv})", answers.values[QUESTION_PROPERTIES],
                                      answers.values[QUESTION_EPISODES]));
        text = g_variant_print(both, TRUE);
        (void) fprintf(out, "+%s", text);
        return 0;
}

/* Writes the state of the unit file, like "enabled", or nothing. */
int doctor_write_unit(const void *userdata, FILE *out) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        const char *state;

        if (!doctor_has_bus(userdata) || connection_open(&bus) < 0 || !connection_sender() ||
            sd_bus_message_new_method_call(
                            bus, &call, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                            "org.freedesktop.systemd1.Manager", "GetUnitFileState") < 0 ||
            sd_bus_message_set_auto_start(call, false) < 0 || sd_bus_message_append(call, "s", UNIT) < 0 ||
            sd_bus_call(bus, call, ANSWER_TIMEOUT_USEC, NULL, &reply) < 0 ||
            sd_bus_message_read(reply, "s", &state) < 0)
                return 0;
        (void) fputs(state, out);
        return 0;
}

static void add(Doctor *doctor, const char *name, Result result, char *evidence) {
        findings_add(doctor->findings, SECTION_PROTECTION, name, result, evidence);
}

static void check_pause(Doctor *doctor, GVariant *properties) {
        if (lookup_number_or_zero(properties, "PausedUntilUSec") == 0)
                return;
        add(doctor, "pause", RESULT_BAD, g_strdup("wbwatchd makes no automatic syncs while it is paused"));
        findings_advise(doctor->findings, "End the pause: `wbctl resume`.");
}

static void check_inhibitors(Doctor *doctor, GVariant *properties) {
        static const Terminal ascii = {};
        g_autoptr(GVariant) inhibitors = lookup_list(properties, "Inhibitors");
        g_autoptr(GString) who = g_string_new("wbwatchd makes no automatic syncs, inhibited by ");

        if (!inhibitors || g_variant_n_children(inhibitors) == 0)
                return;
        inhibitors_append_briefly(who, &ascii, inhibitors);
        add(doctor, "inhibitors", RESULT_BAD, g_string_free(g_steal_pointer(&who), FALSE));
        findings_advise(doctor->findings,
                        "Find out how long automatic syncs must be inhibited: `wbctl inhibitors`.");
}

/* What to do besides setting it: what the command line sets comes back at the next start. */
static const char *besides_setting(GVariant *properties, SettingId id) {
        static const Terminal ascii = {};
        g_autofree char *origin = setting_origin_format(&ascii, properties, &setting_table[id]);

        return streq(origin, "command line") ? "; and remove it from the command line of wbwatchd, which "
                                               "sets it again at the next start"
                                             : "";
}

static void check_dry_run(Doctor *doctor, GVariant *properties) {
        if (!lookup_true(properties, "DryRun"))
                return;
        add(doctor, "dry run", RESULT_BAD, g_strdup("wbwatchd is in a dry run"));
        findings_advise(doctor->findings, "End the dry run: `wbctl set DryRun=no`%s.",
                        besides_setting(properties, SETTING_DRY_RUN));
}

static void check_fault(Doctor *doctor, GVariant *properties) {
        const char *fault = lookup_string(properties, "Fault");

        if (!fault || !*fault)
                return;
        add(doctor, "fault", RESULT_BAD, g_strdup(fault));
        findings_advise(doctor->findings, "Correct the fault of wbwatchd: %s", fault);
}

static void check_glob(Doctor *doctor, GVariant *properties) {
        const char *glob = lookup_string(properties, "Glob");

        if (!glob || (glob_can_match_kworker(glob) && fnmatch(glob, STUCK_NAME, FNM_EXTMATCH) == 0))
                return;
        add(doctor, "glob", RESULT_BAD, g_strdup_printf("%s does not match %s", glob, STUCK_NAME));
        findings_advise(doctor->findings,
                        "Watch the workers of this bug: `wbctl set 'Glob=kworker/*" STUCK_WORK "*'`%s.",
                        besides_setting(properties, SETTING_GLOB));
}

static void check_episodes(Doctor *doctor, GVariant *episodes) {
        size_t n = 0, n_recovered = 0;

        for (size_t i = 0; i < g_variant_n_children(episodes); i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(episodes, i);
                const char *work = lookup_string(episode, "Work"),
                           *outcome = lookup_string(episode, "Outcome");

                if (!work || !streq(work, STUCK_WORK))
                        continue;
                n++;
                n_recovered += outcome && streq(outcome, "recovered");
        }

        doctor->stalled_before = n > 0;
        findings_add(doctor->findings, SECTION_BEFORE, "episodes", n > 0 ? RESULT_BAD : RESULT_OK,
                     n == 0 ? g_strdup("wbwatchd recorded no stall of " STUCK_WORK " since its start")
                            : g_strdup_printf("wbwatchd recorded %zu stall%s of " STUCK_WORK
                                              "; a sync ended %zu",
                                              n, n == 1 ? "" : "s", n_recovered));
}

static void check_answer(Doctor *doctor, const char *text) {
        g_autoptr(GVariant) both = g_variant_parse(G_VARIANT_TYPE("(a{sv}aa{sv})"), text, NULL, NULL, NULL);
        g_autoptr(GVariant) properties = NULL, episodes = NULL;

        if (!both) {
                add(doctor, "wbwatchd", RESULT_UNKNOWN, g_strdup("its answer cannot be read"));
                return;
        }
        properties = g_variant_get_child_value(both, 0);
        episodes = g_variant_get_child_value(both, 1);

        doctor->daemon_answers = true;
        add(doctor, "wbwatchd", RESULT_OK,
            g_strdup_printf("running, %s", lookup_string(properties, "State") ?: "in an unknown state"));
        check_pause(doctor, properties);
        check_inhibitors(doctor, properties);
        check_dry_run(doctor, properties);
        check_fault(doctor, properties);
        check_glob(doctor, properties);
        check_episodes(doctor, episodes);
}

static void check_unit(Doctor *doctor, const char *state) {
        /* Not "enabled-runtime", which a reboot ends. */
        bool is_enabled = streq(state, "enabled");

        add(doctor, "at boot", is_enabled ? RESULT_OK : RESULT_BAD, g_strdup_printf(UNIT " is %s", state));
        if (!is_enabled)
                findings_advise(doctor->findings,
                                "Start wbwatchd at each boot: `systemctl enable --now wbwatchd`.");
}

void doctor_check_daemon(Doctor *doctor) {
        const Job *daemon = &doctor->jobs[JOB_DAEMON], *unit = &doctor->jobs[JOB_UNIT];
        const char *answer = daemon->result->str;

        if (!doctor_has_bus(doctor))
                add(doctor, "wbwatchd", RESULT_UNKNOWN, g_strdup("not examined with --root"));
        else if (daemon->status != 0)
                add(doctor, "wbwatchd", RESULT_UNKNOWN, doctor_job_failure(daemon));
        else if (daemon->timed_out || !*answer)
                add(doctor, "wbwatchd", RESULT_UNKNOWN, g_strdup("it or the bus did not answer in time"));
        else if (*answer == '+')
                check_answer(doctor, answer + 1);
        else
                add(doctor, "wbwatchd", RESULT_BAD, g_strndup(answer, strcspn(answer, "\n")));

        if (unit->status == 0 && !unit->timed_out && *unit->result->str)
                check_unit(doctor, unit->result->str);
}
