/* A CGI program whose instructions can be counted: 12. -DSTATUS=N and -DKILLED have it fail. */
        .globl _start
        .section .rodata
answer: .ascii "Status: 200 OK\r\n\r\nHello world"
        .set length, . - answer

        .bss
buffer: .skip 64

        .text
_start: lea buffer(%rip), %rdi
        mov $64, %ecx
        xor %eax, %eax
        rep stosb               /* 64 repetitions of one instruction */
        mov $1, %edi            /* write(1, answer, length) */
        lea answer(%rip), %rsi
        mov $length, %edx
        mov $1, %eax
        syscall
#ifdef KILLED
        ud2
#endif
#ifndef STATUS
#define STATUS 0
#endif
        mov $STATUS, %edi       /* exit_group(STATUS) */
        mov $231, %eax
        syscall

        .section .note.GNU-stack, "", @progbits
