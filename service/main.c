/* SPDX-License-Identifier: GPL-3.0-or-later */

/* wbwatchd: options and wiring. */

#include <glib.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "log.h"
#include "manager.h"
#include "memory.h"
#include "notify.h"
#include "settings.h"

/* Any real-time priority goes before all ordinary threads; the lowest one leaves the others to those who
 * asked. */
#define REALTIME_PRIORITY 1

/* The kernel kills it last, but can: at a memory limit of its own, a process that can't be killed would hang.
 */
#define OOM_SCORE_ADJUSTMENT "-900"

/* The names of kernel threads are kept open, in half of these descriptors at most. */
#define DESCRIPTORS_MAX 16384

/* Memory of this size comes from the kernel and goes back to it. */
#define LARGE_ALLOCATION (32 * 1024)

/* Set over the bus to last: below $STATE_DIRECTORY, which a service has, or here. */
#define STATE_DIRECTORY "/var/lib/wbwatch"
#define LASTING_FILE "wbwatch.conf"

typedef struct Options {
        char *process_glob;
        char *runtime_threshold;
        char *config;
        char *proc_root;
        gboolean verbose;
        gboolean debug;
        gboolean no_timestamps;
        gboolean dry_run;
        gboolean check_config;
        gboolean no_bus;
        gboolean version;
} Options;

static void options_done(Options *options) {
        g_free(options->process_glob);
        g_free(options->runtime_threshold);
        g_free(options->config);
        g_free(options->proc_root);
}

static int parse_options(int argc, char **argv, Options *options) {
        const GOptionEntry entries[] = {
                { "process-glob", 0, 0, G_OPTION_ARG_FILENAME, &options->process_glob,
                  "Watch kernel workers whose whole name matches", "GLOB" },
                { "runtime-threshold", 0, 0, G_OPTION_ARG_FILENAME, &options->runtime_threshold,
                  "Call a worker stuck that has been running this long", "DURATION" },
                { "dry-run", 0, 0, G_OPTION_ARG_NONE, &options->dry_run, "Do everything but the sync", NULL },
                { "config", 0, 0, G_OPTION_ARG_FILENAME, &options->config,
                  "Read this file instead of wbwatch.conf and its drop-ins", "FILE" },
                { "check-config", 0, 0, G_OPTION_ARG_NONE, &options->check_config,
                  "Check the configuration, show it, and exit; 1 when something is wrong", NULL },
                { "proc-root", 0, 0, G_OPTION_ARG_FILENAME, &options->proc_root,
                  "Read the host's /proc where it is mounted, as in a container", "DIR" },
                { "no-bus", 0, 0, G_OPTION_ARG_NONE, &options->no_bus, "Stay off the system bus", NULL },
                { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Log more", NULL },
                { "debug", 'd', 0, G_OPTION_ARG_NONE, &options->debug, "Log everything", NULL },
                { "no-timestamps", 0, 0, G_OPTION_ARG_NONE, &options->no_timestamps,
                  "Log without the time, for those who add it", NULL },
                { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Show the version, and exit", NULL },
                {},
        };
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GError) error = NULL;

        g_option_context_set_summary(
                        context, "Notices kernel workers that are stuck in inode_switch_wbs, and frees them "
                                 "by a sync().");
        g_option_context_set_description(
                        context, "See wbwatchd(8) and wbwatch.conf(5); wbctl(1) shows and steers it.");
        g_option_context_add_main_entries(context, entries, NULL);

        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                fprintf(stderr, "wbwatchd: %s\n", error->message);
                return -EINVAL;
        }
        if (argc > 1) {
                fprintf(stderr, "wbwatchd: %s: it takes options only, see --help\n", argv[1]);
                return -EINVAL;
        }

        return 0;
}

/* What the command line sets. A bad value there is an error, not a warning: whoever typed it is looking. */
static int read_overrides(const Options *options, Settings *settings) {
        static const char source[] = "command line";
        _cleanup_free_ char *error = NULL;

        if (options->process_glob &&
            settings_set_text(settings, SETTING_GLOB, options->process_glob, source, &error) < 0) {
                fprintf(stderr, "wbwatchd: --process-glob: %s\n", error);
                return -EINVAL;
        }
        if (options->runtime_threshold &&
            settings_set_text(settings, SETTING_THRESHOLD, options->runtime_threshold, source, &error) < 0) {
                fprintf(stderr, "wbwatchd: --runtime-threshold: %s\n", error);
                return -EINVAL;
        }
        if (options->dry_run)
                return settings_set_number(settings, SETTING_DRY_RUN, true, source, &error);

        return 0;
}

