/* The image heap: what a process touches of a frozen program's blocks lies together.
 *
 * Loaded before all other libraries (LD_PRELOAD), this takes malloc(3)'s place, for the start of the
 * program and for good: it becomes part of the image. Nothing is moved; the program starts again.
 * The first time each block gets a number, the frozen result is watched (watch.py), and heap.py plans
 * where each block goes that there is at the freeze point. The next time it gets its place in
 * `planned`. What is freed before is the ordinary allocator's. If the program does not do the same
 * twice, some blocks lie elsewhere, and nothing else is different.
 *
 *     memory:  planned: not touched, written, read | lists | the plan, then zeros | young
 *
 * After the thaw, a block of the image that is freed is left as it is. New blocks come from `young`,
 * whose pages are zeros until then, and are used again from lists by size; when it is full, they
 * are the ordinary allocator's.
 *
 * PLAN is defined where there are the files plan.h, which defines PLANNED (bytes) and PLACES (how
 * many), places.h and starts.h; without it, RECORDS (a power of 2) is how many blocks of the first
 * start are kept account of.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>

#define PUBLIC __attribute__((visibility("default")))
#define PAGE 4096
#define GRANULE 16              /* blocks are aligned to it, as malloc(3)'s and Python's are */
#define CLASSES 65536           /* of sizes, in granules: 0 has all larger ones */
/* What other allocators pass on to malloc(3), where it is counted (SMALL_REQUEST_THRESHOLD in
 * CPython's obmalloc.c). */
#define SMALL 512

/* A block has the number of others before it with the same context: what was allocated last, by
 * size. If a start has a block more or less, no others are taken for each other but those nearby. */
#define CLASS_BITS 12           /* of 64: the context is of some five blocks */
#define CONTEXT_BITS 14
#define CONTEXTS (1 << CONTEXT_BITS)

struct place {
    uint32_t ordinal;           /* of the block in its context */
    uint32_t offset;            /* in `planned` */
    uint32_t class;             /* its size */
};

#ifdef PLAN
#include "plan.h"
#else
#define PLANNED PAGE
#define PLACES 1
#endif

/* The size of new blocks' memory: as large a run of zeros as is not in the file (segments.py). */
#define YOUNG_GRANULES (64 * 1024)
/* Lists of free young blocks: by granules up to LISTED, then by powers of 2. */
#define LISTED 64
#define LISTS (LISTED + 6)
#define LARGEST (LISTED << 6)

struct block {
    struct block *next;
};

/* By context, and then by ordinal. */
struct plan {
    struct place places[PLACES];
    uint32_t starts[CONTEXTS + 1];      /* of each context, in `places` */
} __attribute__((aligned(PAGE)));

static struct {
    char planned[PLANNED];
    struct {
        struct block *free[LISTS];
        uint32_t used;          /* granules */
        uint8_t list[YOUNG_GRANULES];   /* of the block that begins there; FREE if it is free */
    } young __attribute__((aligned(PAGE)));
    /* Next to each other, they are one run of zeros in the image. */
    struct plan plan;
    char blocks[YOUNG_GRANULES][GRANULE] __attribute__((aligned(PAGE)));        /* young ones */
} memory __attribute__((aligned(PAGE)))
#ifdef PLAN
= {
    .plan.places = {
#include "places.h"
    },
    .plan.starts = {
#include "starts.h"
    },
}
#endif
;

#define FREE 0x80

#define LARGEST_ERASED (64 * 1024)      /* of blocks that grow */

/* A bit for each granule of `planned`: whether a block ends there. */
static uint64_t planned_ends[PLANNED / GRANULE / 64 + 1];

/* In the image alone. */
uint32_t image_heap_is_frozen;

/* For the freezer: where planned blocks are, and what nobody needs any more in the image. */
PUBLIC char *const image_heap_planned = memory.planned;
PUBLIC struct plan *const image_heap_plan = &memory.plan;
PUBLIC const uint64_t image_heap_plan_size = sizeof memory.plan;

/* What is underneath: malloc(3), or what else has blocks, in the form of CPython's PyMemAllocatorEx. */
struct allocator {
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};

