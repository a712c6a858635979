/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the parts of the soak share: see test-soak.c. */

#include <sys/resource.h>

#include "bus-fixture.h"
#include "stuck-worker.h"
#include "sync-witness.h"

/* What is set in files and over the bus stays between these. */
#define THRESHOLD_MIN_USEC (1 * USEC_PER_SEC)
#define THRESHOLD_MAX_USEC (2 * USEC_PER_SEC)
#define POLL_MAX_USEC (200 * USEC_PER_MSEC)
#define FILESYSTEM_TIMEOUT_USEC (1 * USEC_PER_SEC)
#define SYNC_TIMEOUT_MIN_USEC (1 * USEC_PER_SEC)
#define SYNC_TIMEOUT_MAX_USEC (3 * USEC_PER_SEC)

/* Longer than most stalls need to be detected anew: else a daemon without it would look the same. */
#define RECOVERY_USEC (2 * USEC_PER_SEC)

/* A worker may get stuck right after an idle scan, and the next one come later by a tenth of its interval. */
#define IDLE_SCAN_USEC (1100 * USEC_PER_MSEC)

/* How much later a sync may begin than the daemon had to act. The promise is 250 ms on a machine whose
 * CPUs are taken; this machine has its processes stopped and started all the time, and is nobody's own. */
#define LATE_MAX_USEC (1 * USEC_PER_SEC)

/* Whom polkit lets do everything: these are its rules. */
#define UID_DAEMON 1
extern const char polkit_rules[];

/* What a fault holds, so that none is thrown whose effects could be taken for those of another. */
typedef enum Thing {
        THING_BUS = 1 << 0,
        THING_POLKIT = 1 << 1,
        THING_LOG = 1 << 2,
        THING_SYNC_HELPER = 1 << 3,
        THING_STORAGE_HELPER = 1 << 4,
        THING_SIGHT = 1 << 5, /* that the daemon sees anything at all */
        THING_PAUSE = 1 << 6,
        THING_FLOOD = 1 << 7,
        THING_CPUS = 1 << 8,
        THING_FORKS = 1 << 9,
        THING_DAEMON = 1 << 10,
} Thing;

/* A worker that was seen running at every scan of the watching thread. */
typedef struct Run {
        pid_t pid;
        char name[64];
        uint64_t since_usec, last_usec;
        uint64_t chain_usec; /* since when its work has been running, with short gaps */
        bool counted;        /* as one that was stuck for long enough */
} Run;

/* Calls whose answers count. */
typedef enum QuestionKind {
        QUESTION_SYNC,
        QUESTION_PAUSE,
        QUESTION_RESUME,
        QUESTION_REFUSED, /* must be */
} QuestionKind;

/* One that is not answered yet. */
typedef struct Question {
        Client *client;
        guint32 serial;
        uint64_t sent_usec;
        QuestionKind kind;
} Question;

typedef enum StuckState {
        STUCK_NONE,
        STUCK_BEGINS,
        STUCK_IS,
        STUCK_ENDS,
} StuckState;

/* What the daemon holds when nothing happens. */
typedef struct Holding {
        unsigned n_descriptors; /* but for those in /proc */
        unsigned n_children;
        uint64_t memory_kib;
} Holding;

typedef struct Soak {
        BusFixture *fixture;
        GRand *random;
        uint64_t begin_usec;
        GQueue history; /* what was done, as text */

        Client *root, *nobody, *allowed; /* NULL while there is no bus */
        GArray *questions;

        /* The watching thread's. */
        GThread *watcher;
        GMutex lock;
        GArray *runs;
        bool watched; /* no more */

        size_t n_messages;                      /* of root's, judged */
        uint64_t ended_id, ended_realtime_usec; /* the last sync that has ended, by the signals; id 0: none */

        SyncRecords *syncs;
        unsigned n_syncs, n_filesystem_syncs; /* judged */

        /* From when on the daemon can be expected to see, and to act; infinite while it can't. */
        uint64_t ready_usec, sight_usec, able_usec;
        uint64_t syncing_usec;          /* until when it was seen syncing */
        uint64_t paused_usec;           /* since when it surely is, or infinite */
        uint64_t helper_held_usec;      /* since when the sync helper was held last, */
        uint64_t helper_let_go_usec;    /* until when */
        uint64_t helper_disturbed_usec; /* when something was done to one last; infinite while it is held */
        unsigned n_unhelpful;           /* syncs that may have doubled the Recovery time */
        uint64_t group_usec;            /* when the last sync began, which may have several parts */
        unsigned n_requested;           /* syncs that were requested and may be to come */
        unsigned n_lost_questions;      /* such ones that will not be answered any more */

        StuckState stuck_state;
        StuckWorker stuck;
        uint64_t stuck_next_usec;
        bool at_rest; /* nobody gets stuck */

        unsigned held;    /* of enum Thing */
        unsigned at_once; /* so many may last in this round */
        bool restarting;  /* the daemon may be restarted in this round */
        bool resuming;    /* a pause is about to be taken back */
        uint64_t next_fault_usec;
        pid_t polkitd, flood;
        Process storm, hogs[256];
        struct rlimit limit;

        Holding baseline;
        pid_t baseline_daemon;

        /* What was held. */
        unsigned n_rounds, n_stuck, n_runs, n_answered, n_gaps, n_sync_answers, n_daemons, n_old_helpers;
        uint64_t longest_wait_usec, peak_kib, most_grown_kib;
        unsigned most_descriptors, most_unhelpful;
} Soak;

/* test-soak.c: notes what was done; ends the program, with what was noted before. */
void note(Soak *soak, const char *format, ...) G_GNUC_PRINTF(2, 3);
void fail(Soak *soak, const char *format, ...) G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN;

/* Chance, which the seed decides. */
unsigned any_number(Soak *soak, unsigned min, unsigned max);
bool one_in(Soak *soak, unsigned n);
uint64_t in_any_msec(Soak *soak, unsigned min_msec, unsigned max_msec);
uint64_t any_threshold_usec(Soak *soak);

/* judge.c: the thread that watches the workers; and what must hold of what it saw, of the calls of the
 * helpers and of the daemon's own records, each once it is known. Call the first before anything
 * changes for the daemon, too. */
gpointer watch_workers(gpointer userdata);
void judge_runs(Soak *soak);
void judge_syncs(Soak *soak);
void judge_signals(Soak *soak);

/* How many calls of sync(2) and of syncfs(2) there were. */
unsigned count_syncs(const Soak *soak);
unsigned count_filesystem_syncs(const Soak *soak);

/* questions.c: the clients, and the calls of which the answers count. */
void make_clients(Soak *soak);
void drop_clients(Soak *soak);
void ask(Soak *soak, Client *client, QuestionKind kind, const char *method, GVariant *arguments);
bool question_is_open(const Soak *soak, QuestionKind kind);
void take_answers(Soak *soak);

/* faults.c: begins and ends faults, as chance has it; how often each was thrown. */
void move_faults(Soak *soak);
void print_faults(void);

/* Start the daemon; write settings, with these lines behind them. */
void start_daemon(Soak *soak);
void write_settings(Soak *soak, const char *more);
