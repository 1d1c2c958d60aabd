/* Is stopped by another process before it is ready. */
#include <stdio.h>
#include <sys/wait.h>
#include "freezepoint.h"

int main(void)
{
    char *state = malloc(10);
    pid_t child = fork();

    snprintf(state, 10, "early");
    if (child == 0) {
        kill(getppid(), SIGSTOP);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    snprintf(state, 10, "ready");
    freeze_point();
    puts(state);
    return 0;
}
