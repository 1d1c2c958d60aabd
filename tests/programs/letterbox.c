/* Tells its token, leaves a letterbox, and writes what a thaw has put into it to the file that REPORT names. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "freezepoint.h"

enum { SIZE = 4096, TOKEN = 16 };

int main(void)
{
    unsigned char *box = malloc(SIZE), *second = malloc(SIZE);
    const char *token = getenv("FREEZE_POINT");
    uint64_t size = SIZE;
    int report;

    if (box == NULL || second == NULL || token == NULL)
        return 1;
    fprintf(stderr, "%s\n", token);
    for (int i = 0; i < TOKEN; i++) {
        unsigned value;
        if (sscanf(token + 2 * i, "%2x", &value) != 1)
            return 1;
        box[i] = box[SIZE - TOKEN + i] = value;
    }
    memcpy(box + TOKEN, &size, sizeof size);
#ifdef SECOND
    memcpy(second, box, SIZE);
#endif
    freeze_point();
    report = open(getenv("REPORT"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    return write(report, box, SIZE) == SIZE && second[0] == second[1] ? 0 : 1;
}
