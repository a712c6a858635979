/* SPDX-License-Identifier: GPL-3.0-or-later */

/* wbwatchd: options and wiring. */

#include <assert.h>
#include <glib.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "connector.h"
#include "log.h"
#include "manager.h"
#include "memory.h"
#include "notify.h"
#include "option-help.h"
#include "privileges.h"
#include "settings-files.h"
#include "sockets.h"

/* The kernel kills it last, but can: at a memory limit of its own, a process that can't be killed would hang.
 */
#define OOM_SCORE_ADJUSTMENT "-900"

/* The names of kernel threads are kept open, in at most half of these descriptors. */
#define DESCRIPTORS_MAX 16384

/* Memory of this size comes from the kernel and goes back to it. */
#define LARGE_ALLOCATION (32 * 1024)

/* How much the heap grows beyond what is needed. It takes no memory until it is used. */
#define HEAP_ROOM (128 * 1024)

/* What was set permanently over the bus: below $STATE_DIRECTORY, which a service has, or here. */
#define STATE_DIRECTORY "/var/lib/wbwatch"
#define PERMANENT_FILE "wbwatch.conf"

typedef struct Options {
        Settings overrides; /* what the command line sets */
        char *config;
        char *proc_root;
        char *socket_folder;
        bool verbose;
        bool debug;
        bool no_timestamps;
        bool check_config;
        bool no_bus;
        bool version;
        bool help;
} Options;

static void options_done(Options *options) {
        g_free(options->config);
        g_free(options->proc_root);
        g_free(options->socket_folder);
}

typedef struct OptionInfo {
        const char *name;
        char letter;
        const char *argument; /* NULL: the option takes no value */
        bool is_setting;
        SettingId id;  /* of a setting; one without a value becomes "yes" */
        size_t offset; /* else of the member in Options, a bool or a text */
        const char *help;
} OptionInfo;

#define IS_SETTING(setting) .is_setting = true, .id = setting
#define IS_MEMBER(member) .offset = offsetof(Options, member)

static const OptionInfo option_table[] = {
        { "process-glob", 0, "GLOB", IS_SETTING(SETTING_GLOB),
          .help = "Watch kernel workers whose whole name matches" },
        { "runtime-threshold", 0, "DURATION", IS_SETTING(SETTING_THRESHOLD),
          .help = "Detect a stall when a worker spins for this long" },
        { "crowd-size", 0, "NUMBER", IS_SETTING(SETTING_CROWD_SIZE),
          .help = "Detect a stall when this many workers spin; 0 turns this rule off" },
        { "crowd-threshold", 0, "DURATION", IS_SETTING(SETTING_CROWD_THRESHOLD),
          .help = "For how long that many must spin" },
        { "count-waiting", 0, NULL, IS_SETTING(SETTING_COUNT_WAITING),
          .help = "Count waiting workers like spinning ones" },
        { "poll-interval", 0, "DURATION", IS_SETTING(SETTING_POLL_INTERVAL),
          .help = "Time between scans while a worker runs" },
        { "idle-scan-interval", 0, "DURATION", IS_SETTING(SETTING_IDLE_SCAN_INTERVAL),
          .help = "Time between scans while none runs" },
        { "recovery", 0, "DURATION", IS_SETTING(SETTING_RECOVERY),
          .help = "Start no other sync for this long after a sync" },
        { "sync-method", 0, "METHOD", IS_SETTING(SETTING_SYNC_METHOD),
          .help = "How to write filesystems back: auto, sync or syncfs" },
        { "filesystem-timeout", 0, "DURATION", IS_SETTING(SETTING_FILESYSTEM_TIMEOUT),
          .help = "Wait this long for one filesystem's sync" },
        { "sync-timeout", 0, "DURATION", IS_SETTING(SETTING_SYNC_TIMEOUT),
          .help = "Report a sync that makes no progress for this long" },
        { "dry-run", 0, NULL, IS_SETTING(SETTING_DRY_RUN), .help = "Do everything but the sync" },
        { "config", 0, "FILE", IS_MEMBER(config),
          .help = "Read this file instead of wbwatch.conf and its drop-ins" },
        { "check-config", 0, NULL, IS_MEMBER(check_config),
          .help = "Check the configuration, show it, and exit; 1 when something is wrong" },
        { "proc-root", 0, "DIR", IS_MEMBER(proc_root),
          .help = "Read the host's /proc where it is mounted, as in a container" },
        { "socket-dir", 0, "DIR", IS_MEMBER(socket_folder),
          .help = "Answer on sockets in this folder; \"\" turns them off" },
        { "no-bus", 0, NULL, IS_MEMBER(no_bus), .help = "Do not connect to the system bus" },
        { "verbose", 'v', NULL, IS_MEMBER(verbose), .help = "Log more" },
        { "debug", 'd', NULL, IS_MEMBER(debug), .help = "Log everything" },
        { "no-timestamps", 0, NULL, IS_MEMBER(no_timestamps),
          .help = "Log without the time, for readers that add it" },
        { "version", 0, NULL, IS_MEMBER(version), .help = "Show the version, and exit" },
        { "help", 'h', NULL, IS_MEMBER(help), .help = "Show this help, and exit" },
};

