/* Writes behind its freeze point to pages that it draws at random. */
#include <string.h>
#include <sys/random.h>
#include "freezepoint.h"

enum { PAGE = 4096, PAGES = 256, WRITES = 16 };

int main(void)
{
    char *pages = malloc(PAGES * PAGE);
    unsigned char drawn[WRITES];

    if (pages == NULL)
        return 1;
    memset(pages, 'x', PAGES * PAGE);
    freeze_point();
    if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn)
        return 1;
    for (int i = 0; i < WRITES; i++)
        pages[drawn[i] * PAGE] = 'y';
    return 0;
}
