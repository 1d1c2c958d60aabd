# The first instructions of a frozen program: they make the new process what the frozen one was.
#
# The kernel has mapped the image and starts here, with its own small stack and all registers
# clear. What differs between programs stands in the words at the end of this file; thaw.py
# fills them in by their names. The code and those words share one page, mapped read-only and
# executable, so nothing below is written to.
#
# System calls (syscall(2)): number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; the result
# is in rax; rcx and r11 are lost, all others kept.

#include <sys/syscall.h>

#define SIGINT          2
#define SIGTERM         15
#define EINTR           4
#define PR_SET_PDEATHSIG 1
#define TERMINATION     0x7f    /* in a wait status: the signal that has ended the process */
#define BY_SIGNAL       128     /* what a shell adds to that signal for an exit status */
#define SIG_IGN         1
#define SIGACTION_SIZE  32      /* struct kernel_sigaction: handler, flags, restorer, mask */
#define SIGSET_SIZE     8
#define STDERR          2
#define UCONTEXT_RIP    168     /* in the ucontext_t that a signal's handler gets: rip */
#define UD2             0x0b0f  /* the instruction, as the word it is in memory */
#define EXIT_STATUS     127     /* what a shell says of a program it cannot start */
#define CALL_SIZE       64      /* number, six arguments, expected result: eight words */
#define ANY_RESULT      -1
#define ONLY_READ       1       /* in a page's address: it is not to be written to */
#define LETTER_HEAD     24      /* length of the strings, number of arguments, kinds: three words */
#define STAT_SIZE       144     /* struct stat, and where in it st_mode is */
#define STAT_MODE       24
#define S_IFMT_SHIFT    12      /* the file type is st_mode's bits from here up (inode(7)) */

        .intel_syntax noprefix
        .text
        .globl  _start
_start:
        mov     r15, rsp                # argc, argv[], 0, envp[], 0: the new process's own

# The thread id is new. glibc keeps it in the thread's descriptor and has the kernel clear it
# there when the thread ends: set_tid_address(2) tells the one and asks for the other. Where it is
# the frozen process's own, what follows is done by a child, which has another (see below).
set_thread_id:
        mov     rdi, tid_address[rip]
        mov     eax, SYS_set_tid_address
        syscall
        mov     r12, rax                # to be stored when all memory is there
        cmp     rax, frozen_id[rip]
        je      take_another_id

# Make the system calls whose effect the image cannot hold: mappings, the thread pointer, signal
# actions. Each has to return what was planned, unless the plan says that it does not matter.
        lea     r14, calls[rip]         # the row
        mov     r13, call_count[rip]    # rows still to do
next_call:
        test    r13, r13
        jz      touch_pages
        mov     rax, [r14]
        mov     rdi, [r14 + 8]
        mov     rsi, [r14 + 16]
        mov     rdx, [r14 + 24]
        mov     r10, [r14 + 32]
        mov     r8,  [r14 + 40]
        mov     r9,  [r14 + 48]
        syscall
        cmp     rax, [r14 + 56]
        je      call_done
        cmp     qword ptr [r14 + 56], ANY_RESULT
        jne     failed
call_done:
        add     r14, CALL_SIZE
        dec     r13
        jmp     next_call

# Pages that the program will touch. If it read one first that it writes to, which maps the file's
# page for all processes, the write would be a second fault; as it is, the one fault copies it.
# Nothing changes. For so few, so far apart, this takes less time than madvise(2) with
# MADV_POPULATE_WRITE. Others are only read, in an order that has the page cache read them well
# (trial.py): the lowest bit of their addresses is set.
touch_pages:
        mov     rsi, pages[rip]         # their addresses
        mov     rcx, page_count[rip]
next_page:
        test    rcx, rcx
        jz      store_thread_id
        mov     rdx, [rsi]
        test    dl, ONLY_READ
        jnz     read_page
        or      byte ptr [rdx], 0
read_page:
        mov     al, [rdx]
        add     rsi, 8
        dec     rcx
        jmp     next_page

store_thread_id:
        mov     rdi, tid_address[rip]
        mov     [rdi], r12d

# One of the calls has drawn a new canary for the stack protector. Like glibc's its first byte is
# 0, so that no string can hold it. Calls that are not over have copies in their frames.
        mov     rcx, canary_address[rip]
        mov     rax, [rcx]
        xor     al, al
        mov     [rcx], rax
        mov     rsi, copies[rip]        # the addresses of the copies
        mov     rcx, copy_count[rip]
