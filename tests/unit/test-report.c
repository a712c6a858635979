/* SPDX-License-Identifier: GPL-3.0-or-later */

/* wbctl report: jobs that hang, private names, and whole reports of made-up machines. Some cases need root.
 */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "deadline.h"
#include "fake-proc.h"
#include "jobs.h"
#include "redact.h"
#include "report-summary.h"
#include "surroundings.h"

/* Longer than any job here takes, unless it hangs. */
#define LONG_USEC (60 * USEC_PER_SEC)

/* Jobs */

static int write_text(const void *userdata, FILE *out) {
        fputs(userdata, out);
        return 0;
}

static int fail(const void *userdata, FILE *out) {
        fputs("begun\n", out);
        return -EPERM;
}

static int hang(const void *userdata, FILE *out) {
        fputs("begun\n", out);
        (void) fflush(out);
        return pause();
}

static int write_for_ever(const void *userdata, FILE *out) {
        while (fputs("more\n", out) >= 0)
                ;
        return 0;
}

static int execute(const void *userdata, FILE *out) {
        return job_execute(userdata, /* has_errors= */ true);
}

static Job job(int (*run)(const void *userdata, FILE *out), const void *userdata) {
        return (Job){ .run = run, .userdata = userdata, .size_max = 100, .result = g_string_new(NULL) };
}

static void assert_job(Job *ended, const char *result, int status, bool timed_out, bool truncated) {
        g_assert_cmpstr(ended->result->str, ==, result);
        g_assert_cmpint(ended->status, ==, status);
        g_assert_cmpint(ended->timed_out, ==, timed_out);
        g_assert_cmpint(ended->truncated, ==, truncated);
        g_string_free(ended->result, TRUE);
}

static void test_jobs_end(void) {
        static const char *const shell[] = { "sh", "-c", "echo out; echo err >&2; exit 3", NULL },
                                 *const nothing[] = { "/nonexistent/program", NULL };
        Job jobs[] = { job(write_text, "text"), job(write_text, ""), job(fail, NULL), job(execute, shell),
                       job(execute, nothing) };

        jobs_run(jobs, ELEMENTSOF(jobs), LONG_USEC);
        assert_job(jobs + 0, "text", 0, false, false);
        assert_job(jobs + 1, "", 0, false, false);
        assert_job(jobs + 2, "begun\nOperation not permitted\n", EXIT_FAILURE, false, false);
        assert_job(jobs + 3, "out\nerr\n", 3, false, false);
        assert_job(jobs + 4, "No such file or directory\n", EXIT_FAILURE, false, false);
}

static void test_jobs_truncated(void) {
        Job jobs[] = { job(write_for_ever, NULL) };

        jobs_run(jobs, ELEMENTSOF(jobs), LONG_USEC);
        g_assert_cmpuint(jobs[0].result->len, ==, 100);
        g_assert_true(g_str_has_prefix(jobs[0].result->str, "more\nmore\n"));
        g_assert_true(jobs[0].truncated);
        g_assert_false(jobs[0].timed_out);
        g_assert_cmpint(jobs[0].status, ==, 128 + SIGKILL);
        g_string_free(jobs[0].result, TRUE);
}

/* Those that hang delay no other one, and what they have written is kept. What a job has started ends with
 * it: then nobody writes to the FIFO any more. */
static void test_jobs_hang(void) {
        g_autofree char *folder = g_dir_make_tmp("wbwatch-jobs-XXXXXX", NULL),
                        *fifo = g_build_filename(folder, "fifo", NULL),
                        *command = g_strdup_printf("exec 3>%s; echo begun; sleep 1000 & sleep 1000", fifo);
        const char *const shell[] = { "sh", "-c", command, NULL };
        Job jobs[] = { job(hang, NULL), job(execute, shell), job(write_text, "text") };
        struct pollfd writers = {};

        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
        writers.fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        g_assert_no_errno(writers.fd);
        jobs_run(jobs, ELEMENTSOF(jobs), 2 * USEC_PER_SEC);
        assert_job(jobs + 0, "begun\n", 0, true, false);
        assert_job(jobs + 1, "begun\n", 0, true, false);
        assert_job(jobs + 2, "text", 0, false, false);

        g_assert_cmpint(poll(&writers, 1, deadline_msec_left(deadline_in_sec(10))), ==, 1);
        g_assert_cmpint(writers.revents, ==, POLLHUP);
        close(writers.fd);
        g_assert_cmpint(g_unlink(fifo) | g_rmdir(folder), ==, 0);
}

/* Private names */

#define NAMES                                                                                                \
        "host web7\nhost web7.example.com\ndomain example.com\nuser bob\nuser Bob Smith\nhost nas1\n"        \
        "volume vg0-secret\nhost wb\nuser acme\npath /mnt/my disk\n"

