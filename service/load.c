/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "load.h"

/* A part of a window covers at least 1/64 of it. */
#define WINDOW_PART_SHARE 64

/* A scan counts for at most this many times the crowd size: one scan of a burst proves nothing. */
#define SCAN_CROWDS_MAX 3

/* However large a crowd is, it must have been seen for 1/5 of CrowdThreshold. */
#define CROWD_SEEN_PART 5

/* The share of Threshold during which a worker must have been spinning. Not all of it, since there are gaps
 * when workers pass the work to one another. */
#define WORKER_RULE_SHARE 0.9

/* The least CPU time that stuck workers use together, as a share of one CPU. A worker in state R may only be
 * waiting for a CPU. In the recorded stalls they use 80 % of all CPUs. */
#define CPU_SHARE_MIN 0.2

/* A stall of rule `worker` ends when fewer than this many workers spin on average, a stall of rule `crowd`
 * when fewer than this share of the crowd size do. */
#define STALL_END_SHARE 0.5

static WindowPart *window_part(Window *window, size_t i) {
        return &window->parts[(window->first + i) % WINDOW_PARTS_MAX];
}

static const WindowPart *window_part_const(const Window *window, size_t i) {
        return &window->parts[(window->first + i) % WINDOW_PARTS_MAX];
}

/* Drops the parts that end before the window begins. */
static void window_prune(Window *window, uint64_t now_usec) {
        while (window->n > 0 && usec_add(window_part(window, 0)->end_usec, window->span_usec) <= now_usec) {
                window->first = (window->first + 1) % WINDOW_PARTS_MAX;
                window->n--;
        }
}

/* Adds what a scan saw. Scans close together share a part. */
static void window_add(Window *window, const WindowPart *part) {
        WindowPart *last = window->n > 0 ? window_part(window, window->n - 1) : NULL;

        if (last && part->begin_usec < last->begin_usec + window->span_usec / WINDOW_PART_SHARE) {
                last->end_usec = part->end_usec;
                last->worker_usec += part->worker_usec;
                last->spun_usec += part->spun_usec;
                last->cpu_usec += part->cpu_usec;
                return;
        }

        if (window->n == WINDOW_PARTS_MAX) {
                window->first = (window->first + 1) % WINDOW_PARTS_MAX;
                window->n--;
        }
        *window_part(window, window->n++) = *part;
}

static uint64_t scale(uint64_t value, uint64_t numerator, uint64_t denominator) {
        return (uint64_t) ((double) value * (double) numerator / (double) denominator);
}

/* The sum of the parts within the window. begin_usec is where the first part begins, or now_usec. */
static WindowPart window_sum(const Window *window, uint64_t now_usec) {
        uint64_t start_usec = usec_subtract(now_usec, window->span_usec);
        WindowPart sum = { .begin_usec = now_usec, .end_usec = now_usec };

        for (size_t i = 0; i < window->n; i++) {
                const WindowPart *part = window_part_const(window, i);
                uint64_t length_usec = part->end_usec - part->begin_usec, inside_usec = length_usec;

                if (part->end_usec <= start_usec)
                        continue;
                if (part->begin_usec < start_usec)
                        inside_usec = part->end_usec - start_usec;
                if (length_usec == 0)
                        length_usec = inside_usec = 1;

                sum.begin_usec = MIN(sum.begin_usec, MAX(part->begin_usec, start_usec));
                sum.worker_usec += scale(part->worker_usec, inside_usec, length_usec);
                sum.spun_usec += scale(part->spun_usec, inside_usec, length_usec);
                sum.cpu_usec += scale(part->cpu_usec, inside_usec, length_usec);
        }

        return sum;
}

static void window_empty(Window *window) {
        window->n = 0;
}

static void window_shift(Window *window, uint64_t usec) {
        for (size_t i = 0; i < window->n; i++) {
                WindowPart *part = window_part(window, i);

                part->begin_usec += usec;
                part->end_usec += usec;
        }
}

/* Windows keep their contents when their spans change. */
static void load_set_spans(Load *load, const LoadRules *rules) {
        load->crowd.span_usec = rules->crowd_threshold_usec;
        load->worker.span_usec = rules->threshold_usec;
        load->mean.span_usec = LOAD_MEAN_USEC;
}

static bool load_is_idle(const Load *load) {
        return load->n_spinning == 0 && load->n_waiting == 0 && load->crowd.n == 0 && load->worker.n == 0 &&
               load->mean.n == 0;
}

static uint32_t count_of(uint32_t n_spinning, uint32_t n_waiting, const LoadRules *rules) {
        return n_spinning + (rules->count_waiting ? n_waiting : 0);
}

