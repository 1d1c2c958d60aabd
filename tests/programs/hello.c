/* The usual program: it allocates, is frozen, and greets. */
#include <stdio.h>
#include "freezepoint.h"

int main(void)
{
    char *greeting = malloc(100);
    if (greeting == NULL)
        return 1;
    snprintf(greeting, 100, "hello from %s", "before");
    fputs("almost ready\n", stderr);
    freeze_point();
    puts(greeting);
    free(greeting);
    return 3;
}
