/* Has memory in more pieces than an ELF file can have segments; says if all are what they were. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "freezepoint.h"

enum { PIECES = 150, SIZE = 4096 };

static char *pieces;

/* Every other one may be written to, as a library's data behind its code. */
static int is_writable(int piece)
{
    return piece % 2;
}

/* The kernel tells by a system call that reads into it. */
static int can_be_written_to(int piece)
{
    int ends[2];
    char byte = 'w';
    ssize_t got;

    if (pipe(ends) || write(ends[1], &byte, 1) != 1)
        return -1;
    got = read(ends[0], pieces + piece * SIZE + 1, 1);
    close(ends[0]);
    close(ends[1]);
    return got == 1;
}

int main(void)
{
    int right = 0;

    pieces = mmap(NULL, PIECES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int piece = 0; piece < PIECES; piece++) {
        memset(pieces + piece * SIZE, 'a' + piece % 26, SIZE);
        if (!is_writable(piece))
            mprotect(pieces + piece * SIZE, SIZE, PROT_READ);
    }
    freeze_point();
    for (int piece = 0; piece < PIECES; piece++)
        right += pieces[piece * SIZE] == 'a' + piece % 26 &&
                 can_be_written_to(piece) == is_writable(piece);
    printf("%d of %d\n", right, PIECES);
    return 0;
}
