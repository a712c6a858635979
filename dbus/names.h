/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The names of the interface that org.wbwatch1.xml documents, and of the interfaces that it uses: for the
 * daemon, wbctl and tests. */

#define BUS_NAME "org.wbwatch1"
#define BUS_PATH "/org/wbwatch1"
#define BUS_INTERFACE "org.wbwatch1"

/* The members that wbctl calls or listens to. */
#define METHOD_PAUSE_FOR "PauseFor"
#define METHOD_RESUME "Resume"
#define METHOD_INHIBIT "Inhibit"
#define METHOD_FORCE_SYNC "ForceSync"
#define METHOD_SYNC_FILESYSTEM "SyncFilesystem"
#define METHOD_SET_PROPERTIES "SetProperties"
#define METHOD_RESET_PROPERTIES "ResetProperties"
#define METHOD_LIST_WORKERS "ListWorkers"
#define METHOD_LIST_EPISODES "ListEpisodes"
#define SIGNAL_EPISODE_STARTED "EpisodeStarted"
#define SIGNAL_EPISODE_ENDED "EpisodeEnded"
#define SIGNAL_SYNC_STARTED "SyncStarted"
#define SIGNAL_SYNC_FINISHED "SyncFinished"

#define BUS_ERROR_BUSY "org.wbwatch1.Error.Busy"
#define BUS_ERROR_STORE_FAILED "org.wbwatch1.Error.StoreFailed"
#define BUS_ERROR_SYNC_FAILED "org.wbwatch1.Error.SyncFailed"

/* The polkit actions. */
#define ACTION_CONFIGURE "org.wbwatch1.configure"
#define ACTION_PAUSE "org.wbwatch1.pause"
#define ACTION_FORCE_SYNC "org.wbwatch1.force-sync"

#define LOG_CONTROL_PATH "/org/freedesktop/LogControl1"
#define LOG_CONTROL_INTERFACE "org.freedesktop.LogControl1"

/* The bus itself, and the standard interfaces. */
#define DBUS_NAME "org.freedesktop.DBus"
#define DBUS_PATH "/org/freedesktop/DBus"
#define DBUS_INTERFACE "org.freedesktop.DBus"
#define DBUS_LOCAL "org.freedesktop.DBus.Local" /* signals from sd-bus itself about a connection */
#define DBUS_LOCAL_PATH "/org/freedesktop/DBus/Local"
#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define PEER_INTERFACE "org.freedesktop.DBus.Peer"
#define INTROSPECTABLE_INTERFACE "org.freedesktop.DBus.Introspectable"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

/* Prefixes of the errors that the bus returns if it cannot start a service: its own, and systemd's. */
#define ERROR_SPAWN_PREFIX "org.freedesktop.DBus.Error.Spawn."
#define ERROR_SYSTEMD_PREFIX "org.freedesktop.systemd1."
