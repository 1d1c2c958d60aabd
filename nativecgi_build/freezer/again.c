/* Has a program that is started again do the same again (heap.c).
 *
 * What it draws at random on its way to the freeze point, such as the secret of Python's hashes, on
 * which the order in sets depends, is the same each time. CHANCE names a file that defines
 * CHANCE_BYTES of it, drawn for this build alone; each is given once and then erased. When they are
 * used up, in a child, and in each process of the image, the kernel is asked.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include CHANCE

#define PUBLIC __attribute__((visibility("default")))

extern uint32_t image_heap_is_frozen;

static unsigned char chance[] = { CHANCE_BYTES };
static atomic_size_t given;

PUBLIC ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    size_t start;

    if (image_heap_is_frozen || size > sizeof chance
        || (start = atomic_fetch_add(&given, size)) > sizeof chance - size)
        return syscall(SYS_getrandom, bytes, size, flags);
    memcpy(bytes, chance + start, size);
    explicit_bzero(chance + start, size);
    return size;
}

/* What parent and child draw is not the same. */
static void in_child(void)
{
    given = sizeof chance;
}

/* Nobody is to see how the program is started, nor to start another in this way: as the first library
 * of all, by a descriptor. */
__attribute__((constructor)) static void begin(void)
{
    static const char folder[] = "/proc/self/fd/";
    const char *library = getenv("LD_PRELOAD");

    if (library && !strncmp(library, folder, sizeof folder - 1))
        close(atoi(library + sizeof folder - 1));
    pthread_atfork(NULL, NULL, in_child);
    unsetenv("LD_PRELOAD");
}