uint32_t load_count(const Load *load, const LoadRules *rules) {
        return count_of(load->n_spinning, load->n_waiting, rules);
}

static void load_add_scan(Load *load, uint64_t now_usec, uint64_t weight_usec, const LoadRules *rules) {
        uint32_t count = load_count(load, rules);
        WindowPart part = {
                .begin_usec = usec_subtract(now_usec, weight_usec),
                .end_usec = now_usec,
                .cpu_usec = load->cpu_usec,
        };

        load_set_spans(load, rules);
        window_prune(&load->crowd, now_usec);
        window_prune(&load->worker, now_usec);
        window_prune(&load->mean, now_usec);
        if (count == 0 && load->cpu_usec == 0)
                return;

        if (load->crowd.n == 0)
                load->crowd_since_usec = now_usec;

        part.spun_usec = count > 0 ? weight_usec : 0;
        part.worker_usec = count * weight_usec;
        if (load->mean.n == 0)
                load->mean_since_usec = part.begin_usec;
        window_add(&load->mean, &part);

        if (rules->crowd_size > 0)
                part.worker_usec =
                                (uint64_t) (MIN((double) count, SCAN_CROWDS_MAX * rules->crowd_size) *
                                            (double) weight_usec);
        window_add(&load->crowd, &part);
        window_add(&load->worker, &part);
}

void loads_begin(Loads *loads) {
        loads->n_tallies = 0;
        for (size_t i = 0; i < loads->n; i++) {
                Load *load = &loads->loads[i];

                load->n_spinning = load->n_waiting = 0;
                load->cpu_usec = 0;
        }
}

/* If there is no room, a work of one worker makes way: it is none of the largest. */
static Tally *loads_tally(Loads *loads, const char *work) {
        Tally *tally = NULL;

        for (size_t i = 0; i < loads->n_tallies; i++) {
                if (streq(loads->tallies[i].work, work))
                        return &loads->tallies[i];
                if (loads->tallies[i].n_spinning + loads->tallies[i].n_waiting == 1)
                        tally = &loads->tallies[i];
        }

        if (loads->n_tallies < TALLIES_MAX)
                tally = &loads->tallies[loads->n_tallies++];
        else if (!tally)
                return NULL;

        *tally = (Tally){};
        memcpy(tally->work, work, strlen(work) + 1);
        return tally;
}

void loads_count(Loads *loads, const Worker *worker, uint64_t cpu_usec) {
        const char *work = worker_name_work(worker->name);
        Tally *tally = work && work[0] != '\0' ? loads_tally(loads, work) : NULL;

        if (!tally)
                return;

        if (worker_spins(worker))
                tally->n_spinning++;
        else
                tally->n_waiting++;
        tally->cpu_usec += cpu_usec;
}

static Load *loads_get(Loads *loads, const char *work) {
        for (size_t i = 0; i < loads->n; i++)
                if (streq(loads->loads[i].work, work))
                        return &loads->loads[i];

        return NULL;
}

const Load *loads_find(const Loads *loads, const char *work) {
        return loads_get((Loads *) loads, work);
}

/* The number of workers that count now or did on average: which loads to keep if there is no room for all. */
static double load_size(const Load *load, uint64_t now_usec, const LoadRules *rules) {
        double mean = (double) window_sum(&load->crowd, now_usec).worker_usec /
                      (double) rules->crowd_threshold_usec;

        return MAX(mean, (double) load_count(load, rules));
}

/* A load for a new work: an unused one, or the smallest if that is smaller than the new one. */
static Load *loads_find_room(Loads *loads, uint64_t now_usec, const Tally *tally, const LoadRules *rules) {
        Load *smallest = NULL;
        double smallest_size = 0;

        if (loads->n < LOADS_MAX)
                return &loads->loads[loads->n++];

        for (size_t i = 0; i < LOADS_MAX; i++) {
                Load *load = &loads->loads[i];
                double size = load_size(load, now_usec, rules);

                if (!smallest || size < smallest_size) {
                        smallest = load;
                        smallest_size = size;
                }
        }

        return smallest_size < count_of(tally->n_spinning, tally->n_waiting, rules) ? smallest : NULL;
}

