/* Puts guard pages into the midst of its memory, as glibc 2.42 does into the stacks of threads. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "freezepoint.h"

#define PAGE 4096
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Whether a page can be read. */
static int is_open(const char *page)
{
    int ends[2], result;

    if (pipe(ends))
        return -1;
    result = write(ends[1], page, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return result;
}

int main(void)
{
    char *pages = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int i;

    if (pages == MAP_FAILED)
        return 1;
    strcpy(pages + PAGE, "one");
    strcpy(pages + 3 * PAGE, "three");
    if (madvise(pages, PAGE, MADV_GUARD_INSTALL) ||
        madvise(pages + 2 * PAGE, PAGE, MADV_GUARD_INSTALL))
        return 77;  /* Linux before 6.13 */
    freeze_point();
    printf("%s %s", pages + PAGE, pages + 3 * PAGE);
    for (i = 0; i < 5; i++)
        printf(" %d", is_open(pages + i * PAGE));
    puts("");
    return 0;
}