static void test_redact(void) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "", "" },
                /* What must stay. */
                { "kworker/0:1+inode_switch_wbs", "kworker/0:1+inode_switch_wbs" },
                { "kworker/u8:3+flush-8:0", "kworker/u8:3+flush-8:0" },
                { "Linux 6.6.141.1-1.azl3 6.12.94 6.8.0-49-generic",
                  "Linux 6.6.141.1-1.azl3 6.12.94 6.8.0-49-generic" },
                { "[    1.234567] pci 0000:00:1f.2: [8086:2922] type 00",
                  "[    1.234567] pci 0000:00:1f.2: [8086:2922] type 00" },
                { "2026-11-29 12:34:56.123 UTC", "2026-11-29 12:34:56.123 UTC" },
                { "workqueue: inode_switch_wbs_work_fn hogged CPU for >10000us 4 times",
                  "workqueue: inode_switch_wbs_work_fn hogged CPU for >10000us 4 times" },
                { "RIP: 0010:native_queued_spin_lock_slowpath+0x2a0/0x2b0",
                  "RIP: 0010:native_queued_spin_lock_slowpath+0x2a0/0x2b0" },
                { "/proc/1/stack /sys/kernel/x / /home /var/lib /dev/sda1 /etc/wbwatch/wbwatch.conf:3",
                  "/proc/1/stack /sys/kernel/x / /home /var/lib /dev/sda1 /etc/wbwatch/wbwatch.conf:3" },
                { "/sys/fs/cgroup/cgroup.stat", "/sys/fs/cgroup/cgroup.stat" },
                { "bobby web70 kebob", "bobby web70 kebob" },
                { "CONFIG_KEYS=y", "CONFIG_KEYS=y" },
                { "RIP: 0010:wb_workfn+0x10/0x20, acme_fn+0x1/0x2 [acme], x.acme.0+0x1/0x2",
                  "RIP: 0010:wb_workfn+0x10/0x20, acme_fn+0x1/0x2 [<user>], x.acme.0+0x1/0x2" },
                { "workqueue: wb_workfn hogged CPU, in cgwb wb_inodes: max_wb",
                  "workqueue: wb_workfn hogged CPU, in cgwb wb_inodes: max_wb" },
                { "dbus-org.wbwatch1.service org.wbwatch1.Error.x kernel.hung.task \\_SB.PCI0.LPCB.ec",
                  "dbus-org.wbwatch1.service org.wbwatch1.Error.x kernel.hung.task \\_SB.PCI0.LPCB.ec" },
                { "usb 1-1: New USB device found, idVendor=1d6b",
                  "usb 1-1: New USB device found, idVendor=1d6b" },
                /* Names. */
                { "acme_db wb", "<user>_db <host>" },
                { "web7: bob's on web7.example.com, x.example.com",
                  "<host>: <user>'s on <host>, x.<domain>" },
                { "nfs: server nas1 not responding", "nfs: server <host> not responding" },
                { "Bob Smith <bob@nas1>", "<user> <<user>@<host>>" },
                { "mapper vg0-secret", "mapper <volume>" },
                /* Paths, the same number for the same one. */
                { "/home/bob/x, /srv/a, /home/bob/x", "<path-1>, <path-2>, <path-1>" },
                { "\"/mnt/my disk\": /mnt/my", "\"<path-3>\": <path-4>" },
                { "cpuset=abc,task_memcg=/docker/abc", "cpuset=<cgroup>,task_memcg=<path-5>" },
                { "stats for /kubepods/pod1:", "stats for <path-6>:" },
                { "/sys/fs/cgroup/x.slice/y /dev/vg/lv", "<path-7> <path-8>" },
                { "cifs //nas1/share nas2:/export", "cifs <path-9> <host>:<path-10>" },
                /* Addresses and ids. */
                { "eth0: 52:54:00:12:ab:CD, MAC=ff:ff:ff:ff:ff:ff:52:54:00:12:34:56:08:00 x",
                  "eth0: <mac>, MAC=<mac> x" },
                { "SRC=10.1.2.3 DST=192.168.0.1:80 (8.8.8.8).", "SRC=<ip> DST=<ip>:80 (<ip>)." },
                { "fe80::1 2001:db8::a:b, ::1 1:2:3:4:5:6:7:8", "<ip> <ip>, <ip> <ip>" },
                { "mounted filesystem 01234567-89ab-cdef-0123-456789abcdef r/w",
                  "mounted filesystem <id> r/w" },
                { "0123456789abcdef0123456789abcdef01234567", "<id>" },
                { "usb 1-1: SerialNumber: A7 B8", "usb 1-1: SerialNumber: <serial>" },
                /* Lines of the kernel. */
                { "Linux version 6.1 (me@there) (gcc 1)", "Linux version 6.1 (<builder>) (gcc 1)" },
                { "Kernel command line: root=x secret=y\nnext", "Kernel command line: <left out>\nnext" },
                { "Command line: secret", "Command line: <left out>" },
                { "Unknown kernel command line parameters \"secret\"",
                  "Unknown kernel command line parameters <left out>" },
                { "[ 1.0]   with arguments:\n[ 1.0]     secret\n[ 1.0]     more\n[ 1.1] x",
                  "[ 1.0]   with arguments:\n[ 1.1] x" },
                { "nfs: server gone.example.org not responding, timed out",
                  "nfs: server <host> not responding, timed out" },
                { "CIFS: VFS: \\\\gone\\share failed", "CIFS: VFS: <share> failed" },
                { "iscsi: iqn.2001-04.org.example:disk, x", "iscsi: <iqn>, x" },
                { "BTRFS: device label customer-db devid 1 transid 7 /dev/sda\nBTRFS: device label my data",
                  "BTRFS: device label <label> devid 1 transid 7 /dev/sda\nBTRFS: device label <label>" },
                { "nvme nvme0: new ctrl: NQN \"nqn.1992-08.com.x:acme-prod\", addr",
                  "nvme nvme0: new ctrl: NQN \"<nqn>\", addr" },
                { "usb 1-1: Product: John's iPhone\nusb 1-1: Manufacturer: J. Doe",
                  "usb 1-1: Product: <left out>\nusb 1-1: Manufacturer: <left out>" },
                { "input: John's keys as /devices/x", "input: <left out> as /devices/x" },
                { "hid-generic 0003:1:2.3: input: USB HID v1.11 Mouse [John's] on usb-0",
                  "hid-generic 0003:1:2.3: input: USB HID v1.11 Mouse [<left out>] on usb-0" },
                { "NFS: nas9.other.example: lost 3 locks", "NFS: <host>: lost 3 locks" },
                { "CIFS: Server fileserver2 has not responded", "CIFS: Server <host> has not responded" },
                { "NFS: server fileserver2 error: x", "NFS: server <host> error: x" },
                { "NFS: the server does not know this", "NFS: the server does not know this" },
                { "rbd: image acme-disk: breaking", "rbd: image <image>: breaking" },
                { "br-acme: port 1(veth-cust1) entered blocking state",
                  "<interface>: port 1(<interface>) entered blocking state" },
                { "acmelan: port 2(custlan) entered disabled state",
                  "<interface>: port 2(<interface>) entered disabled state" },
                { "device tap-johndoe entered promiscuous mode\ncustlan: left allmulticast mode",
                  "device <interface> entered promiscuous mode\n<interface>: left allmulticast mode" },
                { "IPv6: ADDRCONF(NETDEV_CHANGE): custlan: link becomes ready",
                  "IPv6: ADDRCONF(NETDEV_CHANGE): <interface>: link becomes ready" },
                { "IN=custlan OUT= PHYSIN=tap-johndoe x", "IN=<interface> OUT= PHYSIN=<interface> x" },
                { "Loaded X.509 cert 'Acme Corp's MOK: 1234'", "Loaded X.509 cert <left out>" },
                { "luks-01234567-89ab-cdef-0123-456789abcdef", "luks-<id>" },
                { "ata1: SN: Z1Z2Z3, S/N=Z4", "ata1: SN: <serial>, S/N=<serial>" },
                { "WWN 0x5000c500a1b2c3d4, wwpn=10000000c9a1b2c3 naa.5000c500a1b2c3d4",
                  "WWN <id>, wwpn=<id> naa.<id>" },
                { "handle(0x9), sas_address(0x4433221103000000), phy(3)",
                  "handle(0x9), sas_address(<id>), phy(3)" },
                { "mount nas9:/home nas9:/srv/b", "mount <host>:/home <host>:<path-11>" },
                { "audit: type=1400 audit(1.2:3): exe=\"x\"\nnext", "audit: type=<left out>\nnext" },
                { "CONFIG_CMDLINE=\"secret\"", "CONFIG_CMDLINE=\"<left out>\"" },
                /* Bytes that are not UTF-8. */
                { "\xff bob \xfe", "\xff <user> \xfe" },
        };
        _cleanup_(redactor_freep) Redactor *redactor = redactor_new(NAMES);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *text = redact(redactor, cases[i].text, true);

                g_assert_cmpstr(text, ==, cases[i].expected);
        }
}

