/* Gets ready, passes its freeze point, then does what PROBE in its environment names and prints
   what came of it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include "freezepoint.h"

#define LARGE (64 << 20)

/* What is made before the freeze point. */
static char *small, *large, *reserved;
static char signal_stack[64 * 1024];
static volatile sig_atomic_t caught, was_on_signal_stack;

static void note(int number)
{
    caught = number;
}

static void note_stack(int number)
{
    uintptr_t here = (uintptr_t)&number, start = (uintptr_t)signal_stack;
    was_on_signal_stack = here >= start && here < start + sizeof signal_stack;
}

static void say_farewell(void)
{
    puts("farewell");
}

static void get_ready(void)
{
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action = {.sa_handler = note_stack, .sa_flags = SA_ONSTACK};

    small = strdup("small");
    large = malloc(1 << 20);
    memset(large, 'x', 1 << 20);
    reserved = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    setenv("BUILDER", "stale", 1);
    signal(SIGUSR1, note);
    signal(SIGINT, note);
    signal(SIGPIPE, SIG_IGN);
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR2, &action, NULL);
    fesetround(FE_UPWARD);
}

/* The probes. */

static void getenv_sees(void)
{
    printf("%s %s\n", getenv("GREETING"), getenv("BUILDER") == NULL ? "new" : "stale");
    printf("%s\n", environ[0]);
}

static void child_sees(void)
{
    setenv("ADDED", "after", 1);
    if (system("echo $GREETING $ADDED $BUILDER"))
        puts("failed");
}

static void ids(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutex_lock(&mutex);
    printf("%d %ld %d\n", getpid(), syscall(SYS_gettid), mutex.__data.__owner);
}

static void *square(void *argument)
{
    static __thread intptr_t local;
    char *block = malloc(100);

    local = (intptr_t)argument;
    snprintf(block, 100, "%ld", (long)(local * local));
    return block;
}

static void threads(void)
{
    pthread_t thread[4];

    for (intptr_t i = 0; i < 4; i++)
        if (pthread_create(&thread[i], NULL, square, (void *)i))
            puts("failed");
    for (int i = 0; i < 4; i++) {
        void *result;
        if (pthread_join(thread[i], &result) || atoi(result) != i * i)
            exit(1);
        printf("%s%s", (char *)result, i < 3 ? " " : "\n");
        free(result);
    }
}

static void thread_stack(void)
{
    pthread_attr_t attributes;
    size_t size;

    pthread_getattr_default_np(&attributes);
    pthread_attr_getstacksize(&attributes, &size);
    printf("%zu\n", size);
}

static void allocate(void)
{
    char *blocks[1000], *huge = malloc(LARGE);

    memset(huge, 'y', LARGE);
    for (int i = 0; i < 1000; i++) {
        blocks[i] = malloc(16 + 8 * i);
        memset(blocks[i], i, 16 + 8 * i);
    }
    for (int i = 0; i < 1000; i++) {
        if (blocks[i][15 + 8 * i] != (char)i)
            puts("overwritten");
        free(blocks[i]);
    }
    puts(huge[LARGE - 1] == 'y' ? "whole" : "overwritten");
    free(huge);
}

static void free_old(void)
{
    printf("%s %c\n", small, large[(1 << 20) - 1]);
    large = realloc(large, 2 << 20);
    memset(large, 'z', 2 << 20);
    free(large);
    free(small);
    puts("freed");
}

static long page_faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static void write_old(void)
{
    long before = page_faults();

    memset(large, 'y', 1 << 20);
    printf("%ld\n", page_faults() - before);
}

static void use_reserved(void)
{
    if (mprotect(reserved, 4096, PROT_READ | PROT_WRITE) == 0)
        puts(reserved[0] == 0 ? "usable" : "not empty");
}

static void move_break(void)
{
    char *block = sbrk(4096);

    memset(block, 1, 4096);
    puts(sbrk(0) == (void *)syscall(SYS_brk, 0) ? "moved" : "lost");
}

static long recurse(long bytes)
{
    volatile char frame[4096];

    frame[0] = frame[4095] = 1;
    return bytes <= 0 ? 0 : frame[0] + recurse(bytes - 4096);
}

static void recursion(void)
{
    printf("%ld\n", recurse(4 << 20));
}

static void endless_recursion(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    printf("%ld\n", recurse(INT64_MAX));
}

static void handler(void)
{
    raise(SIGUSR1);
    puts(caught == SIGUSR1 ? "handled" : "lost");
}

static void alternate_stack(void)
{
    raise(SIGUSR2);
    puts(was_on_signal_stack ? "alternate" : "main");
}