/* name is "--dry-run" or "-v". */
static const OptionInfo *find_option(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
                if (name[1] == '-' ? streq(name + 2, option_table[i].name)
                                   : name[1] == option_table[i].letter)
                        return &option_table[i];

        assert(!"GOption reports only options that it was given");
        return NULL;
}

static gboolean set_option(const char *name, const char *value, void *userdata, GError **ret_error) {
        const OptionInfo *option = find_option(name);
        Options *options = userdata;
        void *member = (char *) options + option->offset;
        _cleanup_free_ char *error = NULL;

        if (!option->argument && value) {
                g_set_error(ret_error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                            "%s takes no value, but \"%s\" was given", name, value);
                return false;
        }

        if (option->is_setting) {
                /* An invalid value is an error here, not a warning: who typed it is there to read it. */
                if (settings_set_text(
                                    &options->overrides, option->id, value ?: "yes", ORIGIN_COMMAND_LINE,
                                    &error) >= 0)
                        return true;
                g_set_error(ret_error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: %s", name,
                            error ?: "out of memory");
                return false;
        }

        if (option->argument) {
                char **text = member;

                g_free(*text);
                *text = g_strdup(value);
        } else {
                bool *flag = member;

                *flag = true;
        }

        return true;
}

/* GOption drops the value of an option that takes none: `--dry-run=no` would be a yes. So those are given to
 * it as options whose value is optional, and set_option() refuses one. */
static GOptionEntry option_entry(const OptionInfo *option) {
        return (GOptionEntry){
                .long_name = option->name,
                .short_name = option->letter,
                .flags = G_OPTION_FLAG_FILENAME | (option->argument ? 0 : G_OPTION_FLAG_OPTIONAL_ARG),
                .arg = G_OPTION_ARG_CALLBACK,
                .arg_data = (void *) set_option,
                .description = option->help,
                .arg_description = option->argument,
        };
}

static GOptionContext *option_context_new(Options *options) {
        GOptionContext *context = g_option_context_new(NULL);
        GOptionGroup *group = g_option_group_new("", "", "", options, NULL);

        for (size_t i = 0; i < ELEMENTSOF(option_table); i++) {
                const GOptionEntry entries[] = { option_entry(&option_table[i]), {} };

                g_option_group_add_entries(group, entries);
        }

        g_option_context_set_main_group(context, group);
        g_option_context_set_help_enabled(context, false); /* see option_help_print() */
        g_option_context_set_summary(
                        context, "Detects kernel workers that are stuck in inode_switch_wbs, and frees them "
                                 "by writing the filesystems back.");
        g_option_context_set_description(
                        context, "See wbwatchd(8) and wbwatch.conf(5); wbctl(1) shows and controls it.");
        return context;
}

static int check_socket_folder(const char *folder) {
        size_t max;
        int r;

        if (!folder || folder[0] == '\0')
                return 0;

        r = sockets_check_folder(folder, &max);
        if (r == -EINVAL)
                (void) fprintf(stderr, "wbwatchd: --socket-dir: \"%s\" is not an absolute path\n", folder);
        else if (r < 0)
                (void) fprintf(stderr,
                               "wbwatchd: --socket-dir: the length of %zu bytes exceeds the maximum of %zu\n",
                               strlen(folder), max);
        return r;
}

static int parse_options(char **argv, Options *options) {
        g_autoptr(GOptionContext) context = option_context_new(options);
        g_auto(GStrv) arguments = g_strdupv(argv); /* what is parsed is taken out */
        g_autoptr(GError) error = NULL;
        int r;

        if (!g_option_context_parse_strv(context, &arguments, &error)) {
                (void) fprintf(stderr, "wbwatchd: %s\n", error->message);
                return -EINVAL;
        }
        if (g_strv_length(arguments) > 1) {
                (void) fprintf(stderr, "wbwatchd: unexpected argument \"%s\", see --help\n", arguments[1]);
                return -EINVAL;
        }
        r = check_socket_folder(options->socket_folder);
        if (r < 0)
                return r;
        if (options->help)
                option_help_print(context);

        return 0;
}

static void log_settings_warning(const char *warning, void *userdata) {
        log_warning("%s", warning);
}

static void print_settings(const Settings *settings) {
        puts("[Watch]");
        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char value[SETTINGS_GLOB_MAX + 1];

                printf("# %s\n%s=%s\n", settings_origin(settings, id), setting_table[id].key,
                       settings_format(settings, id, value, sizeof(value)));
        }
}

