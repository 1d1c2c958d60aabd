/* The freeze point as the freezer defines it. Without the variable a program just goes on. */
#ifndef FREEZEPOINT_H
#define FREEZEPOINT_H

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void freeze_point(void)
{
    if (getenv("FREEZE_POINT") != NULL) {
#ifdef USE_RAISE
        raise(SIGSTOP);
#else
        kill(getpid(), SIGSTOP);
#endif
    }
}

#endif
