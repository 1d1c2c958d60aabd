/* Where a thread's stack is nearly used up: see count_calls.h. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>

#define RESERVE (256 * 1024) /* bytes for C code that does not look how much is left */
#define SHARE 4              /* of a small stack a part: one in so many */

__thread char *stack_floor; /* NULL as long as a thread has not asked */

char *find_stack_floor(void)
{
    pthread_attr_t attributes;
    void *bottom;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes))
        return (char *)1; /* below it there is nothing */
    pthread_attr_getstack(&attributes, &bottom, &size);
    pthread_attr_destroy(&attributes);
    return (char *)bottom + (size / SHARE < RESERVE ? size / SHARE : RESERVE);
}

/* The main thread's is asked for at the start: after a thaw the kernel knows another stack. */
__attribute__((constructor)) static void find_main_stack_floor(void)
{
    stack_floor = find_stack_floor();
}
