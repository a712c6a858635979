/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "redact.h"

#include "filesystems.h"
#include "root-file.h"

/* Names that every other machine has, and words of the kernel's log: "total-vm", "node 0". To remove them
 * would hide nothing, and spoil much. */
static const char *const common_names[] = {
        "(none)",    "active",    "admin",   "and",      "anon",     "as",      "at",     "backup",
        "bad",       "block",     "btrfs",   "bus",      "by",       "cache",   "call",   "cgroup",
        "code",      "com",       "control", "core",     "cpu",      "data",    "debian", "dev",
        "device",    "disk",      "dma",     "docker",   "ec2-user", "event",   "events", "ext",
        "fault",     "fedora",    "file",    "files",    "flush",    "for",     "free",   "from",
        "fs",        "host",      "image",   "in",       "inode",    "io",      "irq",    "is",
        "journal",   "kernel",    "kmem",    "kworker",  "linux",    "load",    "local",  "localdomain",
        "localhost", "lock",      "log",     "loop",     "main",     "map",     "md",     "media",
        "mem",       "memory",    "mm",      "mount",    "net",      "network", "nfs",    "no",
        "nobody",    "node",      "not",     "numa",     "nvme",     "of",      "on",     "oom",
        "order",     "page",      "pages",   "pci",      "pid",      "pool",    "port",   "power",
        "process",   "queue",     "rcu",     "read",     "root",     "rss",     "rw",     "scsi",
        "server",    "service",   "slab",    "socket",   "stack",    "storage", "swap",   "sync",
        "sys",       "system",    "task",    "test",     "thread",   "time",    "timer",  "to",
        "total",     "ubuntu",    "uid",     "up",       "usb",      "user",    "users",  "virtio",
        "vm",        "volume",    "wait",    "watchdog", "with",     "work",    "worker", "workqueue",
        "write",     "writeback", "xfs",     "zone",     NULL,
};

/* Users below are made by the system: "mail", "daemon". */
#define FIRST_UID 1000
#define NOBODY_UID 65534

/* What ends a path in a text. A mount point that contains one of these is found by its name. */
#define PATH_END " \t\r\n\"'<>,;:()[]{}|"
#define PATH_REGEX "(?<![A-Za-z0-9_.<>/-])/[^ \t\r\n\"'<>,;:()\\[\\]{}|]*"

/* Paths that say nothing about their machine. The names of cgroups do, and those of logical volumes. */
#define COMMON_PATH_REGEX                                                                                    \
        "^(?:/|/(?:proc|devices|bin|sbin|lib|lib64|usr/(?:bin|sbin|lib|libexec|share))(?:/.*)?"              \
        "|/sys(?:/(?!fs/cgroup/).*)?|/sys/fs/cgroup/(?:unified/)?cgroup\\.[a-z._]+"                          \
        "|/dev(?:/[A-Za-z0-9_-]+)?|/(?:etc|run|var/lib|usr/lib)/wbwatchd?(?:/.*)?|/run/(?:systemd|dbus)/.*"  \
        "|/(?:boot(?:/efi)?|efi|etc|home|media|mnt|nix(?:/store)?|opt|root|run|srv|tmp|usr|var(?:/(?:"       \
        "lib|log|tmp|cache))?|dev/shm|run/lock))/?$"

