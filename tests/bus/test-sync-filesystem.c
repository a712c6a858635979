/* SPDX-License-Identifier: GPL-3.0-or-later */

/* SyncFilesystem over the bus: real filesystems, one that hangs, a caller that is gone. */

#include "bus-fixture.h"

#include "own-disk.h"
#include "sync-witness.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static void write_to(const OwnDisk *disk) {
        g_autofree char *path = g_build_filename(disk->folder, "file", NULL);
        g_autofree char *data = g_malloc0(1 << 20);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        g_assert_no_errno(fd);
        g_assert_cmpint(write(fd, data, 1 << 20), ==, 1 << 20);
}

static GVariant *path_arguments(const char *path) {
        return g_variant_new("(s)", path);
}

/* It really syncs that filesystem, no other one, and nothing else shows it. */
static void test_syncs(BusFixture *fixture, gconstpointer data) {
        SyncRecords *records = sync_witness_new(fixture);
        OwnDisk disk = own_disk_new(), other = own_disk_new();
        _cleanup_client_ Client *client = fixture_start(fixture, "[Watch]\nDryRun=yes\n");
        g_autofree char *file = g_build_filename(disk.folder, "file", NULL);
        guint64 duration_usec;
        struct stat st;

        write_to(&disk);
        (void) client_call(client, "Pause", NULL);
        g_variant_get(client_call(client, "SyncFilesystem", path_arguments(file)), "(t)", &duration_usec);
        g_assert_no_errno(stat(file, &st));
        g_assert_cmpuint(atomic_load(&records->n), ==, 0);
        g_assert_cmpuint(atomic_load(&records->n_filesystems), ==, 1);
        g_assert_true(records->filesystems[0].device == st.st_dev);
        g_assert_cmpint(records->filesystems[0].error, ==, 0);
        g_assert_cmpuint(atomic_load(&records->filesystems[0].left_usec), >, 0);

        /* Of whatever type. */
        (void) client_call(client, "SyncFilesystem", path_arguments(fixture->folder));
        g_assert_no_errno(stat(fixture->folder, &st));
        g_assert_cmpuint(atomic_load(&records->n_filesystems), ==, 2);
        g_assert_true(records->filesystems[1].device == st.st_dev);

        assert_property(client, "State", "'paused'");
        assert_property(client, "SyncCount", "uint64 0");
        assert_property(client, "LastSyncResult", "''");
        assert_property(client, "FilesystemResults", "@aa{sv} []");
        g_assert_cmpuint(client_count_signals(client, "SyncStarted"), ==, 0);
        g_assert_cmpuint(client_count_signals(client, "SyncFinished"), ==, 0);

        fixture_stop_daemon(fixture);
        own_disk_done(&disk);
        own_disk_done(&other);
        sync_witness_free(records);
}

/* An invalid path is refused; one that does not exist is tried. */
static void test_fails(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "[Watch]\nSyncMethod=sync\n");
        g_autofree char *long_path = g_strnfill(PATH_MAX, '/'), *nowhere = NULL;

        client_call_fails(
                        client, "SyncFilesystem", path_arguments(""), ERROR_INVALID_ARGS,
                        "path: must not be empty");
        client_call_fails(
                        client, "SyncFilesystem", path_arguments("home/\033"), ERROR_INVALID_ARGS,
                        "path: home/\\x1b is not absolute");
        client_call_fails(
                        client, "SyncFilesystem", path_arguments(long_path), ERROR_INVALID_ARGS,
                        "path: its length of 4096 bytes exceeds the maximum of 4095");
        client_call_fails(client, "SyncFilesystem", NULL, ERROR_INVALID_ARGS, "");

        nowhere = g_build_filename(fixture->folder, "nowhere\n", NULL);
        client_call_fails(
                        client, "SyncFilesystem", path_arguments(nowhere), BUS_ERROR_SYNC_FAILED,
                        "nowhere\\x0a is unreachable: No such file or directory");
        long_path[PATH_MAX - 1] = '\0';
        memset(long_path + 1, 'x', PATH_MAX - 2);
        client_call_fails(
                        client, "SyncFilesystem", path_arguments(long_path), BUS_ERROR_SYNC_FAILED,
                        "x is unreachable: File name too long");
        (void) client_call(client, "SyncFilesystem", path_arguments("/"));
}

