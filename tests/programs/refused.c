/* One way after another to be refused: the first argument names it, the second is a file. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <asm/prctl.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include "freezepoint.h"

static const char *file;

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void thread(void)
{
    pthread_t watchdog;

    pthread_create(&watchdog, NULL, wait_for_ever, NULL);
    pthread_setname_np(watchdog, "watch (dog)");
}

static void *stop(void *unused)
{
    pthread_setname_np(pthread_self(), "stopper");
    raise(SIGSTOP);
    return unused;
}

static void stopping_thread(void)
{
    pthread_t stopper;

    pthread_create(&stopper, NULL, stop, NULL);
    pthread_join(stopper, NULL);
}

static void descriptor(void)
{
    if (open(file, O_RDONLY) != 3)
        exit(1);
}

static void special_descriptors(void)
{
    sigset_t none;

    sigemptyset(&none);
    epoll_create1(0);
    inotify_init();
    signalfd(-1, &none, 0);
    timerfd_create(CLOCK_MONOTONIC, 0);
    eventfd(0, 0);
}

static void internet_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int server = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 1))
        exit(1);
}

static void unix_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(address.sun_path, file);
    if (bind(server, (struct sockaddr *)&address, sizeof address))
        exit(1);
}

static void locked_file(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(open(file, O_RDWR), F_SETLK, &lock))
        exit(1);
}

static void temporary_file(void)
{
    char *name = strdup("/tmp/refused-XXXXXX");

    close(mkstemp(name));
}

static void mapped_data(void)
{
    int opened = open(file, O_RDONLY);

    if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, opened, 0) == MAP_FAILED)
        exit(1);
    close(opened);
}

static void generated_code(void)
{
    int anyone = PROT_READ | PROT_WRITE | PROT_EXEC;

    if (mmap(NULL, 4096, anyone, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        exit(1);
}

static void shared_file(void)
{
    int opened = open(file, O_RDWR);

    if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0) == MAP_FAILED)
        exit(1);
    close(opened);
}

static void shared_memory(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static pid_t assistant(void)
{
    int ends[2];
    char ready;
    pid_t child;

    if (pipe(ends))
        exit(1);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, "assistant");
        if (write(ends[1], "x", 1) == 1)
            wait_for_ever(NULL);
        _exit(1);
    }
    if (read(ends[0], &ready, 1) != 1)
        exit(1);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static void child(void)
{
    assistant();
}

/* A daemon as a daemon is made: of another session, and its parent has ended. */
static pid_t daemonised(void)
{
    int ends[2];
    pid_t daemon, child;

    if (pipe(ends))
        exit(1);
    child = fork();
    if (child == 0) {
        setsid();
        daemon = assistant();
        _exit(write(ends[1], &daemon, sizeof daemon) != sizeof daemon);
    }
    waitpid(child, NULL, 0);
    if (read(ends[0], &daemon, sizeof daemon) != sizeof daemon)
        exit(1);
    close(ends[0]);
    close(ends[1]);
    return daemon;
}

static void background(void)
{
    daemonised();
}

static void zombie(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    waitid(P_PID, child, NULL, WEXITED | WNOWAIT);
}

static void alarm_clock(void)
{
    alarm(1000);
}

static void profiling_timer(void)
{
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = 1000}, NULL);
}

static void posix_timer(void)
{
    timer_t timer;

    timer_create(CLOCK_MONOTONIC, NULL, &timer);
}

static void block(int number)
{
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, number);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
}

static void blocked_signal(void)
{
    block(SIGUSR1);
}

static void blocked_realtime_signal(void)
{
    block(SIGRTMIN + 1);
}

/* What the kernel keeps of a process, and a thaw does not set. */

static void file_mask(void)
{
    umask(0111);
}

static void folder(void)
{
    if (chdir("/"))
        exit(1);
}

static void limit(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){77, 99});
}

static void niceness(void)
{
    nice(3);
}

static void policy(void)
{
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
}

static void io_priority(void)
{
    syscall(SYS_ioprio_set, 1, 0, 3 << 13); /* idle */
}

static void processors(void)
{
    cpu_set_t one;

    sched_getaffinity(0, sizeof one, &one);
    for (int i = 0, kept = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &one) && kept++)
            CPU_CLR(i, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void no_new_privileges(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void filter(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

    no_new_privileges();
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){1, &allow});
}

static void other_personality(void)
{
    personality(ADDR_COMPAT_LAYOUT);
}

static void other_name(void)
{
    prctl(PR_SET_NAME, "somebody else");
}