static const struct {
        const char *regex, *replacement;
} patterns[] = {
        /* Who built the kernel, and where. */
        { "\\([^()@ ]+@[^()@ ]+\\)", "(<builder>)" },
        { "([Cc]ommand line(?: parameters)?:? ).*", "\\1<left out>" },
        { "(with (?:arguments|environment):\n)(?:\\[ *[0-9.]+\\] {5}.*\n)+", "\\1" },
        { "(CONFIG_(?:CMDLINE|DEFAULT_HOSTNAME|BUILD_SALT|[A-Z_]*KEYS?)=)\".+", "\\1\"<left out>\"" },
        /* The kernel's own lines about what programs do, with their names, users and arguments. */
        { "(audit: ?(?:type=)?).*", "\\1<left out>" },
        { "(SerialNumber: |serial(?: number)?[=:] ?).*", "\\1<serial>" },
        { "(\\bS/?N[:=] ?)[^ ,\n]+", "\\1<serial>" },
        { "(\\busb [0-9][0-9.:-]*: (?:Product|Manufacturer): ).*", "\\1<left out>" },
        { "(\\binput: ).*( as /devices)", "\\1<left out>\\2" },
        { "(: USB HID v[^\n\\[]*\\[)[^\n]*(\\] on )", "\\1<left out>\\2" },
        { "(X\\.509 cert(?:ificate)? )'.*'", "\\1<left out>" },
        { "(device label ).*?( devid |\n|$)", "\\1<label>\\2" },
        { "(\\brbd: (?:image|pool) )[^:, \n]+", "\\1<image>" },
        { "(server )[^ ]+( (?:not responding|OK))", "\\1<host>\\2" },
        { "(\\b(?:NFS|nfs|CIFS|cifs|SMB|RPC)[^\n]*? [Ss]erver )"
          "(?!(?:did|does|error|has|is|not|refused|replied|returned|using)\\b)[^ :,<\n]+",
          "\\1<host>" },
        { "\\\\\\\\[^ \n]+", "<share>" },
        { "(?<![\\w./<>-])[\\w.-]+:(?=/|<path-)", "<host>:" },
        { "\\b(iqn|nqn)\\.[^ ,\n\"]+", "<\\1>" },
        { "(\\b(?:[Ww][Ww][NnPp][Nn]?|sas_addr(?:ess)?|logical id|naa|eui)[ :=.(]*)(?:0x)?[0-9A-Fa-f:]{8,}",
          "\\1<id>" },
        /* Interfaces: tap-johndoe. */
        { "[^ :()\n]+(: port [0-9]+\\()[^ ()\n]+(\\) entered )", "<interface>\\1<interface>\\2" },
        { "[^ :\n]+(:? (?:entered|left) (?:promiscuous|allmulticast) mode)", "<interface>\\1" },
        { "(ADDRCONF\\([A-Z_]+\\): )[^ :\n]+", "\\1<interface>" },
        { "(\\b(?:PHYS)?(?:IN|OUT)=)[^ \n]+", "\\1<interface>" },
        { "\\b(?:br|bond|macvtap|tap|tun|veth|vlan|vnet|wg)-[\\w.-]*\\w", "<interface>" },
        { "(cpuset=)[^, \n]*", "\\1<cgroup>" },
        { "(?<![0-9A-Za-z])(?<![0-9A-Fa-f][:-])(?:[0-9A-Fa-f]{2}[:-]){5,19}[0-9A-Fa-f]{2}(?![0-9A-Za-z:-])",
          "<mac>" },
        { "(?<![0-9A-Za-z:])(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:)*[0-9A-Fa-f]{0,"
          "4}::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*)?)(?![0-9A-Za-z:])",
          "<ip>" },
        /* Not the release of a kernel: 6.6.141.1-1.azl3. */
        { "(?<![0-9A-Za-z.])(?![0-9]\\.[0-9.]+-)(?:[0-9]{1,3}\\.){3}[0-9]{1,3}(?!\\.?[0-9])", "<ip>" },
        { "(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])", "<id>" },
        { "(?<![0-9A-Fa-f])[0-9A-Fa-f]{32,}(?![0-9A-Fa-f])", "<id>" },
        /* Hosts of other domains. Neither a release, nor a file, a unit, a member of D-Bus or a sysctl. */
        { "(?<![\\w.\\\\@/-])(?!v?[0-9]+\\.|(?:dev|fs|kernel|net|org|user|vm)\\.)[A-Za-z0-9][A-Za-z0-9-]*"
          "(?:\\.[A-Za-z0-9-]+)+\\.(?!(?:bin|conf|json|ko|mount|scope|service|slice|socket|stat|target|txt)"
          "\\b)[a-z]{2,}(?![\\w-])",
          "<host>" },
};

struct Redactor {
        GRegex *patterns[ELEMENTSOF(patterns)];
        GHashTable *kinds; /* of each name */
        GHashTable *names; /* by their first word: an array of names, the longest first */
        GRegex *paths, *common_paths;
        GHashTable *path_numbers;
};

