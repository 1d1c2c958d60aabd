/* Has blocks of many sizes at its freeze point; then does what PROBE names, and prints what came of
   it. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include "freezepoint.h"

#define COUNT 20000
#define EVERY 500               /* of these blocks one is written to in the trial */

static char *blocks[COUNT];
static size_t sizes[COUNT];
static int has_failed;

static unsigned next_random(unsigned *state)
{
    return *state = *state * 1103515245 + 12345;
}

static size_t size_of(unsigned number)
{
    return number % 7 ? number % 300 + 1 : number % 30000 + 1;
}

static void fill(char *block, size_t size, unsigned number)
{
    memset(block, number & 0xff, size);
}

static void check(const char *block, size_t size, unsigned number)
{
    for (size_t index = 0; index < size; index++)
        if ((uint8_t)block[index] != (number & 0xff))
            has_failed = 1;
}

/* Takes, moves and gives blocks, and looks at what is in them. */
static void *churn(void *seed)
{
    enum { KEPT = 300 };
    char *kept[KEPT] = {0};
    size_t kept_sizes[KEPT] = {0};
    unsigned state = (unsigned)(uintptr_t)seed;

    for (int times = 0; times < 200000; times++) {
        unsigned index = next_random(&state) / 65536 % KEPT;
        size_t size = size_of(next_random(&state) / 65536), before = kept_sizes[index];

        check(kept[index], before, index);
        switch (next_random(&state) / 65536 % 4) {
        case 0:
            kept[index] = realloc(kept[index], size);
            check(kept[index], size < before ? size : before, index);
            break;
        case 1:
            free(kept[index]);
            kept[index] = calloc(size, 1);
            check(kept[index], size, 0);
            break;
        case 2:
            free(kept[index]);
            if (posix_memalign((void **)&kept[index], 64, size) || (uintptr_t)kept[index] % 64)
                has_failed = 1;
            break;
        default:
            free(kept[index]);
            kept[index] = malloc(size);
        }
        if (!kept[index] || malloc_usable_size(kept[index]) < size || (uintptr_t)kept[index] % 16)
            has_failed = 1;
        fill(kept[index], size, index);
        kept_sizes[index] = size;
    }
    for (int index = 0; index < KEPT; index++) {
        check(kept[index], kept_sizes[index], index);
        free(kept[index]);
    }
    return NULL;
}

/* The blocks from before are what they were; now each is moved, and then freed. */
static void move_old(void)
{
    for (unsigned index = 0; index < COUNT; index++) {
        size_t size = sizes[index] * (index % 3 + 1) / 2 + 1;

        check(blocks[index], sizes[index], index);
        blocks[index] = realloc(blocks[index], size);
        check(blocks[index], size < sizes[index] ? size : sizes[index], index);
    }
    for (unsigned index = 0; index < COUNT; index++)
        free(blocks[index]);
}

static long resident(void)
{
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2)
        has_failed = 1;
    fclose(file);
    return pages;
}

/* A process and its child draw other numbers, also on the way to the freeze point. */
static void draw_in_a_child(void)
{
    unsigned char own[16], child_s[16];
    int ends[2], status = 0;
    pid_t child;

    if (pipe(ends))
        has_failed = 1;
    child = fork();
    if (!child) {
        _exit(getrandom(own, sizeof own, 0) != sizeof own
              || write(ends[1], own, sizeof own) != sizeof own);
    }
    waitpid(child, &status, 0);
    if (status || read(ends[0], child_s, sizeof child_s) != sizeof child_s
        || getrandom(own, sizeof own, 0) != sizeof own || !memcmp(own, child_s, sizeof own))
        has_failed = 1;
    close(ends[0]);
    close(ends[1]);
}

