/* Prints what it is told of chance, time and identities, then reaches its freeze point. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <x86intrin.h>
#include "freezepoint.h"

static void print(const char *name, const void *data, size_t size)
{
    fprintf(stderr, "%s ", name);
    for (size_t i = 0; i < size; i++)
        fprintf(stderr, "%02x", ((const unsigned char *)data)[i]);
    fputc('\n', stderr);
}

static void tell_chance(void)
{
    unsigned char data[300] = {0};
    int device = open("/dev/urandom", O_RDONLY);

    if (getrandom(data, sizeof data, 0) != sizeof data)
        exit(1);
    print("getrandom", data, sizeof data);
    if (read(device, data, 16) != 16)
        exit(1);
    print("urandom", data, 16);
    close(device);
}

static void tell_time(void)
{
    struct timespec now = {0};
    struct timeval day = {0};
    struct rusage usage;
    struct tms process;
    unsigned processor;

    fprintf(stderr, "time %ld\n", (long)time(NULL));
    clock_gettime(CLOCK_REALTIME, &now);
    print("realtime", &now, sizeof now);
    clock_gettime(CLOCK_MONOTONIC, &now);
    print("monotonic", &now, sizeof now);
    gettimeofday(&day, NULL);
    print("day", &day, sizeof day);
    getrusage(RUSAGE_SELF, &usage);
    print("usage", &usage, sizeof usage);
    fprintf(stderr, "times %ld\n", (long)times(&process));
    print("process", &process, sizeof process);
    fprintf(stderr, "counter %lld\n", (long long)__rdtsc());
    fprintf(stderr, "counter %lld %u\n", (long long)__rdtscp(&processor), processor);
}

static void tell_files(const char *name)
{
    struct stat status = {0};
    struct statx extended;
    DIR *folder = opendir(name);
    int before = open(".", O_RDONLY | O_DIRECTORY);

    if (folder == NULL || chdir(name))
        exit(1);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        fprintf(stderr, "entry %s\n", entry->d_name);
        if (stat(entry->d_name, &status))
            exit(1);
        if (strcmp(entry->d_name, "..") != 0)
            print("stat", &status, sizeof status);
    }
    closedir(folder);
    if (fstat(0, &status))
        exit(1);
    print("pipe", &status, sizeof status);
    if (fstatat(AT_FDCWD, "/proc/self/status", &status, 0))
        exit(1);
    print("made_up", &status, sizeof status);
    fprintf(stderr, "statx %ld\n", syscall(SYS_statx, AT_FDCWD, ".", 0, STATX_MTIME, &extended));
    /* What it does not put back a process would lose. */
    if (fchdir(before) || close(before))
        exit(1);
}

static void tell_machine(void)
{
    struct sysinfo info = {0};
    struct utsname name = {0};

    sysinfo(&info);
    print("sysinfo", &info, sizeof info);
    uname(&name);
    fprintf(stderr, "node %s\n", name.nodename);
}

static void tell_identities(void)
{
    fprintf(stderr, "ids %d %d %d %d %d\n", getpid(), gettid(), getppid(), getpgrp(), getsid(0));
    fprintf(stderr, "own group %d\n", getpgid(getpid()));
}

static volatile sig_atomic_t caught;

static void note(int number)
{
    caught = number;
}

static void send_signals(void)
{
    signal(SIGUSR1, note);
    kill(getpid(), SIGUSR1);
    fprintf(stderr, "kill %d\n", caught == SIGUSR1);
    caught = 0;
    raise(SIGUSR1);
    fprintf(stderr, "raise %d\n", caught == SIGUSR1);
}

/* A child is not answered for: it must find a counter, and its own identity. */
static void have_child(void)
{
    int status;
    pid_t parent = getpid(), child = fork();

    if (child == 0)
        _exit(__rdtsc() == 0 || getpid() == parent);
    waitpid(child, &status, 0);
    fprintf(stderr, "child %d\n", status);
}

int main(int count, char **arguments)
{
    if (count != 2)
        return 1;
    tell_chance();
    tell_time();
    tell_files(arguments[1]);
    tell_machine();
    tell_identities();
    send_signals();
    have_child();
    freeze_point();
    return 0;
}