/* The patterns are part of the program, and so are valid. G_REGEX_RAW: a text need not be UTF-8. */
static GRegex *regex_new(const char *pattern) {
        return g_regex_new(pattern, G_REGEX_RAW | G_REGEX_OPTIMIZE, 0, NULL);
}

static int compare_lengths(const void *a, const void *b) {
        size_t length_a = strlen(*(const char *const *) a), length_b = strlen(*(const char *const *) b);

        return (length_a < length_b) - (length_a > length_b);
}

static bool is_word(char c) {
        return g_ascii_isalnum(c) || c & 0x80;
}

static size_t word_length(const char *text) {
        size_t n = 0;

        while (is_word(text[n]))
                n++;
        return n;
}

/* A table, since there may be more names than a regular expression can hold. */
static void add_name(Redactor *redactor, const char *name) {
        g_autofree char *word = g_strndup(name, word_length(name));
        GPtrArray *names = g_hash_table_lookup(redactor->names, word);

        if (!names) {
                names = g_ptr_array_new();
                g_hash_table_insert(redactor->names, g_steal_pointer(&word), names);
        }
        g_ptr_array_add(names, (char *) name);
}

static void sort_names(Redactor *redactor) {
        GHashTableIter words;
        gpointer names;

        g_hash_table_iter_init(&words, redactor->names);
        while (g_hash_table_iter_next(&words, NULL, &names))
                g_ptr_array_sort(names, compare_lengths);
}

/* The mount points of the list, and what looks like a path. */
static GRegex *paths_regex(const Redactor *redactor) {
        g_autoptr(GString) pattern = g_string_new(NULL);
        GHashTableIter kinds;
        gpointer name, kind;

        g_hash_table_iter_init(&kinds, redactor->kinds);
        while (g_hash_table_iter_next(&kinds, &name, &kind))
                if (streq(kind, "path")) {
                        g_autofree char *escaped = g_regex_escape_string(name, -1);

                        g_string_append_printf(pattern, "%s|", escaped);
                }
        g_string_append(pattern, PATH_REGEX);
        return regex_new(pattern->str);
}

/* A line of private_names_write(): a kind and a name. A name begins with a word. */
static void add_line(Redactor *redactor, const char *line) {
        const char *begin = strchr(line, ' ');
        g_autofree char *kind = begin ? g_strndup(line, (gsize) (begin - line)) : NULL;
        char *name;

        if (!kind)
                return;
        begin++;
        if (!streq(kind, "path"))
                while (*begin && !is_word(*begin))
                        begin++;
        if (!*begin || g_hash_table_contains(redactor->kinds, begin))
                return;

        name = g_strdup(begin);
        if (!streq(kind, "path"))
                add_name(redactor, name);
        g_hash_table_insert(redactor->kinds, name, g_steal_pointer(&kind));
}

Redactor *redactor_new(const char *names) {
        Redactor *redactor = g_new0(Redactor, 1);
        g_autofree char *lines = g_strdup(names);
        char *rest = lines;

        redactor->kinds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        redactor->names = g_hash_table_new_full(
                        g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
        redactor->path_numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        for (const char *line; (line = strsep(&rest, "\n"));)
                add_line(redactor, line);
        sort_names(redactor);

        redactor->paths = paths_regex(redactor);
        redactor->common_paths = regex_new(COMMON_PATH_REGEX);
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++)
                redactor->patterns[i] = regex_new(patterns[i].regex);
        return redactor;
}

Redactor *redactor_free(Redactor *redactor) {
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++)
                g_clear_pointer(redactor->patterns + i, g_regex_unref);
        g_clear_pointer(&redactor->paths, g_regex_unref);
        g_clear_pointer(&redactor->common_paths, g_regex_unref);
        g_hash_table_unref(redactor->names);
        g_hash_table_unref(redactor->kinds);
        g_hash_table_unref(redactor->path_numbers);
        g_free(redactor);
        return NULL;
}