static void robust_list(void)
{
    void *head = NULL;
    size_t size = 0;

    syscall(SYS_get_robust_list, 0, &head, &size);
    puts(head == NULL ? "none" : "known");
}

static void hang(void)
{
    for (;;)
        pause();
}

static void hangup(void)
{
    raise(SIGHUP);
    puts("ignored");
}

static void broken_pipe(void)
{
    int ends[2];

    if (pipe(ends) || close(ends[0]))
        puts("failed");
    puts(write(ends[1], "x", 1) == -1 && errno == EPIPE ? "EPIPE" : "written");
}

static void interrupt(void)
{
    raise(SIGINT);
    puts(caught == SIGINT ? "handled" : "ignored");
}

static void rounding(void)
{
    /* Both formats have a seventh's nearest value below it. */
    volatile double one = 1, seventh = one / 7;
    volatile long double long_one = 1, long_seventh = long_one / 7;

    fesetround(FE_TONEAREST);
    printf("%s %s\n", seventh > one / 7 ? "up" : "nearest",
           long_seventh > long_one / 7 ? "up" : "nearest");
}

static void load_plugin(void)
{
    void *plugin = dlopen(getenv("PLUGIN"), RTLD_NOW);
    int (*answer)(void);

    if (plugin == NULL) {
        puts(dlerror());
        return;
    }
    *(void **)&answer = dlsym(plugin, "answer");
    printf("%d\n", answer());
}

static void processors(void)
{
    cpu_set_t allowed, one;

    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (sched_setaffinity(0, sizeof one, &one) || sched_getcpu() != i)
            printf("not on %d, but on %d\n", i, sched_getcpu());
    }
}

static void memory_code(void)
{
    void *(*volatile copy)(void *, const void *, size_t) = memmove;

    for (int i = 0; i < 64; i++)
        printf("%02x", ((unsigned char *)copy)[i]);
    puts("");
}

static void clocks(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("%ld.%09ld %s\n", (long)now.tv_sec, now.tv_nsec,
           getauxval(AT_SYSINFO_EHDR) ? "vdso" : "calls");
}

static void leave(void)
{
    atexit(say_farewell);
    exit(7);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* The stack protector's canary and glibc's pointer guard, behind the thread pointer. */
static void guards(void)
{
    uint64_t canary, guard;

    __asm__("movq %%fs:0x28, %0" : "=r"(canary));
    __asm__("movq %%fs:0x30, %0" : "=r"(guard));
    printf("%016lx %016lx\n", canary, guard);
}

/* A function whose buffer is written behind its end: returning from it ends the program. */
static void overflow(void)
{
    char room[8];

    memset(room, 'x', strlen(getenv("OVERFLOW")));
    printf("%s\n", room[0] == 'x' ? "written" : "");
}

static void mappings(void)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");

    printf("%p\n", (void *)&maps);
    while (fgets(line, sizeof line, maps) != NULL)
        fputs(line, stdout);
}

/* The dynamic section: ld.so has made it read-only when it was done with it (RELRO). */
static void write_to_relro(void)
{
    *(volatile ElfW(Sxword) *)&_DYNAMIC[0].d_tag = 0;
    puts("written");
}

static const struct {
    const char *name;
    void (*run)(void);
} probes[] = {
    {"getenv_sees", getenv_sees},
    {"child_sees", child_sees},
    {"ids", ids},
    {"threads", threads},
    {"thread_stack", thread_stack},
    {"allocate", allocate},
    {"free_old", free_old},
    {"write_old", write_old},
    {"use_reserved", use_reserved},
    {"move_break", move_break},
    {"recursion", recursion},
    {"endless_recursion", endless_recursion},
    {"handler", handler},
    {"alternate_stack", alternate_stack},
    {"robust_list", robust_list},
    {"hangup", hangup},
    {"hang", hang},
    {"broken_pipe", broken_pipe},
    {"interrupt", interrupt},
    {"rounding", rounding},
    {"load_plugin", load_plugin},
    {"processors", processors},
    {"memory_code", memory_code},
    {"clocks", clocks},
    {"leave", leave},
    {"guards", guards},
    {"overflow", overflow},
    {"mappings", mappings},
    {"write_to_relro", write_to_relro},
    {"wait", wait_for_ever},
};

int main(void)
{
    const char *wanted;

    get_ready();
    freeze_point();
    wanted = getenv("PROBE");
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        if (wanted != NULL && strcmp(probes[i].name, wanted) == 0) {
            probes[i].run();
            return 0;
        }
    }
    puts("no such probe");
    return 64;
}
