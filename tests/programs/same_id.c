/* Shows which process it is, and then does what WAY names. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "freezepoint.h"

int main(void)
{
    pid_t frozen = getpid();
    const char *way;
    char *wiped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    /* As a library does that wants to know whether it is in another process. */
    if (wiped == MAP_FAILED || madvise(wiped, 4096, MADV_WIPEONFORK))
        return 1;
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, wiped, 4096, "a name"); /* from Linux 5.17 on */
    wiped[0] = wiped[4096] = 'x';
    freeze_point();
    way = getenv("WAY");
    if (way != NULL && strcmp(way, "wiped") == 0) {
        printf("%d %d\n", wiped[0], wiped[4096]);
        fflush(stdout);
        wiped[0] = 'y';
        if (fork() == 0)
            _exit(wiped[0]);
        wait(&frozen);
        printf("%d %d\n", WEXITSTATUS(frozen), wiped[0]);
        return 0;
    }
    printf("%d %d %d\n", frozen, getpid(), getppid());
    fflush(stdout);
    if (way != NULL && strcmp(way, "exit") == 0)
        return 7;
    if (way != NULL && strcmp(way, "kill") == 0)
        raise(SIGKILL);
    if (way != NULL && strcmp(way, "close") == 0) {
        fclose(stdout);
        fclose(stderr);
        pause();
    }
    if (way != NULL && strcmp(way, "wait") == 0)
        pause();
    return 0;
}