/* A machine with very many users and mounts. */
static void test_redact_many(void) {
        g_autoptr(GString) users = g_string_new(NULL), mounts = g_string_new(NULL);
        _cleanup_(redactor_freep) Redactor *of_users = NULL, *of_mounts = NULL;
        g_autofree char *text = NULL, *refused = NULL;

        for (unsigned i = 0; i < 5000; i++) {
                g_string_append_printf(users, "user person%u\nuser Some Person%u\n", i, i);
                g_string_append_printf(mounts, "path /mnt/a disk %u\n", i);
        }
        of_users = redactor_new(users->str);
        text = redact(of_users, "person1 person4999, person5000: Some Person7 Some Person", true);
        g_assert_cmpstr(text, ==, "<user> <user>, person5000: <user> Some Person");

        /* More than can be found: no text rather than one with such names. */
        of_mounts = redactor_new(mounts->str);
        refused = redact(of_mounts, "/mnt/a disk 7", true);
        g_assert_null(refused);
}

/* The summary */

#define NOW UINT64_C(1700000000000000)
#define SPINNING                                                                                             \
        "Up to 2 kernel workers spin in inode_switch_wbs at the same time (5 of 5 scans), Linux 6.1.\n"
#define CALM "No kernel worker runs inode_switch_wbs now, Linux 6.1.\n"
#define EPISODE(outcome) "{\"Outcome\":\"" outcome "\",\"Work\":\"inode_switch_wbs\",\"SpinningMax\":13}"
#define LAST "Up to 13 kernel workers were spinning in inode_switch_wbs, "

/* The worse comes first: what happens now, or what happened before. */
static void test_sentences(void) {
        static const struct {
                const char *workers, *episodes, *expected;
        } cases[] = {
                { CALM, "[]", CALM },
                { CALM, NULL, CALM },
                { NULL, NULL, "Whether kernel workers are stuck now could not be seen.\n" },
                { SPINNING "more\n", "[]", SPINNING },
                { CALM, "[" EPISODE("recovered") "]",
                  LAST "until a sync ended it (the only recorded stall).\n" CALM },
                { SPINNING, "[" EPISODE("recovered") "," EPISODE("ongoing") "]",
                  SPINNING LAST "and it has not ended yet (the last of 2 recorded stalls).\n" },
                { CALM, "[" EPISODE("cleared") "]",
                  LAST "until it ended without a sync (the only recorded stall).\n" CALM },
                { CALM, "[{\"Outcome\":\"cleared\",\"Work\":\"x\",\"SpinningMax\":1}]",
                  "A kernel worker was spinning in x, until it ended without a sync (the only recorded "
                  "stall).\n" CALM },
                { CALM, "[{\"Outcome\":\"cleared\",\"Work\":\"x\",\"WorkerCount\":21,\"SpinningMax\":8}]",
                  "Up to 8 kernel workers were spinning in x (21 were running, waiting ones included), until "
                  "it ended without a sync (the only recorded stall).\n" CALM },
                { CALM, "[" EPISODE("outlived") "]",
                  LAST "and no sync ended it (the only recorded stall).\n" CALM },
        };
        static const Part workers = { .file = "workers.txt", .what = "" },
                          episodes = { .file = "episodes.json", .what = "" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const PartResult results[] = { { &workers, (char *) cases[i].workers, NULL },
                                               { &episodes, (char *) cases[i].episodes, NULL },
                                               {} };
                g_autofree char *summary = report_summary(&(ReportOptions){}, results, NOW);

                *strstr(summary, "\nReport:  ") = '\0';
                g_assert_cmpstr(summary, ==, cases[i].expected);
        }
}

