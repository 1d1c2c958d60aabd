/* Touches some of its pages in the way that PROBE names, and writes "well" to the file TOLD if all
   is as it should be. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include "freezepoint.h"

#define PAGE 4096

volatile char pages[8][PAGE] __attribute__((aligned(PAGE))) = { "data" };
static sigjmp_buf back;

static void go_back(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

int main(void)
{
    const char *probe;
    volatile int is_well = 1;
    int file;

    for (int index = 0; index < 8; index++)
        pages[index][0] = index;
    freeze_point();

    probe = getenv("PROBE");
    if (!strcmp(probe, "some")) {
        is_well = pages[5][9] == 0 && pages[2][0] == 2 && pages[5][0] == 5;
        pages[7][1] = 1;
    } else if (!strcmp(probe, "across")) {
        *(volatile uint64_t *)(&pages[4][0] - 4) = 0x0102030405060708;
        is_well = pages[4][3] == 1;
    } else if (!strcmp(probe, "read")) {
        file = open("/dev/zero", O_RDONLY);
        is_well = read(file, (char *)pages[1], 10) == 10;
        close(file);
    } else if (!strcmp(probe, "input")) {
        is_well = read(STDIN_FILENO, (char *)pages[5], 10) == 5 && pages[5][4] == 'o';
    } else if (!strcmp(probe, "gather")) {
        struct iovec pieces[] = { { (char *)pages[3], 1 }, { (char *)pages[6], 1 } };

        file = open("/dev/null", O_WRONLY);
        is_well = writev(file, pieces, 2) == 2;
        close(file);
    } else if (!strcmp(probe, "fault")) {
        signal(SIGSEGV, go_back);
        is_well = 0;
        if (!sigsetjmp(back, 1))
            *(volatile char *)16 = pages[6][0];
        else
            is_well = 1;
    } else if (!strcmp(probe, "hang")) {
        is_well = pages[2][0];
        pause();
    }
    if (is_well) {
        file = open(getenv("TOLD"), O_WRONLY);
        is_well = write(file, "well", 4) == 4;
    }
    return !is_well;
}