static struct allocator libc;   /* malloc(3) */

/* --- One thread at a time. Who cannot get in does without: the ordinary allocator serves it. --- */

static atomic_flag is_taken = ATOMIC_FLAG_INIT;

static int enter(void)
{
    if (__libc_single_threaded)
        return 1;
    for (int times = 0; times < 10000; times++)
        if (!atomic_flag_test_and_set_explicit(&is_taken, memory_order_acquire))
            return 1;
    return 0;
}

static void leave(void)
{
    if (!__libc_single_threaded)
        atomic_flag_clear_explicit(&is_taken, memory_order_release);
}

/* No thread is in here as a process forks: the child would find lists that are half changed. */
static void before_fork(void)
{
    while (atomic_flag_test_and_set_explicit(&is_taken, memory_order_acquire))
        sched_yield();
}

static void after_fork(void)
{
    atomic_flag_clear_explicit(&is_taken, memory_order_release);
}

static size_t granules(size_t size)
{
    return size ? (size + GRANULE - 1) / GRANULE : 1;
}

/* --- Until the freeze point: which block is which. --- */

struct record {
    uintptr_t address;          /* 0: none */
    uint16_t context, class;
    uint32_t ordinal;
};

/* What is not in the image: the freezer unmaps it. */
struct counts {
    uint32_t counted[CONTEXTS], placed[CONTEXTS];
#ifdef RECORDS
    struct record records[RECORDS];
#endif
};

PUBLIC struct counts *image_heap_counts;
PUBLIC const uint64_t image_heap_counts_size = sizeof *image_heap_counts;

static uint64_t last_classes;

static struct counts *counts(void)
{
    void *memory;