/* Then the verdict of doctor. */
static void test_verdict(void) {
        static const Part workers = { .file = "workers.txt", .what = "" },
                          doctor = { .file = "doctor.txt", .what = "" };
        static char calm[] = CALM, text[] = "● Affected: a kernel\nwith bugs.\n\nKernel:\n  more\n";
        const PartResult results[] = { { &workers, calm, NULL }, { &doctor, text, NULL }, {} };
        g_autofree char *summary = report_summary(&(ReportOptions){}, results, NOW);

        g_assert_true(g_str_has_prefix(summary, CALM "\nAffected: a kernel\nwith bugs.\n\nReport:  "));
}

/* Machines: folders that --root reads in place of /. */

typedef struct Machine {
        FakeProc proc;
        char *root;
} Machine;

static void put(const Machine *machine, const char *path, const char *text) {
        g_autofree char *full = g_build_filename(machine->root, path, NULL),
                        *folder = g_path_get_dirname(full);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

/* Replaces a file by a FIFO, which nobody writes to: reading it hangs. */
static void put_fifo(const Machine *machine, const char *path) {
        g_autofree char *full = g_build_filename(machine->root, path, NULL);

        g_assert_cmpint(g_unlink(full), ==, 0);
        g_assert_cmpint(mkfifo(full, 0644), ==, 0);
}

/* Levels: 6 is "info"; 8 times the facility is added, 0 for the kernel and 3 for daemons. */
#define KMSG                                                                                                 \
        "6,1,1000,-;Linux version 6.12.94-made (builder@SECRETbuild) (gcc 12)\n"                             \
        "6,2,2000,-;Kernel command line: root=/dev/sda1 password=SECRETcommand\n"                            \
        "30,3,3000,-;workqueue: a daemon said hogged CPU\n"                                                  \
        "4,4,9123456,-;workqueue: inode_switch_wbs_work_fn hogged CPU for >10000us 4 times\n"                \
        " SUBSYSTEM=x\n"                                                                                     \
        "6,5,5000,-;nfs: server SECRETserver not responding\n"                                               \
        "6,6,6000,-;CIFS: user SECRETuser at SECREThost\n"                                                   \
        "6,7,7000,-;oom-kill:cpuset=SECRETcgroup,oom_memcg=/SECRETcgroup,task=x\n"                           \
        "6,8,8000,-;Memory cgroup stats for /SECRETcgroup/a:\n"                                              \
        "6,8,8500,-;x+0x1: vm_mmap_pgoff+0x1/0x2 total-vm:1kB vm_area node 0 io_uring\n"                     \
        "6,8,8600,-;SECRETlan: link is up\n"                                                                 \
        "6,9,9000,-;IN=eth0 MAC=52:54:00:ab:cd:ef SRC=10.98.76.54 DST=fd98:7654::32\n"

static Machine machine_new(void) {
        Machine machine = { .proc = fake_proc_new(), .root = g_dir_make_tmp("wbwatch-root-XXXXXX", NULL) };
        g_autofree char *proc = g_build_filename(machine.root, "proc", NULL);

        g_assert_nonnull(machine.root);
        g_assert_cmpint(symlink(machine.proc.root, proc), ==, 0);

        for (int i = 0; i < 3; i++)
                fake_proc_put(&machine.proc, &(FakeThread){ .pid = 101 + i,
                                                            .name = i < 2 ? "kworker/0:1+inode_switch_wbs"
                                                                          : "kworker/u4:1+flush-8:0",
                                                            .flags = FLAGS_WORKER,
                                                            .state = i < 2 ? 'R' : 'D' });
        fake_proc_list(&machine.proc, "101 102 103 ");
        put(&machine, "proc/101/stack", "[<0>] inode_switch_wbs_work_fn+0x1/0x2\n");
        put(&machine, "proc/1000/cmdline", "program\0SECRETcommand");
        put(&machine, "proc/1000/cgroup", "0::/SECRETcgroup\n");
        put(&machine, "proc/version", "Linux version 6.12.94-made (builder@SECRETbuild) (gcc 12) #1\n");
        put(&machine, "proc/cmdline", "root=/dev/sda1 password=SECRETcommand\n");
        put(&machine, "proc/meminfo", "MemTotal: 1 kB\nDirty: 77 kB\nWriteback: 0 kB\n");
        put(&machine, "proc/vmstat", "nr_vmscan_write 5\nallocstall_normal 0\n");
        put(&machine, "proc/pressure/cpu", "some avg10=98.00\n");
        put(&machine, "proc/sys/kernel/osrelease", "6.12.94-made\n");
        put(&machine, "proc/sys/kernel/hostname", "SECREThost\n");
        put(&machine, "proc/sys/kernel/tainted", "12288\n");
        put(&machine, "proc/sys/vm/dirtytime_expire_seconds", "43200\n");
        put(&machine, "proc/sysrq-trigger", "");
        put(&machine, "proc/modules", "loop 40960 1 - Live 0xffffffffc0123456 (OE)\n");
        put(&machine, "proc/self/mountinfo",
            "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,lazytime,errors=remount-ro\n"
            "26 25 0:50 / /srv/SECRETmount rw - nfs4 SECRETserver:/SECRETexport rw,addr=10.98.76.54\n"
            "27 25 0:51 / /srv/a\\040SECRETmount rw - ext4 /dev/mapper/SECRETvolume rw\n");
        put(&machine, "boot/config-6.12.94-made", "CONFIG_MEMCG=y\nCONFIG_DEFAULT_HOSTNAME=\"SECREThost\"\n");
        put(&machine, "dev/kmsg", KMSG);
        put(&machine, "etc/hostname", "SECREThost\n");
        put(&machine, "etc/os-release", "NAME=x\nPRETTY_NAME=\"Made Linux 7\"\n");
        put(&machine, "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nSECRETuser:x:1000:1000:SECRET "
            "person,,,:/home/SECRETuser:/bin/sh\nvm:x:1001:1001::/home/vm:/bin/sh\nio:x:1002:1002::/home/io:/"
            "bin/sh\n"
            "node:x:1003:1003:mem:/home/node:/bin/sh\n");
        put(&machine, "sys/class/net/SECRETlan/mtu", "1500\n");
        put(&machine, "sys/devices/system/cpu/online", "0-1\n");
        put(&machine, "sys/fs/cgroup/cgroup.stat", "nr_descendants 12\nnr_dying_descendants 11\n");
        put(&machine, "sys/fs/cgroup/cgroup.subtree_control", "memory io\n");
        put(&machine, "sys/fs/cgroup/SECRETcgroup/cgroup.stat", "nr_descendants 1\nnr_dying_descendants 9\n");
        return machine;
}

static void machine_done(Machine *machine) {
        g_autofree char *proc = g_build_filename(machine->root, "proc", NULL);
        FakeProc rest = { .root = machine->root };

        g_assert_cmpint(g_unlink(proc), ==, 0);
        fake_proc_done(&machine->proc);
        fake_proc_done(&rest);
}
#define _cleanup_machine_ _cleanup_(machine_done)

/* Runs a shell command, in which $wbctl and $root are set, and $PWD is another empty folder. Returns its
 * stdout; *ret_stderr may be NULL. */
static char *run(const Machine *machine, const char *command, int status, char **ret_stderr) {
        const char *arguments[] = { "sh", "-ec", command, NULL };
        g_auto(GStrv) environment = g_get_environ();
        g_autofree char *folder = g_build_filename(machine->root, "out", NULL), *errors = NULL;
        g_autoptr(GError) error = NULL;
        char *out;
        int wait_status;

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        environment = g_environ_setenv(environment, "wbctl", g_getenv("WBCTL"), true);
        environment = g_environ_setenv(environment, "root", machine->root, true);
        environment = g_environ_setenv(
                        environment, "DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", true);
        g_spawn_sync(folder, (char **) arguments, environment, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &errors,
                     &wait_status, &error);
        g_assert_no_error(error);
        g_test_message("%s: %s%s", command, out, errors);
        g_assert_true(WIFEXITED(wait_status));
        g_assert_cmpint(WEXITSTATUS(wait_status), ==, status);
        if (ret_stderr)
                *ret_stderr = g_steal_pointer(&errors);
        return out;
}

static void assert_has(const char *text, const char *part) {
        if (!strstr(text, part))
                g_error("\"%s\" is missing in: %s", part, text);
}

static void assert_lacks(const char *text, const char *part) {
        if (strstr(text, part))
                g_error("\"%s\" is in: %s", part, text);
}

/* Private texts of the machine. */
static const char *const secrets[] = { "SECRET", "52:54:00:ab:cd:ef", "10.98.76.54", "fd98:7654::32" };

/* tar and xz can read it, only its owner may, summary.txt is first. */
static void check_archive(const Machine *machine) {
        g_autofree char *mode = run(machine, "xz -t *; stat -c %a *", 0, NULL),
                        *list = run(machine, "tar -tJf *", 0, NULL),
                        *config = run(machine, "tar -xJOf * config.txt", 0, NULL),
                        *json = run(machine,
                                    "for part in episodes list status; do tar -xJOf * $part.json |"
                                    " head -c 1; done",
                                    0, NULL);

        g_assert_cmpstr(mode, ==, "600\n");
        g_assert_true(g_str_has_prefix(list, "summary.txt\nsystem.txt\nworkers.txt\n"));
        g_assert_cmpstr(json, ==, "[[{"); /* what can be known without a bus, and no messages */
        g_assert_cmpstr(config, ==, "CONFIG_MEMCG=y\nCONFIG_DEFAULT_HOSTNAME=\"<left out>\"\n");
}

static void check_summary(const Machine *machine) {
        static const char *const parts[] = {
                "Linux version 6.12.94-made (<builder>) (gcc 12) #1\n",
                "Distribution:  Made Linux 7\n",
                "CPUs online:   0-1\n",
                "Controllers:   memory io\n",
                "Taint:         12288; a module from outside of the kernel's tree was loaded; an unsigned",
                "\n    2         0        5 of 5  0%   inode_switch_wbs\n",
                "\n    0         1        0 of 5  0%   flush-8:0\n",
                "\n    [    9.123456] workqueue: inode_switch_wbs_work_fn hogged CPU for >10000us 4 times\n",
                "\n    Dirty: 77 kB\n",
                "\n    nr_vmscan_write 5\n",
                "\n    /proc/pressure/cpu: some avg10=98.00\n",
                "\n    nr_dying_descendants 11\n",
                "\n    8:1     ext4       / rw,relatime; rw,lazytime,errors=remount-ro\n",
                "\n    /proc/sys/vm/dirtytime_expire_seconds: 43200\n",
                "\n    status.txt: wbctl: No system bus",
                "\n    wbwatchd-log.txt: ",
                "(--sysrq).\n",
                "(--perf).\n",
        };
        g_autofree char *summary = run(machine, "tar -xJOf * summary.txt", 0, NULL);

        g_assert_true(g_str_has_prefix(
                        summary, "Up to 2 kernel workers spin in inode_switch_wbs at the same time (5 of 5 "
                                 "scans), Linux 6.12.94-made.\n"));
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                assert_has(summary, parts[i]);

        /* Other programs may log the same words. */
        assert_lacks(summary, "a daemon said");
}

static void check_private(const Machine *machine) {
        g_autofree char *all = run(machine, "tar -xJOf *", 0, NULL);

        for (size_t i = 0; i < ELEMENTSOF(secrets); i++)
                assert_lacks(all, secrets[i]);
        assert_has(all, "nfs: server <host> not responding");
        assert_has(all, "x+0x1: vm_mmap_pgoff+0x1/0x2 total-vm:1kB vm_area node 0 io_uring\n");
        assert_has(all, "<interface>: link is up\n");
        assert_has(all, "<cgroup>: nr_descendants 1");
        assert_has(all, "stack: [<0>] inode_switch_wbs_work_fn");
        assert_lacks(all, "0xffffffffc0123456");
}

static void test_report(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *path = run(&machine, "$wbctl report --root=$root", 0, NULL),
                        *sysrq = run(&machine, "cat $root/proc/sysrq-trigger", 0, NULL);

        g_assert_true(g_regex_match_simple("^wbwatch-report-[0-9]{8}T[0-9]{6}Z\\.tar\\.xz\n$", path, 0, 0));
        g_assert_cmpstr(sysrq, ==, "");
        check_archive(&machine);
        check_summary(&machine);
        check_private(&machine);
}

static void put_program(const Machine *machine, const char *path, const char *script) {
        g_autofree char *full = g_build_filename(machine->root, path, NULL);

        put(machine, path, script);
        g_assert_cmpint(g_chmod(full, 0755), ==, 0);
}

/* A virtual machine with cgroups of both versions, without modules, whose log is full of other stalls: the
 * lines about this one and a stack of each kind come first. */
static void test_other_machine(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autoptr(GString) log = g_string_new(KMSG);
        g_autofree char *summary = NULL, *modules = NULL;
        static const char *const parts[] = {
                "Machine:       QEMU Standard PC, a virtual machine\nCPU:           Some CPU @ 2 GHz\n",
                "Controllers:   cpu memory io\n",
                "\n    nr_dying_descendants 7\n",
                "\nThe last lines of the kernel about it (kernel-log.txt):\n\n"
                "    [    9.123456] workqueue: inode_switch_wbs_work_fn hogged CPU for >10000us 4 times\n\n"
                "Its last lines about other stalls:\n\n    [    0.001000] workqueue: other hogged CPU\n",
                "\nStacks of a spinning and of a waiting worker:\n\n"
                "    kworker/0:1+inode_switch_wbs (pid 101, state R)\n"
                "      [<0>] inode_switch_wbs_work_fn+0x1/0x2\n      [<0>] kthread+0x1/0x2\n"
                "    kworker/0:1+inode_switch_wbs (pid 104, state D)\n      [<0>] wait+0x1/0x2\n",
                "\n    kernel-log-earlier.txt: nothing was found",
        };

        for (unsigned i = 0; i < 100; i++)
                g_string_append(log, "4,9,1000,-;workqueue: other hogged CPU\n");
        put(&machine, "dev/kmsg", log->str);
        put(&machine, "proc/cpuinfo", "model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu hypervisor lm\n");
        put(&machine, "sys/class/dmi/id/sys_vendor", "QEMU\n");
        put(&machine, "sys/class/dmi/id/product_name", "Standard PC\n");
        put(&machine, "sys/class/dmi/id/product_serial", "SECRETserial\n");
        put(&machine, "sys/fs/cgroup/unified/cgroup.controllers", "cpu memory io\n");
        put(&machine, "sys/fs/cgroup/unified/cgroup.subtree_control", "cpu memory io\n");
        put(&machine, "sys/fs/cgroup/unified/cgroup.stat", "nr_descendants 8\nnr_dying_descendants 7\n");
        put(&machine, "proc/101/stack", "[<0>] inode_switch_wbs_work_fn+0x1/0x2\n[<0>] kthread+0x1/0x2\n");
        fake_proc_put(&machine.proc, &(FakeThread){ .pid = 104,
                                                    .name = "kworker/0:1+inode_switch_wbs",
                                                    .flags = FLAGS_WORKER,
                                                    .state = 'D' });
        fake_proc_list(&machine.proc, "101 102 103 104 ");
        put(&machine, "proc/104/stack", "[<0>] wait+0x1/0x2\n");
        put_program(&machine, "bin/journalctl", "#!/bin/sh\nexit 1\n");

        summary = run(&machine,
                      "rm $root/proc/modules; PATH=$root/bin:$PATH $wbctl report --root=$root >/dev/null;"
                      "tar -xJOf * summary.txt",
                      0, NULL);
        modules = run(&machine, "tar -xJOf * modules.txt", 0, NULL);
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                assert_has(summary, parts[i]);
        assert_lacks(summary, "SECRET");
        g_assert_cmpstr(modules, ==, "This kernel has no loadable modules.\n");
}

/* A perf in place of the real one, which passes on what it has recorded. */
static void put_perf(const Machine *machine) {
        put_program(machine, "bin/perf",
                    "#!/bin/sh\nif [ $1 = record ]; then echo profile of SECRETuser; else cat; fi\n");
}

/* With the options for more: what the report above lacks is there. To stdout. */
static void test_more(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *all = NULL, *name = NULL, *perf = NULL, *sysrq = NULL;

        put_perf(&machine);
        all = run(&machine,
                  "$wbctl report --names --root=$root >name &"
                  "PATH=$root/bin:$PATH $wbctl report --perf --root=$root -o perf &"
                  "$wbctl report --names --sysrq --root=$root -o - | tar -xJO; wait",
                  0, NULL);
        name = run(&machine, "cat name", 0, NULL);
        perf = run(&machine, "tar -xJOf perf perf.txt", 0, NULL);
        sysrq = run(&machine, "cat $root/proc/sysrq-trigger", 0, NULL);

        for (size_t i = 0; i < ELEMENTSOF(secrets); i++)
                assert_has(all, secrets[i]);
        assert_has(all, "SECRETserver:/SECRETexport");
        g_assert_cmpstr(sysrq, ==, "lwt");
        g_assert_cmpstr(perf, ==, "profile of <user>\n");
        g_assert_true(g_str_has_prefix(name, "wbwatch-report-SECREThost-"));
}

/* What hangs is missing, with the reason, and nothing else. If the private names are not known, nothing is
 * shown that may have some. */
static void test_hanging_parts(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *all = NULL;

        put_fifo(&machine, "proc/meminfo");
        put_fifo(&machine, "etc/passwd");
        all = run(&machine, "$wbctl report --root=$root --timeout=4s; tar -tJf *; tar -xJOf *", 0, NULL);
        assert_has(all, "\n    memory.txt: given up after 4s\n");
        assert_has(all, "\n    kernel-log.txt: left out: its private names could not be found and removed\n");
        assert_has(all, "\nvmstat.txt\n");
        assert_lacks(all, "\nmemory.txt\n");
        assert_lacks(all, "\nkernel-log.txt\n");
        for (size_t i = 0; i < ELEMENTSOF(secrets); i++)
                assert_lacks(all, secrets[i]);
}

/* Of a long kernel log the last lines are kept. */
static void test_long_log(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autoptr(GString) log = g_string_new("6,1,1000,-;first\n");
        g_autofree char *out = NULL;

        for (unsigned i = 0; i < 60000; i++)
                g_string_append(log, "6,1,1000,-;some more\n");
        g_string_append(log, "6,1,1000,-;last\n");
        put(&machine, "dev/kmsg", log->str);

        out = run(&machine, "$wbctl report --root=$root -o - | tar -xJO kernel-log.txt | sed -n '1,2p;$p'", 0,
                  NULL);
        g_assert_cmpstr(out, ==,
                        "(earlier lines are left out)\n[    0.001000] some more\n[    0.001000] last\n");
}

static void test_usage(void) {
        _cleanup_machine_ Machine machine = machine_new();
        static const struct {
                const char *command, *words;
        } cases[] = {
                { "$wbctl report --root=$root --timeout=soon", "\"soon\" is not a duration." },
                { "$wbctl report --root=$root --timeout=0", "--timeout: \"0\" is not from 1ms to 7d." },
                { "$wbctl status --sysrq", "--sysrq works with report only, not with status" },
                { "$wbctl report now", "argument \"now\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *errors = NULL, *out = run(&machine, cases[i].command, 2, &errors);

                g_assert_cmpstr(out, ==, "");
                assert_has(errors, cases[i].words);
        }
}

/* Nothing is overwritten. */
static void test_output_errors(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *errors = NULL,
                        *out = run(&machine,
                                   "echo old >there; for file in there no/folder; do"
                                   " ($wbctl report --root=$root -o $file || echo $file $? >&2) & "
                                   "done; $wbctl report --root=$root -o - >/dev/full || echo - $?; wait; cat "
                                   "there",
                                   0, &errors);

        g_assert_cmpstr(out, ==, "- 1\nold\n");
        assert_has(errors, "Cannot write there: File exists.\n");
        assert_has(errors, "there 1\n");
        assert_has(errors, "Cannot write no/folder: No such file or directory.\n");
        assert_has(errors, "no/folder 1\n");
        assert_has(errors, "Cannot write the report: No space left on device.\n");
}

/* A file that cannot be written is refused before the work, which here would never end: the parts hang. */
static void test_output_first(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *errors = NULL, *out = NULL;

        put_fifo(&machine, "proc/meminfo");
        out = run(&machine,
                  "touch there; for file in there no/folder .; do"
                  " timeout 20 $wbctl report --root=$root --timeout=1h -o $file || echo $?; done",
                  0, &errors);
        g_assert_cmpstr(out, ==, "1\n1\n1\n");
        assert_has(errors, "Cannot write there: File exists.\n");
        assert_has(errors, "Cannot write no/folder: No such file or directory.\n");
}

/* Nobody reads the pipe, and what is missing is said there, too. */
static void test_output_stdout(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *errors = NULL,
                        *out = run(&machine,
                                   "head -c 300000 /dev/urandom | base64 | sed 's/^/6,1,1,-;/' "
                                   ">$root/dev/kmsg;"
                                   "mkfifo pipe; exec 3<>pipe; timeout 30 $wbctl report --root=$root "
                                   "--timeout=5s -o - >&3 || echo $?; exec 3>&-;"
                                   "$wbctl report --root=$root -o - | tar -tJ | sed -n 1p",
                                   0, &errors);

        g_assert_cmpstr(out, ==, "1\nsummary.txt\n");
        assert_has(errors, "Cannot write the report within 5s: who reads it may hang.");
        assert_has(errors, " parts are missing or incomplete: summary.txt in it says why.\n");
}

/* The daemon of this machine is not that of another root; one that the caller names may be. */
static void test_other_root(void) {
        _cleanup_machine_ Machine machine = machine_new();
        static const char *const files[] = { "status.txt",    "status.json", "episodes.txt",
                                             "episodes.json", "list.json",   "settings.txt" };
        g_autofree char *list = NULL, *summary = NULL, *named = NULL, *workers = NULL;

        g_free(run(&machine,
                   "unset DBUS_SYSTEM_BUS_ADDRESS; $wbctl report --root=$root -o here &"
                   "$wbctl --socket=/nonexistent report --root=$root -o named; wait",
                   0, NULL));
        list = run(&machine, "tar -tJf here", 0, NULL);
        summary = run(&machine, "tar -xJOf here summary.txt", 0, NULL);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                g_autofree char *line =
                                g_strdup_printf("\n    %s: wbwatchd is not examined with --root\n", files[i]);

                assert_lacks(list, files[i]);
                assert_has(summary, line);
        }
        assert_has(list, "\ndoctor.txt\n");

        named = run(&machine, "tar -xJOf named summary.txt", 0, NULL);
        assert_has(named, "\n    status.txt: wbctl: wbwatchd is not running, or has no socket at ");
        workers = run(&machine, "tar -xJOf named list.json", 0, NULL);
        assert_has(workers, "\"Name\":\"kworker/0:1+inode_switch_wbs\"");
}

/* A filesystem without room, and one that cannot be written to. Nothing is left there. */
static void test_full_disk(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *disk = g_build_filename(machine.root, "disk", NULL), *full = NULL, *read_only = NULL,
                        *out = NULL, *more = NULL;

        if (geteuid() != 0) {
                g_test_skip("needs root");
                return;
        }
        g_assert_cmpint(g_mkdir(disk, 0755), ==, 0);
        g_assert_no_errno(mount("tmpfs", disk, "tmpfs", 0, "size=4096"));
        out = run(&machine,
                  "head -c 4000 /dev/zero >$root/disk/zeros; $wbctl report --root=$root -o "
                  "$root/disk/x",
                  1, &full);
        assert_has(full, "/disk/x: No space left on device.");
        more = run(&machine, "ls $root/disk", 0, NULL);
        g_assert_cmpstr(more, ==, "zeros\n");

        g_assert_no_errno(mount(NULL, disk, NULL, MS_REMOUNT | MS_RDONLY, NULL));
        g_free(out);
        out = run(&machine, "$wbctl report --root=$root -o $root/disk/x", 1, &read_only);
        assert_has(read_only, "/disk/x: Read-only file system.");
        g_assert_no_errno(umount(disk));
}

/* A folder in which every open hangs, as on a disk that does not answer: a listener that never permits one.
 * The file, which exists by then, is removed. */
static void test_hanging_disk(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *disk = g_build_filename(machine.root, "disk", NULL),
                        *file = g_build_filename(disk, "x", NULL), *errors = NULL, *out = NULL;
        _cleanup_close_ int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);

        if (fd < 0) {
                g_test_skip("needs root");
                return;
        }
        g_assert_cmpint(g_mkdir(disk, 0755), ==, 0);
        g_assert_no_errno(
                        fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD, disk));
        out = run(&machine, "$wbctl report --root=$root --timeout=500ms -o $root/disk/x", 1, &errors);
        assert_has(errors, "/disk/x within 500ms: its disk may hang. Use --output=- or a file in /run.");
        g_assert_false(g_file_test(file, G_FILE_TEST_EXISTS));
}