static gboolean replace_path(const GMatchInfo *match, GString *out, gpointer userdata) {
        Redactor *redactor = userdata;
        g_autofree char *path = g_match_info_fetch(match, 0);
        unsigned number = GPOINTER_TO_UINT(g_hash_table_lookup(redactor->path_numbers, path));

        if (g_regex_match(redactor->common_paths, path, 0, NULL)) {
                g_string_append(out, path);
                return FALSE;
        }

        if (number == 0) {
                number = g_hash_table_size(redactor->path_numbers) + 1;
                g_hash_table_insert(redactor->path_numbers, g_strdup(path), GUINT_TO_POINTER(number));
        }
        g_string_append_printf(out, "<path-%u>", number);
        return FALSE;
}

/* Names of this length are parts of the kernel's words more often than names: "wb_workfn". */
#define SHORT_NAME_MAX 3

static bool is_symbol_part(char c) {
        return g_ascii_isalnum(c) || c == '_' || c == '.';
}

/* Whether the name in the text is part of a function's name: "vm_mmap_pgoff+0x10/0x20", or of another one. */
static bool is_in_symbol(const char *text, const char *at, size_t length) {
        const char *end = at + length;

        if (length <= SHORT_NAME_MAX && ((at > text && at[-1] == '_') || *end == '_'))
                return true;
        while (is_symbol_part(*end))
                end++;
        return g_str_has_prefix(end, "+0x");
}

/* The longest name that is at this place of the text, which is the beginning of a word, and ends with a word.
 */
static const char *find_name(const Redactor *redactor, const char *text, const char *at) {
        g_autofree char *word = g_strndup(at, word_length(at));
        const GPtrArray *names = g_hash_table_lookup(redactor->names, word);

        for (guint i = 0; names && i < names->len; i++) {
                const char *name = names->pdata[i];
                size_t length = strlen(name);

                if (g_str_has_prefix(at, name) && !(is_word(name[length - 1]) && is_word(at[length])) &&
                    !is_in_symbol(text, at, length))
                        return name;
        }
        return NULL;
}

static char *replace_names(const Redactor *redactor, const char *text) {
        GString *out = g_string_new(NULL);
        const char *begin = text;

        while (*text) {
                const char *name = is_word(*text) ? find_name(redactor, begin, text) : NULL;
                size_t length = name ? strlen(name) : MAX(word_length(text), 1);

                if (name)
                        g_string_append_printf(
                                        out, "<%s>",
                                        (const char *) g_hash_table_lookup(redactor->kinds, name));
                else
                        g_string_append_len(out, text, (gssize) length);
                text += length;
        }
        return g_string_free(out, FALSE);
}

/* Paths come first: they may contain names. */
char *redact(Redactor *redactor, const char *text, bool has_names) {
        g_autofree char *out = NULL;

        /* NULL if there are too many mount points for a regular expression. */
        if (redactor->paths)
                out = g_regex_replace_eval(redactor->paths, text, -1, 0, 0, replace_path, redactor, NULL);
        if (out && has_names) {
                g_autofree char *in = g_steal_pointer(&out);

                out = replace_names(redactor, in);
        }
        for (size_t i = 0; out && i < ELEMENTSOF(patterns); i++) {
                g_autofree char *in = g_steal_pointer(&out);

                out = g_regex_replace(redactor->patterns[i], in, -1, 0, patterns[i].replacement, 0, NULL);
        }
        return g_steal_pointer(&out);
}

/* The private names of this machine */

static void write_name(FILE *out, const char *kind, const char *name) {
        if (strlen(name) >= 2 && !g_strv_contains(common_names, name))
                (void) fprintf(out, "%s %s\n", kind, name);
}

/* The whole name, and its two parts: a log may have any of them. */
static void write_host(FILE *out, const char *name) {
        g_autofree char *first = g_strndup(name, strcspn(name, "."));

        write_name(out, "host", name);
        write_name(out, "host", first);
        if (strlen(first) < strlen(name))
                write_name(out, "domain", name + strlen(first) + 1);
}