static void out_of_memory_score(void)
{
    FILE *score = fopen("/proc/self/oom_score_adj", "w");

    fputs("777", score);
    fclose(score);
}

static void undumpable(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void redirected(void)
{
    int opened = open("/dev/null", O_WRONLY);

    dup2(opened, 2);
    close(opened);
}

static void closed(void)
{
    close(0);
}

static void parents_death(void)
{
    prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
}

static void subreaper(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static void capability(void)
{
    prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0);
}

static void securebits(void)
{
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0);
}

static void namespace(void)
{
    unshare(CLONE_NEWUTS);
}

static void groups(void)
{
    setgroups(1, (gid_t[]){4711});
}

static void several(void)
{
    descriptor();
    alarm_clock();
    blocked_signal();
}

static void gs_register(void)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, 4096);
}

static void other_stack(void)
{
    static ucontext_t here, there;

    getcontext(&there);
    there.uc_stack.ss_size = 1 << 16;
    there.uc_stack.ss_sp = malloc(there.uc_stack.ss_size);
    there.uc_link = &here;
    makecontext(&there, freeze_point, 0);
    swapcontext(&here, &there);
}

static void leave(void)
{
    fputs("there is no configuration\n", stderr);
    exit(7);
}

static void crash(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    abort();
}

static void end_by_realtime_signal(void)
{
    raise(SIGRTMIN + 1);
}

static void hang(void)
{
    puts("still waiting");
    fflush(stdout);
    wait_for_ever(NULL);
}

/* As `child` and as `hang`, when both processes' ids are in the file. */

static void report(pid_t child)
{
    FILE *report = fopen(file, "w");

    fprintf(report, "%d %d\n", getpid(), child);
    fclose(report);
}

static void report_assistant(void)
{
    report(assistant());
}

static void report_background(void)
{
    report(daemonised());
}

static void hang_with_assistant(void)
{
    report_assistant();
    hang();
}

static void leave_background(void)
{
    report_background();
    exit(1);
}

static void leave_assistant(void)
{
    report_assistant();
    exit(1);
}

static void other_program(void)
{
    execl("/bin/sh", "sh", "-c", "exit 0", NULL);
}

static const struct {
    const char *name;
    void (*get_ready)(void);
} ways[] = {
    {"thread", thread},
    {"stopping_thread", stopping_thread},
    {"descriptor", descriptor},
    {"special_descriptors", special_descriptors},
    {"internet_socket", internet_socket},
    {"unix_socket", unix_socket},
    {"locked_file", locked_file},
    {"temporary_file", temporary_file},
    {"mapped_data", mapped_data},
    {"shared_file", shared_file},
    {"shared_memory", shared_memory},
    {"generated_code", generated_code},
    {"child", child},
    {"background", background},
    {"zombie", zombie},
    {"alarm_clock", alarm_clock},
    {"profiling_timer", profiling_timer},
    {"posix_timer", posix_timer},
    {"blocked_signal", blocked_signal},
    {"blocked_realtime_signal", blocked_realtime_signal},
    {"file_mask", file_mask},
    {"folder", folder},
    {"limit", limit},
    {"niceness", niceness},
    {"policy", policy},
    {"io_priority", io_priority},
    {"processors", processors},
    {"no_new_privileges", no_new_privileges},
    {"filter", filter},
    {"other_personality", other_personality},
    {"other_name", other_name},
    {"out_of_memory_score", out_of_memory_score},
    {"undumpable", undumpable},
    {"redirected", redirected},
    {"closed", closed},
    {"parents_death", parents_death},
    {"subreaper", subreaper},
    {"capability", capability},
    {"securebits", securebits},
    {"namespace", namespace},
    {"groups", groups},
    {"several", several},
    {"gs_register", gs_register},
    {"other_stack", other_stack},
    {"leave", leave},
    {"crash", crash},
    {"end_by_realtime_signal", end_by_realtime_signal},
    {"hang", hang},
    {"report_assistant", report_assistant},
    {"report_background", report_background},
    {"hang_with_assistant", hang_with_assistant},
    {"leave_assistant", leave_assistant},
    {"leave_background", leave_background},
    {"other_program", other_program},
};

int main(int count, char **arguments)
{
    const char *wanted = count > 1 ? arguments[1] : "";

    file = count > 2 ? arguments[2] : NULL;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strcmp(ways[i].name, wanted) == 0) {
            ways[i].get_ready();
            freeze_point();
            return 0;
        }
    }
    fprintf(stderr, "no such way: %s\n", wanted);
    return 64;
}