/* What reportbug runs. It reads this machine, not a made-up one. */
static void test_bug_script(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *script = fixture_source_file("debian/wbwatch.bug-script"),
                        *quoted = g_shell_quote(script),
                        *command = g_strdup_printf(
                                        "PATH=$(dirname $wbctl):$PATH TMPDIR=$PWD sh %s 3>bug", quoted),
                        *out = run(&machine, command, 0, NULL),
                        *bug = run(&machine, "cat bug; ls wbwatch-bug-*/wbwatch-report.tar.xz", 0, NULL);

        assert_has(out, "/wbwatch-report.tar.xz has the kernel's log");
        assert_has(bug, "-- Summary by wbctl report --");
        assert_has(bug, "\nKernel:        Linux version ");
}

/* Neither fails reportbug: no report is made, and then nothing is left; or its summary cannot be read. */
static void test_bug_script_fails(void) {
        _cleanup_machine_ Machine machine = machine_new();
        g_autofree char *script = fixture_source_file("debian/wbwatch.bug-script"),
                        *quoted = g_shell_quote(script),
                        *command = g_strdup_printf(
                                        "PATH=$root/bin:$PATH TMPDIR=$PWD sh %s 3>bug; ls; cat bug", quoted),
                        *refused = NULL, *unread = NULL;

        put_program(&machine, "bin/wbctl", "#!/bin/sh\nexit 1\n");
        refused = run(&machine, command, 0, NULL);
        g_assert_cmpstr(refused, ==, "bug\n");

        put_program(&machine, "bin/wbctl", "#!/bin/sh\n: >\"${2#--output=}\"\n");
        put_program(&machine, "bin/tar", "#!/bin/sh\nexit 2\n");
        unread = run(&machine, command, 0, NULL);
        assert_has(unread, "/wbwatch-report.tar.xz has the kernel's log");
        assert_has(unread, "-- Summary by wbctl report --\n\nIt could not be read from the archive.\n");
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        (void) isolate(0);

        g_test_add_func("/report/jobs/end", test_jobs_end);
        g_test_add_func("/report/jobs/hang", test_jobs_hang);
        g_test_add_func("/report/jobs/truncated", test_jobs_truncated);
        g_test_add_func("/report/redact/forms", test_redact);
        g_test_add_func("/report/redact/many", test_redact_many);
        g_test_add_func("/report/sentences", test_sentences);
        g_test_add_func("/report/verdict", test_verdict);
        g_test_add_func("/report/whole", test_report);
        g_test_add_func("/report/other-machine", test_other_machine);
        g_test_add_func("/report/more", test_more);
        g_test_add_func("/report/hanging-parts", test_hanging_parts);
        g_test_add_func("/report/long-log", test_long_log);
        g_test_add_func("/report/usage", test_usage);
        g_test_add_func("/report/output-errors", test_output_errors);
        g_test_add_func("/report/output-first", test_output_first);
        g_test_add_func("/report/output-stdout", test_output_stdout);
        g_test_add_func("/report/other-root", test_other_root);
        g_test_add_func("/report/full-disk", test_full_disk);
        g_test_add_func("/report/hanging-disk", test_hanging_disk);
        g_test_add_func("/report/bug-script", test_bug_script);
        g_test_add_func("/report/bug-script-fails", test_bug_script_fails);

        return g_test_run();
}
