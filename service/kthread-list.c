/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "kthread-list.h"

#include <ctype.h>
#include <dirent.h>
#include <stdalign.h>

/* The children of pid 2 (kthreadd) are the kernel threads. */
#define CHILDREN "task/2/children"

/* The initial size, so that the first stall of an ordinary machine needs no allocation. */
#define PIDS_MIN 4096

/* One read of the list returns at most a page; one of the folder as much as fits. */
#define BUFFER_SIZE (4 * 4096)

int kthread_list_init(KthreadList *list) {
        *list = KTHREAD_LIST_NONE;
        list->pids = calloc(PIDS_MIN, sizeof(pid_t));
        list->n_allocated = PIDS_MIN;
        list->buffer = malloc(BUFFER_SIZE);
        return list->pids && list->buffer ? 0 : -ENOMEM;
}

void kthread_list_done(KthreadList *list) {
        closep(&list->children_fd);
        free(list->pids);
        free(list->buffer);
        *list = KTHREAD_LIST_NONE;
}

/* Parses a decimal pid. Yields 0 for too large numbers and any other text. */
typedef struct PidParser {
        int64_t pid;
        bool broken;
} PidParser;

static void pid_parser_take(PidParser *parser, char c) {
        if (!is_digit(c)) {
                parser->broken = true;
                return;
        }

        parser->pid = parser->pid * 10 + (c - '0');
        if (parser->pid > INT32_MAX) {
                parser->pid = 0;
                parser->broken = true;
        }
}

/* Adds the pid that the parser has read, if it is valid, and resets the parser. */
static int add_pid(KthreadList *list, PidParser *parser) {
        pid_t pid = parser->broken ? 0 : (pid_t) parser->pid;

        *parser = (PidParser){};
        if (pid == 0)
                return 0;

        if (list->n_pids == list->n_allocated) {
                pid_t *pids = reallocarray(list->pids, list->n_allocated * 2, sizeof(pid_t));

                if (!pids)
                        return -ENOMEM;
                list->pids = pids;
                list->n_allocated *= 2;
        }

        list->pids[list->n_pids++] = pid;
        return 0;
}

/* Adds a part of the list, which may end within a number. */
static int add_part(KthreadList *list, PidParser *parser, size_t size) {
        for (size_t i = 0; i < size; i++) {
                int r;

                if (!isspace((unsigned char) list->buffer[i])) {
                        pid_parser_take(parser, list->buffer[i]);
                        continue;
                }

                r = add_pid(list, parser);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Lists the children of kthreadd. If there are none, pid 2 is not kthreadd: another PID namespace. */
static int list_children(KthreadList *list, ProcFiles *files) {
        PidParser parser = {};
        off_t offset = 0;
        ssize_t n;
        int r;

        n = proc_files_read(files, KTHREADD_PID, CHILDREN, &list->children_fd, list->buffer, BUFFER_SIZE);
        while (n > 0) {
                r = add_part(list, &parser, (size_t) n);
                if (r < 0)
                        return r;

                offset += n;
                n = pread(list->children_fd, list->buffer, BUFFER_SIZE, offset);
                if (n < 0)
                        n = -errno;
        }
        if (n < 0)
                return (int) n;

        r = add_pid(list, &parser);
        return r < 0 ? r : list->n_pids > 0 ? 0 : -ENOENT;
}

/* Adds the entries of a part of the folder that are pids. */
static int add_entries(KthreadList *list, size_t size) {
        for (size_t i = 0; i < size;) {
                const struct dirent64 *entry = (const void *) (list->buffer + i);
                PidParser parser = {};
                int r;

                i += entry->d_reclen;
                for (const char *p = entry->d_name; *p; p++)
                        pid_parser_take(&parser, *p);
                r = add_pid(list, &parser);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Lists all processes. */
static int list_folder(KthreadList *list, const ProcFiles *files) {
        if (lseek(files->root_fd, 0, SEEK_SET) < 0)
                return -errno;

        for (;;) {
                ssize_t n;
                int r;

                n = getdents64(files->root_fd, list->buffer, BUFFER_SIZE);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;

                r = add_entries(list, (size_t) n);
                if (r < 0)
                        return r;
        }
}

static void sift_down(pid_t *heap, size_t n, size_t i) {
        pid_t pid = heap[i];

        for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
                if (child + 1 < n && heap[child + 1] > heap[child])
                        child++;
                if (heap[child] <= pid)
                        break;
                heap[i] = heap[child];
                i = child;
        }

        heap[i] = pid;
}

/* Sorts the pids and drops duplicates. Heapsort, since qsort() allocates. The list is in order of creation,
 * so it is sorted already until pids wrap around. */
static void sort_pids(KthreadList *list) {
        pid_t *pids = list->pids;
        size_t n = list->n_pids, n_different = 0;
        bool sorted = true;

        for (size_t i = 1; i < n && sorted; i++)
                sorted = pids[i - 1] < pids[i];
        if (sorted)
                return;

        for (size_t i = n / 2; i > 0; i--)
                sift_down(pids, n, i - 1);
        for (size_t i = n - 1; i > 0; i--) {
                pid_t largest = pids[0];

                pids[0] = pids[i];
                pids[i] = largest;
                sift_down(pids, i, 0);
        }

        for (size_t i = 0; i < n; i++)
                if (n_different == 0 || pids[i] != pids[n_different - 1])
                        pids[n_different++] = pids[i];
        list->n_pids = n_different;
}

int kthread_list_read(KthreadList *list, ProcFiles *files) {
        int r;

        list->n_pids = 0;
        r = list_children(list, files);
        proc_files_release(files, &list->children_fd);

        list->kthreads_only = r >= 0 || r == -ENOMEM; /* without memory, the longer list would fail, too */
        if (!list->kthreads_only) {
                proc_files_note_error(files, r);
                list->n_pids = 0;
                r = list_folder(list, files);
        }
        if (r < 0)
                proc_files_note_error(files, r);

        sort_pids(list);
        return r;
}
