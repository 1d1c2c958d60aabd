/* Puts a guard page into its stack, as some language runtimes do. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "freezepoint.h"

int main(void)
{
    char *message;
    uintptr_t guard = ((uintptr_t)&guard - (1 << 20)) & -4096ul;

    if (mprotect((void *)guard, 4096, PROT_NONE))
        return 1;
    message = strdup("guarded");
    freeze_point();
    puts(message);
    return 0;
}