static int write_hosts(const char *root, FILE *out) {
        static const char *const files[] = { "proc/sys/kernel/hostname", "proc/sys/kernel/domainname",
                                             "etc/hostname" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                g_autofree char *name = NULL;
                int r = root_file_read(root, files[i], &name);

                if (r < 0 && r != -ENOENT)
                        return r;
                if (r >= 0)
                        write_host(out, g_strstrip(name));
        }
        return 0;
}

/* A person's account name and full name. */
static void write_user(FILE *out, const char *line) {
        g_auto(GStrv) fields = g_strsplit(line, ":", -1);
        uint64_t uid;

        if (g_strv_length(fields) < 7 ||
            !g_ascii_string_to_unsigned(fields[2], 10, FIRST_UID, UINT32_MAX, &uid, NULL) ||
            uid == NOBODY_UID)
                return;
        write_name(out, "user", fields[0]);
        fields[4][strcspn(fields[4], ",")] = '\0';
        write_name(out, "user", fields[4]);
}

static int write_users(const char *root, FILE *out) {
        static const char *const variables[] = { "USER", "LOGNAME", "SUDO_USER" };
        g_auto(GStrv) lines = NULL;
        int r = root_file_read_lines(root, "etc/passwd", &lines);

        /* Users of a directory service are not in the file. */
        for (size_t i = 0; i < ELEMENTSOF(variables); i++)
                write_name(out, "user", g_getenv(variables[i]) ?: "");

        for (char **line = lines; line && *line; line++)
                write_user(out, *line);
        return r == -ENOENT ? 0 : r;
}

/* "server" of server:/export, //server/share and user@server:folder; "volume" of /dev/mapper/volume and
 * /dev/group/volume; a pool/dataset. Not "sda1" of /dev/sda1. */
static void write_source(FILE *out, const char *text) {
        g_autofree char *copy = g_strdup(text);
        char *source = copy, *at = strchr(source, '@');

        if (g_str_has_prefix(source, "/dev/")) {
                if (strchr(source + strlen("/dev/"), '/'))
                        write_name(out, "volume", strrchr(source, '/') + 1);
                return;
        }
        if (at) {
                *at = '\0';
                write_name(out, "user", source);
                source = at + 1;
        }
        if (g_str_has_prefix(source, "//"))
                source += 2;
        else if (!strchr(source, ':')) {
                if (strchr(source, '/'))
                        write_name(out, "volume", source);
                return;
        }
        source[strcspn(source, ":/")] = '\0';
        write_host(out, source);
}

/* Interfaces whose names say nothing. */
#define COMMON_INTERFACE_REGEX                                                                               \
        "^(?:lo|(?:bond|br|cni|docker|dummy|en[opsx]?|eth|ib|ifb|sit|tap|team|tun|usb|virbr|vlan|vnet|wg|"   \
        "wl(?:an|[ops])?)"                                                                                   \
        "[0-9][0-9a-z]*|(?:br-|cali|lxc|veth)[0-9a-f]+)$"

static void write_interfaces(const char *root, FILE *out) {
        g_autofree char *path = g_build_filename(root, "sys/class/net", NULL);
        g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
        const char *name;

        while (entries && (name = g_dir_read_name(entries)))
                if (!g_regex_match_simple(COMMON_INTERFACE_REGEX, name, 0, 0))
                        write_name(out, "interface", name);
}

/* Paths that the regular expression does not find whole. */
static void write_path(FILE *out, const char *path) {
        if (path[strcspn(path, PATH_END)] && !strchr(path, '\n'))
                write_name(out, "path", path);
}

static int write_mounts(const char *root, FILE *out) {
        g_auto(GStrv) lines = NULL;
        int r = root_file_read_lines(root, "proc/self/mountinfo", &lines);

        for (char **line = lines; line && *line; line++) {
                Mount mount;

                if (mount_parse(*line, &mount) < 0)
                        continue;
                write_path(out, mount.root);
                write_path(out, mount.mountpoint);
                write_source(out, mount.source);
        }
        return r == -ENOENT ? 0 : r;
}

int private_names_write(const char *root, FILE *out) {
        int r = write_hosts(root, out);

        write_interfaces(root, out);
        if (r >= 0)
                r = write_users(root, out);
        if (r >= 0)
                r = write_mounts(root, out);
        return r;
}