/* Everything that helps in the worst minute and that this process may do for itself. What is refused is no
 * reason not to work: it is refused to everyone but root, and in many containers. */
static void prepare_for_crisis(void) {
        struct rlimit limit;
        FILE *file;
        int r;

        if (getrlimit(RLIMIT_NOFILE, &limit) >= 0 && limit.rlim_cur < DESCRIPTORS_MAX) {
                limit.rlim_cur = MIN(limit.rlim_max, (rlim_t) DESCRIPTORS_MAX);
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }

        /* The memory of a large message is returned when it was handled. By itself the C library keeps more
         * and more of it, which stays locked. */
        (void) mallopt(M_MMAP_THRESHOLD, LARGE_ALLOCATION);
        /* Large tables come from the kernel, too, if the heap has no room left: their pages take no memory
         * until they are used. */
        (void) malloc_trim(0);
        (void) mallopt(M_TOP_PAD, 0);

        memory_prepare();

        r = privileges_request_priority();
        if (r < 0)
                log_warning("Can't get a real-time priority, going on without: while all CPUs are taken a "
                            "sync may "
                            "come late (%s)",
                            errno_text(-r));

        file = fopen("/proc/self/oom_score_adj", "we");
        if (!file || fputs(OOM_SCORE_ADJUSTMENT, file) < 0 || fflush(file) != 0)
                log_info("Can't protect the process from the OOM killer, going on without: %m");
        if (file)
                (void) fclose(file);
}

/* Returns what connector_open() does. It takes a capability that nothing else takes: where a service manager
 * gave it, this process gives it up by executing itself anew with the socket, before it starts any other. */
static int open_connector(char **argv) {
        int fd, r;

        if (connector_inherit(&fd)) {
                /* Executed as /proc/self/exe it is called "exe". */
                (void) prctl(PR_SET_NAME, "wbwatchd");
                return fd;
        }

        fd = connector_open();
        if (!privileges_given(CAP_NET_ADMIN))
                return fd;

        r = connector_keep(fd);
        if (r >= 0)
                r = privileges_drop_by_exec(CAP_NET_ADMIN, argv);
        log_warning("Can't give up CAP_NET_ADMIN, keeping it: %s", errno_text(-r));
        (void) connector_inherit(&fd);
        return fd;
}

/* NULL if there is no memory. */
static char *permanent_file(void) {
        const char *directory = getenv("STATE_DIRECTORY");
        char *path;

        if (!directory || directory[0] == '\0')
                directory = STATE_DIRECTORY;
        return asprintf(&path, "%s/" PERMANENT_FILE, directory) < 0 ? NULL : path;
}

/* NULL: no sockets. */
static const char *socket_folder(const Options *options) {
        const char *folder = options->socket_folder ?: SOCKETS_FOLDER;

        return folder[0] != '\0' ? folder : NULL;
}

static int run(const Options *options, char **argv) {
        _cleanup_free_ char *permanent = permanent_file();
        _cleanup_close_ int connector_fd = options->check_config ? -EBADF : open_connector(argv);
        _cleanup_(manager_freep) Manager *manager = NULL;
        Settings settings;
        const ManagerOptions manager_options = {
                .paths = {
                        .folders = settings_default_folders,
                        .file = options->config,
                        .permanent_file = permanent,
                        .overrides = &options->overrides,
                },
                .proc_root = options->proc_root ?: "/proc",
                .use_bus = !options->no_bus,
                .socket_folder = socket_folder(options),
                .connector_fd = connector_fd,
        };
        int r;

        if (!permanent) {
                log_error("Out of memory");
                return EXIT_FAILURE;
        }

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

        /* Messages are made without asking the kernel for memory each time. */
        (void) mallopt(M_TOP_PAD, HEAP_ROOM);

        r = manager_run(manager);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        _cleanup_(options_done) Options options = {};
        int r;

        settings_init(&options.overrides);
        r = parse_options(argv, &options);
        if (r < 0)
                return 2;
        if (options.help)
                return EXIT_SUCCESS;

        if (options.version) {
                puts("wbwatchd " WBWATCH_VERSION);
                return EXIT_SUCCESS;
        }

        log_open(!options.no_timestamps);
        if (options.debug)
                log_set_max_level(LOG_DEBUG);
        else if (options.verbose)
                log_set_max_level(LOG_INFO);

        r = run(&options, argv);

        notify_close();
        log_close();

#ifndef HAS_ADDRESS_SANITIZER /* which reports leaks in exit() */
        /* Not by exit(): what the libraries do at their end would be read from a disk that may hang. */
        if (fflush(stdout) == 0)
                _exit(r);
#endif
        return r;
}