next_copy:
        test    rcx, rcx
        jz      set_break
        mov     rdx, [rsi]
        mov     [rdx], rax
        add     rsi, 8
        dec     rcx
        jmp     next_copy

# The program break is new too: brk(0) tells it, and malloc's heap grows from there.
set_break:
        xor     edi, edi
        mov     eax, SYS_brk
        syscall
        mov     rcx, curbrk_address[rip]
        mov     [rcx], rax

# SIGINT gets the handler it had, unless it is ignored: a shell's background job keeps that.
        mov     rsi, interrupt_action[rip]
        test    rsi, rsi
        jz      set_environment         # the program had none
        sub     rsp, SIGACTION_SIZE     # room for the action that was
        mov     edi, SIGINT
        mov     rdx, rsp
        mov     r10d, SIGSET_SIZE
        mov     eax, SYS_rt_sigaction
        syscall
        cmp     qword ptr [rsp], SIG_IGN
        jne     set_environment
        mov     rsi, rsp                # put it back
        xor     edx, edx
        mov     eax, SYS_rt_sigaction
        syscall

# getenv(3) and the like read the new process's environment where the kernel put it.
set_environment:
        mov     rax, [r15]              # argc
        lea     rbx, [r15 + rax * 8 + 16]       # envp, behind argc, argv[] and 0
        mov     rcx, environ_address[rip]
        mov     [rcx], rbx

# A program that left a letterbox finds in it what it cannot ask the kernel for without /proc:
# the strings of its command line and environment. They stand in one piece, argv[0] first, the
# last of envp last (execve in fs/exec.c).
        mov     rdi, letterbox[rip]
        test    rdi, rdi
        jz      restore
        mov     [rdi + 8], rax          # argc

# It is also told of what kind the three standard streams are: a byte each, the file type of
# st_mode without the zeros behind it, or 0 where the descriptor is closed.
        lea     rbx, [rdi + 16]         # where the bytes go
        mov     qword ptr [rbx], 0
        sub     rsp, STAT_SIZE
        xor     edi, edi                # the descriptor
next_stream:
        mov     rsi, rsp
        mov     eax, SYS_fstat
        syscall
        test    rax, rax
        jnz     stream_done
        mov     eax, [rsp + STAT_MODE]
        shr     eax, S_IFMT_SHIFT
        mov     [rbx + rdi], al
stream_done:
        inc     edi
        cmp     edi, STDERR
        jbe     next_stream
        mov     rdi, letterbox[rip]

        lea     rdx, [r15 + 8]          # the pointer to look at
        xor     esi, esi                # the first string's address, 0 while there is none
        xor     r8d, r8d                # the last string's address, likewise
        mov     ecx, 2                  # zeros still to come: argv's and envp's
next_string:
        mov     rax, [rdx]
        add     rdx, 8
        test    rax, rax
        jz      end_of_vector
        mov     r8, rax
        test    rsi, rsi
        cmovz   rsi, rax
        jmp     next_string
end_of_vector:
        dec     ecx
        jnz     next_string

        lea     rbx, [rdi + LETTER_HEAD]        # where the strings go
        xor     edx, edx                # their length: 0 where there are none
        test    r8, r8
        jz      deliver
        mov     rdi, r8                 # look for the byte 0 that ends the last string
        xor     eax, eax
        mov     rcx, -1
        repne   scasb                   # rdi: behind that byte
        mov     rdx, rdi
        sub     rdx, rsi
deliver:
        mov     rdi, letterbox[rip]
        mov     qword ptr [rdi], -1     # says that they do not fit
        cmp     rdx, letterbox_capacity[rip]
        ja      restore
        mov     [rdi], rdx
        mov     rdi, rbx
        mov     rcx, rdx
        rep     movsb

# Go on behind the system call in which the program stopped itself.
restore:
        ldmxcsr saved_mxcsr[rip]        # how SSE rounds, and which exceptions it masks
        fldcw   saved_control_word[rip] # the same for x87
        mov     rbx, saved_rbx[rip]
        mov     rbp, saved_rbp[rip]
        mov     r12, saved_r12[rip]
        mov     r13, saved_r13[rip]
        mov     r14, saved_r14[rip]
        mov     r15, saved_r15[rip]
        mov     rdi, saved_rdi[rip]     # callers rely on the arguments' registers as well
        mov     rsi, saved_rsi[rip]
        mov     rdx, saved_rdx[rip]
        mov     r10, saved_r10[rip]
        mov     r8,  saved_r8[rip]
        mov     r9,  saved_r9[rip]
        mov     rax, saved_rax[rip]
        mov     rsp, saved_rsp[rip]
        jmp     qword ptr saved_rip[rip]

