/* Has drawn from a SQLite before its freeze point, and prints what it draws behind it.

   It is linked to SQLite, or loads it from the files that the arguments name; the same file twice
   is loaded into namespaces of their own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include "freezepoint.h"

#ifdef LINKED
void sqlite3_randomness(int size, void *bytes);
#endif

int main(int count, char **arguments)
{
    void (*draw[8])(int, void *);
    unsigned char bytes[8][8];
    int copies = 0;

#ifdef LINKED
    draw[copies++] = sqlite3_randomness;
#endif
    for (int i = 1; i < count; i++) {
        Lmid_t space = i > 1 ? LM_ID_NEWLM : LM_ID_BASE;
        void *library = dlmopen(space, arguments[i], RTLD_NOW);

        if (library == NULL) {
            puts(dlerror());
            return 1;
        }
        *(void **)&draw[copies] = dlsym(library, "draw");
        if (draw[copies] == NULL)
            *(void **)&draw[copies] = dlsym(library, "sqlite3_randomness");
        copies++;
    }
#ifndef UNUSED
    for (int i = 0; i < copies; i++)
        draw[i](sizeof *bytes, bytes[i]);
#endif
    freeze_point();
    for (int i = 0; i < copies; i++) {
        draw[i](sizeof *bytes, bytes[i]);
        for (size_t j = 0; j < sizeof *bytes; j++)
            printf("%02x", bytes[i][j]);
        puts("");
    }
    return 0;
}