static void in_threads(void)
{
    pthread_t threads[4];

    for (uintptr_t index = 0; index < 4; index++)
        pthread_create(&threads[index], NULL, churn, (void *)(index + 1));
    for (int times = 0; times < 20; times++) {
        int status = 0;
        pid_t child = fork();

        if (!child) {
            free(malloc(100));
            free(calloc(3, 5000));
            _exit(has_failed);
        }
        waitpid(child, &status, 0);
        if (status)
            has_failed = 1;
    }
    for (int index = 0; index < 4; index++)
        pthread_join(threads[index], NULL);
}

/* Blocks of all sizes that are free at the freeze point; one grows until it is moved. */
static void leave_traces(void)
{
    static const size_t lengths[] = {40, 300, 2000, 70000, 3000000};
    const char trace[] = {'A' + 19, 'R', 'A', 'C', 'E', '.'};    /* nowhere in the program */
    char *traces[5], *grown = malloc(sizeof trace), *wall;

    memcpy(grown, trace, sizeof trace);
    for (int index = 0; index < 5; index++) {
        traces[index] = malloc(lengths[index]);
        for (size_t place = 0; place + 6 < lengths[index]; place += 6)
            memcpy(traces[index] + place, trace, sizeof trace);
    }
    for (size_t size = 100; size < 100000; size *= 2) {
        wall = malloc(10);
        grown = realloc(grown, size);
        free(wall);
    }
    free(grown);
    for (int index = 0; index < 5; index++)
        free(traces[index]);
}

int main(void)
{
    const char *probe;

    leave_traces();
    for (unsigned index = 0; index < COUNT; index++) {
        sizes[index] = size_of(index);
        blocks[index] = malloc(sizes[index]);
        fill(blocks[index], sizes[index], index);
        if (index % 5 == 4) {   /* not all that there was is there still */
            free(blocks[index]);
            blocks[index] = malloc(sizes[index]);
            fill(blocks[index], sizes[index], index);
        }
    }
#ifdef AT_RANDOM_TIMES          /* not the same blocks at each start */
    churn((void *)(uintptr_t)getpid());
    for (unsigned index = 0; index < COUNT; index += getpid() % 13 + 3) {
        free(blocks[index]);
        blocks[index] = malloc(sizes[index]);
        fill(blocks[index], sizes[index], index);
    }
#else
    churn((void *)7);
#endif
    draw_in_a_child();
    freeze_point();

    probe = getenv("PROBE");
    if (!strcmp(probe, "write")) {
        for (unsigned index = 0; index < COUNT; index += EVERY)
            blocks[index][0] = index & 0xff;
        for (unsigned index = EVERY / 2; index < COUNT; index += EVERY)
            has_failed |= blocks[index][0] != (char)(index & 0xff);
    } else if (!strcmp(probe, "addresses")) {
        for (unsigned index = 0; index < COUNT; index += EVERY / 2)
            printf("%s %p %zu\n", index % EVERY ? "read" : "written", blocks[index], sizes[index]);
    } else if (!strcmp(probe, "move")) {
        move_old();
    } else if (!strcmp(probe, "churn")) {
        churn((void *)1);
    } else if (!strcmp(probe, "threads")) {
        in_threads();
    } else if (!strcmp(probe, "grow")) {
        long before;

        churn((void *)1);
        before = resident();
        for (int times = 0; times < 10; times++)
            churn((void *)1);
        printf("%ld\n", resident() - before);
    } else if (!strcmp(probe, "again")) {
        char *volatile first = malloc(100);

        free(first);
        printf("%d\n", malloc(100) == first);
    } else if (!strcmp(probe, "old")) {
        char *old = blocks[0];

        free(old);
        printf("%d\n", malloc(sizes[0]) == old);
    } else if (!strcmp(probe, "twice")) {
        char *volatile block = malloc(100);

        free(block);
        free(block);
    } else if (!strcmp(probe, "variable")) {
        printf("%d\n", getenv("LD_PRELOAD") != NULL);
    }
    if (has_failed)
        puts("failed");
    return has_failed;
}