# Libraries such as OpenSSL draw new random numbers where the process id is not the one that they
# have noted. So no process may have the frozen one's, as could be in a container, whose ids begin
# at 1 each time. This one starts a child and stands in for it: it ends as the child does, and the
# child is told (SIGTERM) where it ends before. What it keeps open would look like more output.
take_another_id:
        mov     eax, SYS_fork
        syscall
        test    rax, rax
        js      failed
        jnz     stand_in
        mov     edi, PR_SET_PDEATHSIG
        mov     esi, SIGTERM
        mov     eax, SYS_prctl
        syscall
        jmp     set_thread_id
stand_in:
        mov     r12, rax
        mov     edi, STDERR
close_stream:
        mov     eax, SYS_close
        syscall
        dec     edi
        jns     close_stream
        push    0                       # room for the status
await_child:
        mov     rdi, r12
        mov     rsi, rsp
        xor     edx, edx
        xor     r10d, r10d
        mov     eax, SYS_wait4
        syscall
        cmp     rax, -EINTR
        je      await_child
        movzx   edi, byte ptr [rsp + 1] # the child's exit status
        mov     eax, [rsp]
        and     eax, TERMINATION
        jz      end
        lea     edi, [rax + BY_SIGNAL]
end:
        mov     eax, SYS_exit_group
        syscall

# The handler of SIGILL: the program has come to an instruction that this CPU lacks. A library
# chose it where the image was made, and nothing can undo that here; so say it and end. The action
# is gone with the first signal (SA_RESETHAND): an instruction that is illegal on every CPU (ud2),
# by which a program ends itself, is returned to and ends it as it would without this.
illegal_instruction:
        mov     rax, [rdx + UCONTEXT_RIP]       # rdx: the third argument, the ucontext_t
        lea     rsi, lacking[rip]
        mov     edx, offset lacking_end - lacking
        cmp     word ptr [rax], UD2
        jne     say_and_end
        ret                             # to signal_return, where the kernel has it return to
signal_return:
        mov     eax, SYS_rt_sigreturn
        syscall

# Without its memory there is no program to report this; so the stub says it and ends.
failed:
        lea     rsi, message[rip]
        mov     edx, offset message_end - message
say_and_end:
        mov     edi, STDERR
        mov     eax, SYS_write
        syscall
        mov     edi, EXIT_STATUS
        jmp     end

message:
        .ascii  "frozen program: the kernel refused memory, a signal action or a child; "
        .ascii  "see the limits on address space and processes (ulimit -v, -u)\n"
message_end:
lacking:
        .ascii  "frozen program: this CPU lacks an instruction that a library has chosen by the CPU "
        .ascii  "of the machine where the program was built; build it on one with an older CPU\n"
lacking_end:

        .balign 8
saved_rax:              .quad 0
saved_rbx:              .quad 0
saved_rbp:              .quad 0
saved_rdi:              .quad 0
saved_rsi:              .quad 0
saved_rdx:              .quad 0
saved_r8:               .quad 0
saved_r9:               .quad 0
saved_r10:              .quad 0
saved_r12:              .quad 0
saved_r13:              .quad 0
saved_r14:              .quad 0
saved_r15:              .quad 0
saved_rsp:              .quad 0
saved_rip:              .quad 0
saved_mxcsr:            .quad 0
saved_control_word:     .quad 0
tid_address:            .quad 0
frozen_id:              .quad 0         # 0: no process has the id that the program had
curbrk_address:         .quad 0
environ_address:        .quad 0
canary_address:         .quad 0
copies:                 .quad 0
copy_count:             .quad 0
pages:                  .quad 0
page_count:             .quad 0
letterbox:              .quad 0         # 0: the program left none
letterbox_capacity:     .quad 0         # bytes behind its head
interrupt_action:       .quad 0         # 0: SIGINT had no handler
call_count:             .quad 0
calls:                                  # the rows follow
