/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Read-only segments of the program and its libraries are copies of files: they can be released at any time,
 * and are read again when needed.
 */

#include "memory.h"

#include <link.h>
#include <sys/mman.h>

#include "log.h"
#include "macro.h"

/* Libraries of which all code and constants are held, since events decide which parts are used. Of other
 * libraries only what is used after memory_prepare() is held: of glib the validation of
 * UTF-8, which the self-test uses. */
static const char *const held_libraries[] = { "/libsystemd.so", "/libc.so" };

typedef enum Step {
        STEP_RELEASE,
        STEP_HOLD,
} Step;

static bool is_held(const struct dl_phdr_info *object) {
        if (object->dlpi_name[0] == '\0') /* this program */
                return true;

        for (size_t i = 0; i < ELEMENTSOF(held_libraries); i++)
                if (strstr(object->dlpi_name, held_libraries[i]))
                        return true;
        return false;
}

static const ElfW(Phdr) * find_segment(const struct dl_phdr_info *object, uint32_t type, uint32_t flags) {
        for (size_t i = 0; i < object->dlpi_phnum; i++)
                if (object->dlpi_phdr[i].p_type == type && (object->dlpi_phdr[i].p_flags & flags) == flags)
                        return object->dlpi_phdr + i;

        return NULL;
}

/* Whether a segment contains the constants that the code uses, and where they end. Data before the code is
 * for the dynamic linker, data after the constants for debuggers. */
static bool has_constants(const struct dl_phdr_info *object, const ElfW(Phdr) * segment, uintptr_t *end) {
        const ElfW(Phdr) *code = find_segment(object, PT_LOAD, PF_X),
                         *unwinding = find_segment(object, PT_GNU_EH_FRAME, 0);

        if (!code || segment->p_vaddr < code->p_vaddr)
                return false;

        if (unwinding && unwinding->p_vaddr > segment->p_vaddr)
                *end = MIN(*end, object->dlpi_addr + unwinding->p_vaddr);
        return true;
}

static void advise(const struct dl_phdr_info *object, uintptr_t begin, uintptr_t end, int advice) {
        if (begin < end && madvise((void *) begin, end - begin, advice) < 0)
                log_debug("Can't %s a part of %s, ignoring: %m",
                          advice == MADV_POPULATE_READ ? "hold" : "release",
                          object->dlpi_name[0] ? object->dlpi_name : "the program");
}

static int execute_step(struct dl_phdr_info *object, size_t size, void *userdata) {
        const Step *step = userdata;
        uintptr_t page_size = (uintptr_t) sysconf(_SC_PAGESIZE);

        if (*step == STEP_HOLD && !is_held(object))
                return 0;

        /* Backwards, since the first segment contains this table, and must be released last. */
        for (size_t i = object->dlpi_phnum; i-- > 0;) {
                const ElfW(Phdr) *segment = object->dlpi_phdr + i;
                uintptr_t begin = object->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz,
                          held = end;

                if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
                        continue;

                begin -= begin % page_size;
                if (*step == STEP_RELEASE) {
                        advise(object, begin, end, MADV_DONTNEED);
                        continue;
                }

                if (!(segment->p_flags & PF_X) && !has_constants(object, segment, &held))
                        held = begin;
                advise(object, begin, held, MADV_POPULATE_READ);

                /* The kernel maps pages around those that are used. */
                held += (page_size - held % page_size) % page_size;
                advise(object, held, end, MADV_DONTNEED_LOCKED);
        }

        return 0;
}

void *memory_new_sparse(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return memory == MAP_FAILED ? NULL : memory;
}

void memory_free_sparse(void *memory, size_t size) {
        if (memory)
                (void) munmap(memory, size);
}

void memory_prepare(void) {
        /* The C library resolves its own realloc() at the first call, which reads the symbols of all
         * libraries. */
        free(reallocarray(NULL, 1, 1));

        (void) dl_iterate_phdr(execute_step, &(Step){ STEP_RELEASE });

        /* Pages stay in memory once they are used, and need not be read again from a disk that hangs. Pages
         * never used are not loaded. */
        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                log_info("Can't lock memory, ignoring: %m");

        (void) dl_iterate_phdr(execute_step, &(Step){ STEP_HOLD });
}
