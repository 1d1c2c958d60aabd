/* Reads and writes variables of known names, in the ways that instructions have. */
#include <stdint.h>
#include <string.h>

volatile uint64_t is_read, is_written, is_added_to, is_not_touched;
volatile uint8_t table[8][64];
char source[256], target[256];
static __thread volatile int own;

int main(void)
{
    volatile int index = 3;
    uint64_t value = is_read;

    is_written = value;
    is_added_to++;
    table[index][5] = 1;
    own = 1;
    __asm__ volatile("rep movsb"
                     : : "S"(source), "D"(target), "c"(sizeof source) : "memory");
    __asm__ volatile("lea %0, %%rax" : : "m"(is_not_touched) : "rax");
    __asm__ volatile("movups (%0), %%xmm0; movups %%xmm0, 32(%0)" : : "r"(table[6]) : "xmm0", "memory");
    return 0;
}