void loads_end(Loads *loads, uint64_t now_usec, uint64_t weight_usec, const LoadRules *rules) {
        size_t n_kept = 0;

        for (size_t i = 0; i < loads->n_tallies; i++) {
                const Tally *tally = &loads->tallies[i];
                Load *load = loads_get(loads, tally->work);

                if (!load) {
                        load = loads_find_room(loads, now_usec, tally, rules);
                        if (!load)
                                continue;
                        memset(load, 0, sizeof(*load));
                        memcpy(load->work, tally->work, strlen(tally->work) + 1);
                }

                load->n_spinning = tally->n_spinning;
                load->n_waiting = tally->n_waiting;
                load->cpu_usec = tally->cpu_usec;
        }

        for (size_t i = 0; i < loads->n; i++) {
                load_add_scan(&loads->loads[i], now_usec, weight_usec, rules);
                if (load_is_idle(&loads->loads[i]))
                        continue;

                if (n_kept < i)
                        loads->loads[n_kept] = loads->loads[i];
                n_kept++;
        }
        loads->n = n_kept;
}

void loads_shift(Loads *loads, uint64_t usec) {
        for (size_t i = 0; i < loads->n; i++) {
                Load *load = &loads->loads[i];

                load->crowd_since_usec += usec;
                load->mean_since_usec += usec;
                window_shift(&load->crowd, usec);
                window_shift(&load->worker, usec);
                window_shift(&load->mean, usec);
        }
}

static void load_empty(Load *load) {
        window_empty(&load->crowd);
        window_empty(&load->worker);
}

void loads_empty(Loads *loads) {
        for (size_t i = 0; i < loads->n; i++)
                load_empty(&loads->loads[i]);
}

void loads_forget(Loads *loads, const char *work) {
        Load *load = loads_get(loads, work);

        if (!load)
                return;
        load_empty(load);
        window_empty(&load->mean);
}

bool load_is_crowd(const Load *load, uint64_t now_usec, const LoadRules *rules) {
        WindowPart sum;
        uint64_t seen_usec;

        if (rules->crowd_size <= 0)
                return false;

        sum = window_sum(&load->crowd, now_usec);
        if ((double) sum.worker_usec < rules->crowd_size * (double) rules->crowd_threshold_usec)
                return false;

        /* An idle scan may cover more time than it saw. */
        if (now_usec - load->crowd_since_usec < rules->crowd_threshold_usec / CROWD_SEEN_PART)
                return false;

        seen_usec = MIN(now_usec - sum.begin_usec, rules->crowd_threshold_usec);
        return rules->count_waiting || (double) sum.cpu_usec >= CPU_SHARE_MIN * (double) seen_usec;
}

bool load_has_stuck_worker(const Load *load, uint64_t now_usec, const LoadRules *rules) {
        WindowPart sum = window_sum(&load->worker, now_usec);

        if ((double) sum.spun_usec < WORKER_RULE_SHARE * (double) rules->threshold_usec)
                return false;

        return rules->count_waiting ||
               (double) sum.cpu_usec >= CPU_SHARE_MIN * (double) rules->threshold_usec;
}

double load_mean(const Load *load, uint64_t now_usec) {
        uint64_t seen_usec = MIN(now_usec - load->mean_since_usec, LOAD_MEAN_USEC);

        return seen_usec == 0 ? 0
                              : (double) window_sum(&load->mean, now_usec).worker_usec / (double) seen_usec;
}

bool load_mean_cpu(const Load *load, double *ret) {
        const Window *window = &load->mean;
        uint64_t cpu_usec = 0, length_usec;

        if (window->n < 2)
                return false;

        for (size_t i = 1; i < window->n; i++)
                cpu_usec += window_part_const(window, i)->cpu_usec;
        length_usec = window_part_const(window, window->n - 1)->end_usec -
                      window_part_const(window, 0)->end_usec;
        if (length_usec == 0)
                return false;

        *ret = (double) cpu_usec / (double) length_usec;
        return true;
}

bool load_is_over(const Load *load, EngineRule rule, uint64_t now_usec, const LoadRules *rules) {
        bool is_crowd = rule == RULE_CROWD && rules->crowd_size > 0;

        return load_mean(load, now_usec) < STALL_END_SHARE * (is_crowd ? rules->crowd_size : 1);
}

EngineRule load_rule(const Load *load, uint64_t now_usec, const LoadRules *rules) {
        EngineRule rule = RULE_NONE;

        if (load_count(load, rules) == 0)
                return RULE_NONE;

        if (load_is_crowd(load, now_usec, rules))
                rule = RULE_CROWD;
        else if (load_has_stuck_worker(load, now_usec, rules))
                rule = RULE_WORKER;

        /* A crowd that has gone is no longer a stall. */
        if (rule != RULE_NONE && load_is_over(load, rule, now_usec, rules))
                return RULE_NONE;

        return rule;
}
