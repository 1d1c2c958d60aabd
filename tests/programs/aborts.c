/* Passes its freeze point and aborts, some calls deep. */
#include "freezepoint.h"

static __attribute__((noinline)) void give_up(void)
{
    abort();
}

static __attribute__((noinline)) int go_on(int depth)
{
    if (depth == 0)
        give_up();
    return depth + go_on(depth - 1);
}

int main(void)
{
    freeze_point();
    return go_on(2);
}
