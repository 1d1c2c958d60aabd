/* A program for another machine: 32 bits, without a C library. */
void _start(void)
{
    for (;;)
        __asm__ volatile("int $0x80" : : "a"(1), "b"(0)); /* exit(0) */
}
