/* Comes to an instruction that no CPU has (ILLEGAL=none) or to the one that ends programs (ud2). */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include "freezepoint.h"

#ifdef HANDLED
static void handle(int number)
{
    (void)number;
    puts("handled");
    exit(0);
}
#endif

int main(void)
{
#ifdef HANDLED
    signal(SIGILL, handle);
#endif
    freeze_point();
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (strcmp(getenv("ILLEGAL"), "none") == 0)
        __asm__(".byte 0x06"); /* push es, which 64-bit mode has not */
    else
        __asm__("ud2");
    return 0;
}
