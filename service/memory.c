/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Memory: see memory.h. Segments of the program and its libraries that can't be written are copies of what is
 * on the disk: they can be given up at any time, and are read again when they are needed.
 */

#include "memory.h"

#include <glib.h>
#include <link.h>
#include <sys/mman.h>

#include "log.h"
#include "macro.h"

/* What of these will be used depends on what happens, so that all code is held, and the constants that it
 * needs. Nearly all constants of glib are about Unicode. Of every other library only what the self-test uses
 * is held. */
static const struct {
        const char *name;
        bool constants;
} held_libraries[] = {
        { "/libsystemd.so", true },
        { "/libc.so", true },
        { "/libglib-2.0.so", false },
};

typedef enum Step {
        STEP_GIVE_UP,
        STEP_HOLD,
} Step;

static bool is_held(const struct dl_phdr_info *object, bool *ret_constants) {
        if (object->dlpi_name[0] == '\0') { /* this program */
                *ret_constants = true;
                return true;
        }

        for (size_t i = 0; i < ELEMENTSOF(held_libraries); i++)
                if (strstr(object->dlpi_name, held_libraries[i].name)) {
                        *ret_constants = held_libraries[i].constants;
                        return true;
                }
        return false;
}

static const ElfW(Phdr) * find_segment(const struct dl_phdr_info *object, uint32_t type, uint32_t flags) {
        for (size_t i = 0; i < object->dlpi_phnum; i++)
                if (object->dlpi_phdr[i].p_type == type && (object->dlpi_phdr[i].p_flags & flags) == flags)
                        return object->dlpi_phdr + i;

        return NULL;
}

/* Whether a segment holds the constants that the code uses, and where they end. What stands before the code
 * is for the dynamic linker, and what stands behind the constants for debuggers. */
static bool has_constants(const struct dl_phdr_info *object, const ElfW(Phdr) * segment, uintptr_t *end) {
        const ElfW(Phdr) *code = find_segment(object, PT_LOAD, PF_X),
                         *unwinding = find_segment(object, PT_GNU_EH_FRAME, 0);

        if (!code || segment->p_vaddr < code->p_vaddr)
                return false;

        if (unwinding && unwinding->p_vaddr > segment->p_vaddr)
                *end = MIN(*end, object->dlpi_addr + unwinding->p_vaddr);
        return true;
}

static int take_step(struct dl_phdr_info *object, size_t size, void *userdata) {
        const Step *step = userdata;
        uintptr_t page_size = (uintptr_t) sysconf(_SC_PAGESIZE);
        bool constants = false;

        if (*step == STEP_HOLD && !is_held(object, &constants))
                return 0;

        /* Backwards, since the table of segments is in the first of them: it is given up last. */
        for (size_t i = object->dlpi_phnum; i-- > 0;) {
                const ElfW(Phdr) *segment = object->dlpi_phdr + i;
                uintptr_t begin = object->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz;
                int advice;

                if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
                        continue;

                if (*step == STEP_GIVE_UP)
                        advice = MADV_DONTNEED;
                else if ((segment->p_flags & PF_X) || (constants && has_constants(object, segment, &end)))
                        advice = MADV_POPULATE_READ;
                else
                        continue;

                begin -= begin % page_size;
                if (madvise((void *) begin, end - begin, advice) < 0)
                        log_debug("Can't %s a part of %s, going on without: %m",
                                  *step == STEP_HOLD ? "hold" : "give up",
                                  object->dlpi_name[0] ? object->dlpi_name : "the program");
        }

        return 0;
}

void memory_settle(void) {
        /* The C library resolves its own realloc() when it first needs it, which takes the symbols of all
         * libraries: now, and not later. */
        free(reallocarray(NULL, 1, 1));

        (void) dl_iterate_phdr(take_step, &(Step){ STEP_GIVE_UP });

        /* The pages that were touched once stay: nothing is read from a disk that hangs. Not those that never
         * are. */
        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                log_info("Can't lock the memory, going on without: %m");

        (void) dl_iterate_phdr(take_step, &(Step){ STEP_HOLD });
}

void memory_return_unused(void *array, size_t element_size, size_t n_kept, size_t n) {
        uintptr_t page_size = (uintptr_t) sysconf(_SC_PAGESIZE);
        uintptr_t begin = (uintptr_t) array + n_kept * element_size,
                  end = (uintptr_t) array + n * element_size;

        begin = (begin + page_size - 1) / page_size * page_size;
        end = end / page_size * page_size;
        if (begin < end)
                (void) madvise((void *) begin, end - begin, MADV_DONTNEED_LOCKED);
}
