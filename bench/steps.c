/* Runs a traced process instruction by instruction: how many there are, and which memory they touch.
 *
 * A library for lines.py. Where an instruction reads and writes, capstone tells, once for each
 * instruction; the registers then give the addresses. What is pushed to the stack and popped from
 * it is left out.
 */

#define _GNU_SOURCE
#include <capstone/capstone.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#define PUBLIC __attribute__((visibility("default")))
#define WORD 8
#define LINE 64
#define LONGEST 15              /* bytes of an instruction */
#define OPERANDS 2              /* in memory, of one instruction: only of movs and the like are two */
#define NO_REGISTER -1

/* A set of numbers, which keeps them in the order in which they came. */
struct set {
    uint64_t *numbers;
    uint64_t count;
    uint32_t *table;            /* indexes in `numbers`, plus 1 */
    uint64_t size;              /* of the table, a power of 2 */
};

struct operand {
    int base, index;            /* offsets in struct user_regs_struct, or NO_REGISTER */
    int scale;
    int64_t displacement;
    int segment;                /* likewise, of its base address */
    int size;                   /* in bytes */
    int is_written;
};

struct instruction {
    uint64_t address;           /* 0: none */
    int count;
    struct operand operands[OPERANDS];
};

struct watch {
    uint64_t instructions;      /* how many; one that repeats (REP) is one */
    struct set code;            /* lines, by their number */
    struct set reads, writes;   /* words, likewise */
    struct instruction *known;
    uint64_t known_size, known_count;
    csh capstone;
};

static uint64_t hash(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15u >> 24;
}

static void *allocated(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        abort();
    return memory;
}

static void enlarge(struct set *set)
{
    uint64_t size = set->size ? set->size * 2 : 4096;

    free(set->table);
    set->table = allocated(size, sizeof *set->table);
    set->numbers = realloc(set->numbers, size / 2 * sizeof *set->numbers);
    if (!set->numbers)
        abort();
    set->size = size;
    for (uint64_t index = 0; index < set->count; index++) {
        uint64_t place = hash(set->numbers[index]) & (size - 1);

        while (set->table[place])
            place = (place + 1) & (size - 1);
        set->table[place] = index + 1;
    }
}

static void add(struct set *set, uint64_t number)
{
    uint64_t place;

    if (set->count == set->size / 2)
        enlarge(set);
    place = hash(number) & (set->size - 1);
    while (set->table[place]) {
        if (set->numbers[set->table[place] - 1] == number)
            return;
        place = (place + 1) & (set->size - 1);
    }
    set->numbers[set->count] = number;
    set->table[place] = ++set->count;
}

/* Where a register is in struct user_regs_struct. Of a part of one, the whole. */
static int register_offset(x86_reg name)
{
    switch (name) {
    case X86_REG_RAX: case X86_REG_EAX: return offsetof(struct user_regs_struct, rax);
    case X86_REG_RBX: case X86_REG_EBX: return offsetof(struct user_regs_struct, rbx);
    case X86_REG_RCX: case X86_REG_ECX: return offsetof(struct user_regs_struct, rcx);
    case X86_REG_RDX: case X86_REG_EDX: return offsetof(struct user_regs_struct, rdx);
    case X86_REG_RSI: case X86_REG_ESI: return offsetof(struct user_regs_struct, rsi);
    case X86_REG_RDI: case X86_REG_EDI: return offsetof(struct user_regs_struct, rdi);
    case X86_REG_RBP: case X86_REG_EBP: return offsetof(struct user_regs_struct, rbp);
    case X86_REG_RSP: case X86_REG_ESP: return offsetof(struct user_regs_struct, rsp);
    case X86_REG_R8: case X86_REG_R8D: return offsetof(struct user_regs_struct, r8);
    case X86_REG_R9: case X86_REG_R9D: return offsetof(struct user_regs_struct, r9);
    case X86_REG_R10: case X86_REG_R10D: return offsetof(struct user_regs_struct, r10);
    case X86_REG_R11: case X86_REG_R11D: return offsetof(struct user_regs_struct, r11);
    case X86_REG_R12: case X86_REG_R12D: return offsetof(struct user_regs_struct, r12);
    case X86_REG_R13: case X86_REG_R13D: return offsetof(struct user_regs_struct, r13);
    case X86_REG_R14: case X86_REG_R14D: return offsetof(struct user_regs_struct, r14);
    case X86_REG_R15: case X86_REG_R15D: return offsetof(struct user_regs_struct, r15);
    case X86_REG_RIP: return offsetof(struct user_regs_struct, rip);
    case X86_REG_FS: return offsetof(struct user_regs_struct, fs_base);
    case X86_REG_GS: return offsetof(struct user_regs_struct, gs_base);
    default: return NO_REGISTER;
    }
}

static uint64_t value(const struct user_regs_struct *registers, int offset)
{
    return offset == NO_REGISTER ? 0 : *(const uint64_t *)((const char *)registers + offset);
}

/* Whether an instruction writes to its operand of that index. capstone 5 calls some destinations read,
 * such as those of movups and rol. */
