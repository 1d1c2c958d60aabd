/* Files that are kept in memory, as datafiles_module.c fills them in and datafiles.c serves them. */

#include <stddef.h>
#include <stdint.h>

struct data_file {
    const char *name;    /* within the folder, normalised; "." is the folder itself */
    const char *content; /* NULL for a folder */
    size_t size;
    int64_t modified; /* nanoseconds since 1970 */
    uint64_t number;  /* its inode */
};

struct data_files {
    const char *folder; /* where they were */
    /* The same path with "\1" for each "/". The freezer changes the folder's path in memory wherever
       it is in one piece; a path that was in pieces then still has the old name. */
    const char *pieces;
    size_t folder_length;
    const struct data_file *files; /* sorted by name, as strcmp(3) does */
    size_t count;
};

extern struct data_files nativecgi_data_files;