/* The worker is detected as stuck, and the sync that follows syncs the disk. */
static void await_automatic_sync(BusFixture *fixture, Client *client, const OwnDisk *disk) {
        GVariant *signal;
        g_autoptr(GVariant) details = NULL, filesystems = NULL;
        gboolean requested = true;
        bool found = false;

        fixture_add_worker(fixture);
        signal = client_wait_signal(client, "SyncFinished");
        g_variant_get_child(signal, 2, "@a{sv}", &details);
        g_assert_true(g_variant_lookup(details, "Requested", "b", &requested));
        g_assert_false(requested);
        fixture_remove_worker(fixture);

        filesystems = client_get(client, "FilesystemResults");
        for (size_t i = 0; i < g_variant_n_children(filesystems); i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);
                const char *mountpoint, *result;

                g_assert_true(g_variant_lookup(filesystem, "Mountpoint", "&s", &mountpoint));
                g_assert_true(g_variant_lookup(filesystem, "Result", "&s", &result));
                if (!streq(mountpoint, disk->folder))
                        continue;
                g_assert_cmpstr(result, ==, "ok");
                found = true;
        }
        g_assert_true(found);
}

/* One that hangs is answered in time, and does not delay the sync that a stall needs. */
static void test_hangs(BusFixture *fixture, gconstpointer data) {
        OwnDisk outer = own_disk_new(), inner = own_disk_new_on(&outer), other = own_disk_new();
        _cleanup_client_ Client *client = fixture_start(
                        fixture,
                        "[Watch]\nThresholdSec=1s\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\n"
                        "RecoverySec=0\nCountWaiting=yes\nSyncMethod=syncfs\nFilesystemTimeoutSec=3s\n");
        GDBusMessage *reply;
        guint32 serial;

        own_disk_freeze(&outer);
        write_to(&inner);
        serial = client_send_method(client, "SyncFilesystem", path_arguments(inner.folder));
        assert_reply_error(
                        client_wait_reply(client, serial), BUS_ERROR_SYNC_FAILED,
                        "has not answered within 3s");

        /* Nothing piles up behind it, and others are synced. */
        client_call_fails(
                        client, "SyncFilesystem", path_arguments(inner.folder), BUS_ERROR_SYNC_FAILED,
                        "has not answered within ");
        (void) client_call(client, "SyncFilesystem", path_arguments(other.folder));
        await_automatic_sync(fixture, client, &other);
        client_wait_property(client, "State", "'idle'");
        client_call_fails(client, "ForceSync", NULL, BUS_ERROR_SYNC_FAILED, "stalled");
        assert_property(client, "SyncCount", "uint64 2");

        own_disk_thaw(&outer);
        do
                reply = client_wait_reply(
                                client,
                                client_send_method(client, "SyncFilesystem", path_arguments(inner.folder)));
        while (g_dbus_message_get_message_type(reply) != G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
        (void) client_call(client, "ForceSync", NULL);

        fixture_stop_daemon(fixture);
        own_disk_done(&other);
        own_disk_done(&inner);
        own_disk_done(&outer);
}

/* The connection is lost before the end: nobody waits any more. */
static void test_lost(BusFixture *fixture, gconstpointer data) {
        OwnDisk outer = own_disk_new(), inner = own_disk_new_on(&outer);
        _cleanup_client_ Client *client =
                        fixture_start(fixture, "[Watch]\nSyncMethod=syncfs\nFilesystemTimeoutSec=1h\n");
        Client *later;

        own_disk_freeze(&outer);
        write_to(&inner);
        (void) client_send_method(client, "SyncFilesystem", path_arguments(inner.folder));
        (void) client_send_method(client, "SyncFilesystem", path_arguments(inner.folder));
        client_settle(client);
        client_call_fails(
                        client, "SyncFilesystem", path_arguments("/"), BUS_ERROR_BUSY,
                        "Too many syncs of single filesystems are under way or hang");
        fixture_stop_bus(fixture);
        fixture_start_bus(fixture);
        later = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(later, BUS_NAME));
        own_disk_thaw(&outer);
        while (g_dbus_message_get_message_type(client_wait_reply(
                               later, client_send_method(later, "SyncFilesystem", path_arguments("/")))) !=
               G_DBUS_MESSAGE_TYPE_METHOD_RETURN)
                ;

        client_free(later);
        fixture_stop_daemon(fixture);
        own_disk_done(&inner);
        own_disk_done(&outer);
}

int main(int argc, char *argv[]) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/sync-filesystem/syncs", test_syncs);
        FIXTURE_TEST("/sync-filesystem/fails", test_fails);
        FIXTURE_TEST("/sync-filesystem/hangs", test_hangs);
        FIXTURE_TEST("/sync-filesystem/lost", test_lost);

        return g_test_run();
}