static int writes_to(const cs_insn *instruction, int index)
{
    const cs_x86 *detail = &instruction->detail->x86;

    if (detail->operands[index].access & CS_AC_WRITE || instruction->id == X86_INS_FNSTCW)
        return 1;
    if (index || detail->op_count == 1)
        return 0;
    switch (instruction->id) {
    case X86_INS_CMP: case X86_INS_TEST: case X86_INS_BT:
    case X86_INS_CMPSB: case X86_INS_CMPSW: case X86_INS_CMPSD: case X86_INS_CMPSQ:
        return 0;
    default:
        return 1;
    }
}

static void decode(struct watch *watch, pid_t pid, struct instruction *known)
{
    uint8_t code[LONGEST];
    struct iovec here = { code, LONGEST }, there = { (void *)known->address, LONGEST };
    cs_insn *found;
    ssize_t length = process_vm_readv(pid, &here, 1, &there, 1, 0);

    if (length < LONGEST) {     /* the page behind it is not there */
        here.iov_len = there.iov_len = 4096 - known->address % 4096;
        length = process_vm_readv(pid, &here, 1, &there, 1, 0);
    }
    if (length <= 0 || !cs_disasm(watch->capstone, code, length, known->address, 1, &found))
        return;                 /* unknown: it is taken to touch nothing */
    for (int index = 0; index < found->detail->x86.op_count; index++) {
        const cs_x86_op *operand = &found->detail->x86.operands[index];

        if (operand->type != X86_OP_MEM || found->id == X86_INS_LEA || found->id == X86_INS_NOP
            || known->count == OPERANDS)
            continue;
        known->operands[known->count++] = (struct operand){
            register_offset(operand->mem.base), register_offset(operand->mem.index),
            operand->mem.scale,
            /* %rip is the next instruction's. */
            operand->mem.disp + (operand->mem.base == X86_REG_RIP ? found->size : 0),
            register_offset(operand->mem.segment), operand->size,
            writes_to(found, index),
        };
    }
    cs_free(found, 1);
}

static struct instruction *instruction_at(struct watch *watch, pid_t pid, uint64_t address)
{
    uint64_t place;

    if (watch->known_count == watch->known_size / 2) {
        struct instruction *before = watch->known;
        uint64_t size = watch->known_size;

        watch->known_size = size ? size * 2 : 65536;
        watch->known = allocated(watch->known_size, sizeof *watch->known);
        for (uint64_t index = 0; index < size; index++) {
            if (!before[index].address)
                continue;
            place = hash(before[index].address) & (watch->known_size - 1);
            while (watch->known[place].address)
                place = (place + 1) & (watch->known_size - 1);
            watch->known[place] = before[index];
        }
        free(before);
    }
    place = hash(address) & (watch->known_size - 1);
    while (watch->known[place].address != address) {
        if (!watch->known[place].address) {
            watch->known[place].address = address;
            watch->known_count++;
            decode(watch, pid, &watch->known[place]);
            break;
        }
        place = (place + 1) & (watch->known_size - 1);
    }
    return &watch->known[place];
}

static void note(struct watch *watch, const struct operand *operand,
                 const struct user_regs_struct *registers)
{
    uint64_t first = value(registers, operand->segment) + value(registers, operand->base)
                     + value(registers, operand->index) * operand->scale + operand->displacement;

    for (uint64_t word = first / WORD; word <= (first + operand->size - 1) / WORD; word++)
        add(operand->is_written ? &watch->writes : &watch->reads, word);
}

/* A new watch; NULL if there is no memory for it. */
PUBLIC struct watch *watch_begin(void)
{
    struct watch *watch = allocated(1, sizeof *watch);

    if (cs_open(CS_ARCH_X86, CS_MODE_64, &watch->capstone) != CS_ERR_OK
        || cs_option(watch->capstone, CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK)
        return NULL;
    return watch;
}

/* Step the stopped process `pid` until it ends, or is stopped by a signal. Returns what waitpid(2)
 * says, or -1 with errno. */
PUBLIC int watch_steps(struct watch *watch, pid_t pid)
{
    struct user_regs_struct registers;
    uint64_t before = 0;
    int status;

    do {
        struct instruction *instruction;

        if (ptrace(PTRACE_GETREGS, pid, NULL, &registers))
            return -1;
        instruction = instruction_at(watch, pid, registers.rip);
        /* There is a stop behind each repetition, at the same address. */
        if (registers.rip != before)
            watch->instructions++;
        before = registers.rip;
        add(&watch->code, registers.rip / LINE);
        for (int index = 0; index < instruction->count; index++)
            note(watch, &instruction->operands[index], &registers);
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, 0))
            return -1;
        while (waitpid(pid, &status, 0) < 0)
            if (errno != EINTR)
                return -1;
    } while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    return status;
}

PUBLIC void watch_end(struct watch *watch)
{
    cs_close(&watch->capstone);
    free(watch->known);
    for (struct set *set = &watch->code; set <= &watch->writes; set++) {
        free(set->numbers);
        free(set->table);
    }
    free(watch);
}
