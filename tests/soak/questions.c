/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The clients of the soak, and their questions: see test-soak.c. */

#include "soak.h"

void ask(Soak *soak, Client *client, QuestionKind kind, const char *method, GVariant *arguments) {
        Question question = { .client = client, .sent_usec = usec_now(CLOCK_MONOTONIC), .kind = kind };

        if (kind == QUESTION_SYNC)
                soak->n_requested++;
        question.serial = client_send_method(client, method, arguments);
        g_array_append_val(soak->questions, question);
}

static bool has_sync_since(const SyncRecord *table, unsigned n, uint64_t usec) {
        while (n-- > 0)
                if (atomic_load(&table[n].entered_usec) >= usec && atomic_load(&table[n].left_usec) > 0)
                        return true;

        return false;
}

/* A reply to ForceSync comes when a sync that began after the call has ended. */
static void judge_sync_answer(Soak *soak, uint64_t sent_usec) {
        if (!has_sync_since(soak->syncs->records, count_syncs(soak), sent_usec) &&
            !has_sync_since(soak->syncs->filesystems, count_filesystem_syncs(soak), sent_usec))
                fail(soak, "a call of ForceSync was answered without a sync");
}

static void on_answer(Soak *soak, const Question *question) {
        GDBusMessage *reply = client_wait_reply(question->client, question->serial);
        bool good = g_dbus_message_get_message_type(reply) == G_DBUS_MESSAGE_TYPE_METHOD_RETURN;

        if (!good)
                return;

        switch (question->kind) {
        case QUESTION_SYNC:
                judge_sync_answer(soak, question->sent_usec);
                soak->n_sync_answers++;
                break;

        case QUESTION_PAUSE:
                if (!soak->resuming)
                        soak->paused_usec = usec_now(CLOCK_MONOTONIC);
                break;

        case QUESTION_RESUME:
                soak->able_usec = usec_now(CLOCK_MONOTONIC);
                soak->resuming = false;
                soak->held &= ~THING_PAUSE;
                note(soak, "resumed");
                break;

        case QUESTION_REFUSED:
                fail(soak, "a call was not refused");
        }
}

bool question_is_open(const Soak *soak, QuestionKind kind) {
        for (guint i = 0; i < soak->questions->len; i++)
                if (g_array_index(soak->questions, Question, i).kind == kind)
                        return true;

        return false;
}

/* First the answers, and then the syncs that came before them. */
void take_answers(Soak *soak) {
        for (guint i = 0; i < soak->questions->len;) {
                Question question = g_array_index(soak->questions, Question, i);

                if (!client_has_reply(question.client, question.serial)) {
                        i++;
                        continue;
                }
                g_array_remove_index(soak->questions, i);
                on_answer(soak, &question);
        }

        judge_syncs(soak);
        judge_signals(soak);
        if (soak->n_lost_questions == 0 && !question_is_open(soak, QUESTION_SYNC))
                soak->n_requested = 0;
}

static void drop_client(Soak *soak, Client **client) {
        for (guint i = soak->questions->len; i-- > 0;) {
                const Question *question = &g_array_index(soak->questions, Question, i);

                if (question->client != *client)
                        continue;
                if (question->kind == QUESTION_SYNC)
                        soak->n_lost_questions++;
                g_array_remove_index(soak->questions, i);
        }

        *client = client_free(*client);
}

void drop_clients(Soak *soak) {
        drop_client(soak, &soak->root);
        drop_client(soak, &soak->nobody);
        drop_client(soak, &soak->allowed);
}

void make_clients(Soak *soak) {
        soak->root = client_new(soak->fixture, UID_ROOT);
        soak->n_messages = 0;
        soak->nobody = client_new(soak->fixture, UID_NOBODY);
        soak->allowed = client_new(soak->fixture, UID_DAEMON);
}