static void log_settings_warning(const char *warning, void *userdata) {
        log_warning("%s", warning);
}

static void print_settings(const Settings *settings) {
        puts("[Watch]");
        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char value[SETTINGS_GLOB_MAX + 1];

                printf("# %s\n%s=%s\n", settings->sources[id], setting_table[id].key,
                       settings_format(settings, id, value, sizeof(value)));
        }
}

/* Everything that helps in the worst minute and that this process may do for itself; the unit does the same
 * for a service. What is refused is no reason not to work: it is refused to everyone but root. */
static void prepare_for_crisis(void) {
        const struct sched_param parameter = { .sched_priority = REALTIME_PRIORITY };
        struct rlimit limit;
        FILE *file;

        if (getrlimit(RLIMIT_NOFILE, &limit) >= 0 && limit.rlim_cur < DESCRIPTORS_MAX) {
                limit.rlim_cur = MIN(limit.rlim_max, (rlim_t) DESCRIPTORS_MAX);
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }

        /* What a large message took is given back when it is done with. By itself the C library keeps more
         * and more of it, which stays locked. */
        (void) mallopt(M_MMAP_THRESHOLD, LARGE_ALLOCATION);

        memory_settle();

        /* The unit gives the priority, and then forbids the system call on pain of death. */
        if (sched_getscheduler(0) != SCHED_FIFO && sched_setscheduler(0, SCHED_FIFO, &parameter) < 0)
                log_info("Can't get a real-time priority, going on without: %m");

        file = fopen("/proc/self/oom_score_adj", "we");
        if (!file || fputs(OOM_SCORE_ADJUSTMENT, file) < 0 || fflush(file) != 0)
                log_info("Can't protect the process from the OOM killer, going on without: %m");
        if (file)
                (void) fclose(file);
}

static char *lasting_file(void) {
        const char *directory = getenv("STATE_DIRECTORY");

        return g_build_filename(directory ?: STATE_DIRECTORY, LASTING_FILE, NULL);
}

static int run(const Options *options) {
        g_autofree char *lasting = lasting_file();
        _cleanup_(manager_freep) Manager *manager = NULL;
        Settings overrides, settings;
        const ManagerOptions manager_options = {
                .paths = {
                        .folders = settings_default_folders,
                        .file = options->config,
                        .lasting_file = lasting,
                        .overrides = &overrides,
                },
                .proc_root = options->proc_root ?: "/proc",
                .use_bus = !options->no_bus,
        };
        int r;

        settings_init(&overrides);
        r = read_overrides(options, &overrides);
        if (r < 0)
                return 2;

        /* Before the first line of a daemon: nobody may be reading. */
        if (!options->check_config) {
                r = log_start_writer();
                if (r < 0)
                        log_info("Can't start a process that writes the log, going on without: %s",
                                 errno_text(-r));
        }

        r = settings_load(&manager_options.paths, log_settings_warning, NULL, &settings);
        if (r < 0) {
                log_error("Can't read the configuration, ending: %s", errno_text(-r));
                return EXIT_FAILURE;
        }
        if (options->check_config) {
                print_settings(&settings);
                return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }

        r = notify_open();
        if (r < 0)
                log_warning("Can't reach the service manager, ignoring: %s", errno_text(-r));

        prepare_for_crisis();

        r = manager_new(&manager_options, &settings, &manager);
        if (r < 0)
                return EXIT_FAILURE;

        r = manager_run(manager);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        _cleanup_(options_done) Options options = {};
        int r;

        r = parse_options(argc, argv, &options);
        if (r < 0)
                return 2;

        if (options.version) {
                puts("wbwatchd " WBWATCH_VERSION);
                return EXIT_SUCCESS;
        }

        log_open(!options.no_timestamps);
        if (options.debug)
                log_set_max_level(LOG_DEBUG);
        else if (options.verbose)
                log_set_max_level(LOG_INFO);

        r = run(&options);

        notify_close();
        log_close();

#ifndef HAS_ADDRESS_SANITIZER /* which tells of leaks in exit() */
        /* Not by exit(): what the libraries do at their end would be read from a disk that may hang. */
        if (fflush(stdout) == 0)
                _exit(r);
#endif
        return r;
}
