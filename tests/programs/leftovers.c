/* Has had a secret on its stack, in a call that is over. */
#include <stdio.h>
#include <string.h>
#include "freezepoint.h"

/* The secret, each letter one further, so that the program's own file does not hold it. */
static const char shifted[] = "mfgupwfs.tfdsfu";

static int know(void)
{
    volatile char secrets[65536];

    for (size_t i = 0; i < sizeof secrets; i++)
        secrets[i] = shifted[i % (sizeof shifted - 1)] - 1;
    return secrets[sizeof secrets - 1];
}

int main(void)
{
    int last = know();
    char *message = strdup("known");

    freeze_point();
    printf("%s %d\n", message, last);
    return 0;
}