    if (!image_heap_counts) {
        memory = mmap(NULL, sizeof *image_heap_counts, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            abort();
        image_heap_counts = memory;
    }
    return image_heap_counts;
}

static uint64_t mixed(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15u;
}

/* Count a block: `record` says which it is. Its place if it is planned, or NULL. */
static void *count(size_t size, struct record *record)
{
    size_t number = granules(size);
    const struct plan *plan = &memory.plan;
    const struct place *place;
    uint32_t next, end;

    record->class = number < CLASSES ? number : 0;
    last_classes = last_classes << CLASS_BITS ^ record->class;
    record->context = mixed(last_classes) >> (64 - CONTEXT_BITS);
    record->ordinal = counts()->counted[record->context]++;
    next = plan->starts[record->context] + counts()->placed[record->context];
    place = &plan->places[next];
    if (next == plan->starts[record->context + 1] || place->ordinal != record->ordinal)
        return NULL;
    counts()->placed[record->context]++;
    if (place->class != record->class)
        return NULL;
    end = place->offset / GRANULE + place->class - 1;
    planned_ends[end / 64] |= 1ul << end % 64;
    return memory.planned + place->offset;
}

#ifdef RECORDS

#define IS_RECORDING 1

static size_t recorded;

static size_t home(uintptr_t address)
{
    return mixed(address / GRANULE) >> 20 & (RECORDS - 1);
}

static size_t behind(size_t place)
{
    return (place + 1) & (RECORDS - 1);
}

static void note(void *block, struct record record)
{
    struct record *records = counts()->records;
    size_t place = home((uintptr_t)block);

    while (records[place].address && records[place].address != (uintptr_t)block)
        place = behind(place);
    if (!records[place].address) {
        if (recorded == RECORDS / 4 * 3)
            return;             /* it will be where it is now */
        recorded++;
    }
    record.address = (uintptr_t)block;
    records[place] = record;
}

static void forget(void *block)
{
    struct record *records = counts()->records;
    size_t hole = home((uintptr_t)block), place;

    while (records[hole].address != (uintptr_t)block) {
        if (!records[hole].address)
            return;
        hole = behind(hole);
    }
    recorded--;
    /* Fill the hole with what would be looked for across it. */
    for (place = behind(hole); records[place].address; place = behind(place)) {
        size_t way = (place - home(records[place].address)) & (RECORDS - 1);

        if (way >= ((place - hole) & (RECORDS - 1))) {
            records[hole] = records[place];
            hole = place;
        }
    }
    records[hole].address = 0;
}

#else

#define IS_RECORDING 0

static void note(void *block, struct record record)
{
    (void)block, (void)record;
}

static void forget(void *block)
{
    (void)block;
}

#endif

/* --- Blocks of the image, and blocks of a process's own. --- */

static int is_in(const void *block, const void *start, size_t size)
{
    return (uintptr_t)block - (uintptr_t)start < size;
}

static int is_planned(const void *block)
{
    return is_in(block, memory.planned, sizeof memory.planned);
}

static int is_young(const void *block)
{
    return is_in(block, memory.blocks, sizeof memory.blocks);
}

static size_t young_index(const void *block)
{
    return ((uintptr_t)block - (uintptr_t)memory.blocks) / GRANULE;
}

static uint32_t list_for(size_t number)
{
    return number <= LISTED ? number - 1 : LISTED + 57u - __builtin_clzl(number - 1);
}

static size_t listed_granules(uint32_t list)
{
    return list < LISTED ? list + 1 : (size_t)2 * LISTED << (list - LISTED);
}

static void *take_young(size_t size)
{
    size_t number = granules(size), length;
    struct block *block;
    uint32_t list;

    if (number > LARGEST || !enter())
        return NULL;
    list = list_for(number);
    block = memory.young.free[list];
    if (block) {
        memory.young.free[list] = block->next;
        memory.young.list[young_index(block)] = list;
    } else if ((length = listed_granules(list)) <= YOUNG_GRANULES - memory.young.used) {
        block = (struct block *)memory.blocks[memory.young.used];
        memory.young.list[memory.young.used] = list;
        memory.young.used += length;
    }
    leave();
    return block;
}

static void give_young(struct block *block)
{
    size_t index = young_index(block);
    uint32_t list = memory.young.list[index];

    if (list & FREE || (uintptr_t)block % GRANULE)
        abort();                /* as glibc does for what is freed twice */
    if (!enter())
        return;
    memory.young.list[index] = list | FREE;
    block->next = memory.young.free[list];
    memory.young.free[list] = block;
    leave();
}

static size_t planned_granules(const void *block)
{
    size_t start = ((uintptr_t)block - (uintptr_t)memory.planned) / GRANULE, end = start;

    while (!(planned_ends[end / 64] >> end % 64 & 1))
        end++;
    return end + 1 - start;
}

static size_t own_size(const void *block)
{
    size_t number = is_young(block) ? listed_granules(memory.young.list[young_index(block)])
        : planned_granules(block);

    return number * GRANULE;
}

static int is_own(const void *block)
{
    return is_young(block) || is_planned(block);
}

/* --- The functions of an allocator that is over another. --- */

/* Whether a block is to be counted here: it then gets a place, or NULL. */
static int is_counted(struct allocator *under, size_t size, void **place, struct record *record)
{
    if ((size > SMALL && under != &libc) || !enter())
        return 0;
    *place = count(size, record);
    leave();
    return 1;
}

static void *noted(void *block, struct record record)
{
    if (block && IS_RECORDING && enter()) {
        note(block, record);
        leave();
    }
    return block;
}

static void *heap_malloc(void *context, size_t size)
{
    struct allocator *under = context;
    struct record record;
    void *place = NULL;

    if (image_heap_is_frozen) {
        place = take_young(size);
        return place ? place : under->malloc(under->context, size);
    }
    if (!is_counted(under, size, &place, &record))
        return under->malloc(under->context, size);
    return place ? place : noted(under->malloc(under->context, size), record);
}

static void *heap_calloc(void *context, size_t number, size_t size)
{
    struct allocator *under = context;
    struct record record;
    void *place = NULL;
    size_t total;

    if (__builtin_mul_overflow(number, size, &total))
        return under->calloc(under->context, number, size);     /* which fails */
    if (image_heap_is_frozen) {
        place = take_young(total);
        return place ? memset(place, 0, total) : under->calloc(under->context, number, size);
    }
    if (!is_counted(under, total, &place, &record))
        return under->calloc(under->context, number, size);
    /* A place is used once: it is zero. */
    return place ? place : noted(under->calloc(under->context, number, size), record);
}

static size_t (*libc_usable_size)(void *);

/* What was in blocks that are free at the freeze point, such as paths, is not in the image. */
static void erase(struct allocator *under, void *block)
{
    if (is_planned(block))
        memset(block, 0, own_size(block));
    else if (under == &libc && libc_usable_size)
        memset(block, 0, libc_usable_size(block));
}

static void heap_free(void *context, void *block)
{
    struct allocator *under = context;

    if (is_young(block)) {
        give_young(block);
        return;
    }
    if (!block)
        return;
    if (!image_heap_is_frozen) {
        erase(under, block);
        if (IS_RECORDING && enter()) {
            forget(block);
            leave();
        }
    }
    if (!is_planned(block))
        under->free(under->context, block);
}

/* Before the freeze point. A large block is not copied each time that it grows. */
static void *reallocated(struct allocator *under, void *block, size_t size)
{
    size_t before = under == &libc && libc_usable_size ? libc_usable_size(block) : 0;
    void *moved;

    if (size <= before || !before || before > LARGEST_ERASED)
        return under->realloc(under->context, block, size);
    moved = under->malloc(under->context, size);
    if (moved) {
        memcpy(moved, block, before);
        erase(under, block);
        under->free(under->context, block);
    }
    return moved;
}

static void *heap_realloc(void *context, void *block, size_t size)
{
    struct allocator *under = context;
    struct record record;
    void *place = NULL, *moved;

    if (!block)
        return heap_malloc(context, size);
    if (is_own(block)) {
        size_t before = own_size(block);

        if (image_heap_is_frozen && size <= before && size > before / 2)
            return block;
        moved = heap_malloc(context, size);
        if (moved) {
            memcpy(moved, block, size < before ? size : before);
            heap_free(context, block);
        }
        return moved;
    }
    if (image_heap_is_frozen || !is_counted(under, size, &place, &record))
        return under->realloc(under->context, block, size);
    if (IS_RECORDING && enter()) {
        forget(block);
        leave();
    }
    /* What is underneath knows how much there is to copy. */
    moved = reallocated(under, block, size);
    if (!place || !moved)
        return noted(moved, record);
    memcpy(place, moved, size);
    under->free(under->context, moved);
    return place;
}

/* What a program's own allocators, such as CPython's, are to be called through: the context is the
 * one to be asked for what has no place here. */
PUBLIC const struct allocator image_heap = {
    NULL, heap_malloc, heap_calloc, heap_realloc, heap_free,
};

/* --- malloc(3) and its like, over glibc's. --- */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static void *libc_malloc(void *context, size_t size)
{
    (void)context;
    return __libc_malloc(size);
}

static void *libc_calloc(void *context, size_t number, size_t size)
{
    (void)context;
    return __libc_calloc(number, size);
}

static void *libc_realloc(void *context, void *block, size_t size)
{
    (void)context;
    return __libc_realloc(block, size);
}

static void libc_free(void *context, void *block)
{
    (void)context;
    __libc_free(block);
}

static struct allocator libc = { NULL, libc_malloc, libc_calloc, libc_realloc, libc_free };

PUBLIC void *malloc(size_t size)
{
    return heap_malloc(&libc, size);
}

PUBLIC void *calloc(size_t number, size_t size)
{
    return heap_calloc(&libc, number, size);
}

PUBLIC void free(void *block)
{
    heap_free(&libc, block);
}

PUBLIC void *realloc(void *block, size_t size)
{
    if (block && !size) {       /* glibc's way (realloc(3)) */
        free(block);
        return NULL;
    }
    return heap_realloc(&libc, block, size);
}

/* The freezer has a program call this at its freeze point. */
PUBLIC void image_heap_seal(void)
{
    image_heap_is_frozen = 1;
    malloc_trim(0);             /* what is free is zeros, and need not be in the image */
}

PUBLIC size_t malloc_usable_size(void *block)
{
    return is_own(block) ? own_size(block) : libc_usable_size(block);
}

__attribute__((constructor)) static void begin(void)
{
    libc_usable_size = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
    pthread_atfork(before_fork, after_fork, after_fork);
}
