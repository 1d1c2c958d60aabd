/* Has Python's objects in the image heap, if the freezer has loaded it (freezer/heap.c).
 *
 * Python asks its own allocator (obmalloc.c) for all blocks up to 512 bytes, and that asks malloc(3)
 * for larger ones. So the heap is put in between, before Python has any block. Blocks for which it
 * has no place are those of Python's own allocator, as ever.
 */

#define _GNU_SOURCE
#include <Python.h>
#include <dlfcn.h>

/* Nuitka calls an allocator's functions without its context: so the contexts are here. Objects and
 * buffers (PYMEM_DOMAIN_OBJ, PYMEM_DOMAIN_MEM) have the same allocator in Python. */
static PyMemAllocatorEx heap, under;

static void *heap_malloc(void *context, size_t size)
{
    (void)context;
    return heap.malloc(&under, size);
}

static void *heap_calloc(void *context, size_t number, size_t size)
{
    (void)context;
    return heap.calloc(&under, number, size);
}

static void *heap_realloc(void *context, void *block, size_t size)
{
    (void)context;
    return heap.realloc(&under, block, size);
}

static void heap_free(void *context, void *block)
{
    (void)context;
    heap.free(&under, block);
}

__attribute__((constructor)) static void use_image_heap(void)
{
    const PyMemAllocatorEx *found = dlsym(RTLD_DEFAULT, "image_heap");
    PyMemAllocatorEx over = { NULL, heap_malloc, heap_calloc, heap_realloc, heap_free };

    if (!found)
        return;
    heap = *found;
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &under);
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &over);
    PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &over);
}
