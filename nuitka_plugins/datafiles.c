/* Serves the files of a folder that is there no more, to all code in the process.

   The functions below have the names of glibc's. A program's own symbols come before those of its
   libraries (ELF symbol interposition, see ld.so(8)), so Python, OpenSSL, SQLite, FreeType and
   whatever is loaded later call these. A path of a kept file opens a sealed file in memory
   (memfd_create(2)); the folder is like a read-only file system. Any other path goes to the kernel.

   Not served: what glibc opens itself (locales, iconv's modules, dlopen), and reading a folder
   (nativecgi/packagedata.py does that for Python). */

#undef _FORTIFY_SOURCE   /* its inline functions have the names that are defined here */
#undef _FILE_OFFSET_BITS /* it would rename open to open64; on x86-64 the two are the same */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "datafiles.h"

struct data_files nativecgi_data_files;

#pragma GCC visibility push(default) /* Nuitka hides what is not said to be for libraries */

/* --- finding a file --- */

/* Whether `path` begins with the folder, of whose characters "\1" stands for "/" in `folder`. */
static int is_below(const char *path, const char *folder, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (path[i] == '\0' || path[i] != (folder[i] == '\1' ? '/' : folder[i]))
            return 0;
    return path[length] == '/' || path[length] == '\0';
}

/* Write `rest` without ".", ".." and empty parts to `name`; 0 if it leads out or is too long. */
static int normalise(const char *rest, char *name)
{
    size_t length = 0;
    while (*rest) {
        size_t part = strcspn(rest, "/");
        if (part == 2 && rest[0] == '.' && rest[1] == '.') {
            if (length == 0)
                return 0;
            while (length > 0 && name[--length] != '/')
                ;
        } else if (part > 0 && !(part == 1 && rest[0] == '.')) {
            if (length + part + 2 > PATH_MAX)
                return 0;
            if (length > 0)
                name[length++] = '/';
            memcpy(name + length, rest, part);
            length += part;
        }
        rest += part + (rest[part] == '/');
    }
    if (length == 0)
        name[length++] = '.';
    name[length] = '\0';
    return 1;
}

static int by_name(const void *name, const void *file)
{
    return strcmp(name, ((const struct data_file *)file)->name);
}

static const struct data_file *find(const char *path)
{
    const struct data_files *all = &nativecgi_data_files;
    char name[PATH_MAX];
    /* GCC would take the argument for one that is never NULL, which the kernel does not. */
    const char *volatile given = path;
    if (all->count == 0 || given == NULL || path[0] != '/')
        return NULL;
    if (!is_below(path, all->folder, all->folder_length) &&
        !is_below(path, all->pieces, all->folder_length))
        return NULL;
    if (!normalise(path + all->folder_length, name))
        return NULL;
    return bsearch(name, all->files, all->count, sizeof *all->files, by_name);
}

/* --- opening --- */

static int open_in_memory(const struct data_file *file, int flags)
{
    const char *rest = file->content;
    size_t left = file->size;
    struct timespec times[2];
    int descriptor;

    if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC) {
        errno = EROFS;
        return -1;
    }
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        errno = EEXIST;
        return -1;
    }
    if (rest == NULL || flags & O_DIRECTORY) { /* a folder cannot be had as a descriptor */
        errno = rest == NULL ? ENOENT : ENOTDIR;
        return -1;
    }
    descriptor = memfd_create("data", MFD_ALLOW_SEALING | (flags & O_CLOEXEC ? MFD_CLOEXEC : 0));
    if (descriptor < 0)
        return -1;
    while (left > 0) {
        ssize_t written = write(descriptor, rest, left);
        if (written < 0) {
            int error = errno;
            if (error == EINTR)
                continue;
            close(descriptor);
            errno = error;
            return -1;
        }
        rest += written;
        left -= written;
    }
    times[0].tv_sec = times[1].tv_sec = file->modified / 1000000000;
    times[0].tv_nsec = times[1].tv_nsec = file->modified % 1000000000;
    futimens(descriptor, times);
    fchmod(descriptor, 0644);
    fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    lseek(descriptor, 0, SEEK_SET);
    return descriptor;
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    const struct data_file *file = find(path);
    return file ? open_in_memory(file, flags)
                : (int)syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode);
}

#define OPEN(folder)                                                                              \
    mode_t mode = 0;                                                                               \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {                                     \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }                                                                                              \
    return open_any(folder, path, flags, mode)

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int openat(int folder, const char *path, int flags, ...) { OPEN(folder); }
int openat64(int folder, const char *path, int flags, ...) { OPEN(folder); }

/* What a call without a mode becomes under _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __openat_2(int folder, const char *path, int flags) { return open_any(folder, path, flags, 0); }
int __openat64_2(int folder, const char *path, int flags)
{
    return open_any(folder, path, flags, 0);
}

/* glibc's own, for which there is no system call. Found before main, where that is early enough: in
   a frozen program to find them later would be writing to memory in each process. */
static FILE *(*next_fopen)(const char *, const char *);
static int (*next_faccessat)(int, const char *, int, int);
static char *(*next_realpath)(const char *, char *);

__attribute__((constructor)) static void find_next(void)
{
    next_fopen = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen64");
    next_faccessat = (int (*)(int, const char *, int, int))dlsym(RTLD_NEXT, "faccessat");
    next_realpath = (char *(*)(const char *, char *))dlsym(RTLD_NEXT, "realpath");
}

static FILE *fopen_any(const char *path, const char *mode)
{
    const struct data_file *file = find(path);
    int descriptor;
    FILE *stream;

    if (file == NULL) {
        if (next_fopen == NULL)
            find_next();
        return next_fopen(path, mode);
    }
    descriptor = open_in_memory(file, (mode[0] == 'r' && !strchr(mode, '+') ? O_RDONLY : O_RDWR) |
                                          (strchr(mode, 'e') ? O_CLOEXEC : 0));
    if (descriptor < 0)
        return NULL;
    stream = fdopen(descriptor, "r");
    if (stream == NULL)
        close(descriptor);
    return stream;
}

FILE *fopen(const char *path, const char *mode) { return fopen_any(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return fopen_any(path, mode); }

/* --- what is known of a file --- */

static int stat_any(int folder, const char *path, struct stat *found, int flags)
{
    const struct data_file *file = find(path);
    if (file == NULL)
        return (int)syscall(SYS_newfstatat, folder, path, found, flags);
    memset(found, 0, sizeof *found);
    found->st_mode = file->content ? S_IFREG | 0644 : S_IFDIR | 0755;
    found->st_nlink = 1;
    found->st_ino = file->number;
    found->st_size = file->size;
    found->st_blksize = 4096;
    found->st_blocks = (file->size + 511) / 512;
    found->st_mtim.tv_sec = file->modified / 1000000000;
    found->st_mtim.tv_nsec = file->modified % 1000000000;
    found->st_atim = found->st_ctim = found->st_mtim;
    return 0;
}

#define NOFOLLOW AT_SYMLINK_NOFOLLOW
typedef struct stat64 large; /* the same as struct stat on x86-64 */

int stat(const char *path, struct stat *found) { return stat_any(AT_FDCWD, path, found, 0); }
int lstat(const char *path, struct stat *found)
{
    return stat_any(AT_FDCWD, path, found, NOFOLLOW);
}
int fstatat(int folder, const char *path, struct stat *found, int flags)
{
    return stat_any(folder, path, found, flags);
}
int stat64(const char *path, large *found)
{
    return stat_any(AT_FDCWD, path, (struct stat *)found, 0);
}
int lstat64(const char *path, large *found)
{
    return stat_any(AT_FDCWD, path, (struct stat *)found, NOFOLLOW);
}
int fstatat64(int folder, const char *path, large *found, int flags)
{
    return stat_any(folder, path, (struct stat *)found, flags);
}

/* What these were before glibc 2.33, and still are in wheels that were built for older systems. */
int __xstat(int version, const char *path, struct stat *found)
{
    (void)version;
    return stat(path, found);
}
int __xstat64(int version, const char *path, large *found)
{
    (void)version;
    return stat64(path, found);
}
int __lxstat(int version, const char *path, struct stat *found)
{
    (void)version;
    return lstat(path, found);
}
int __lxstat64(int version, const char *path, large *found)
{
    (void)version;
    return lstat64(path, found);
}
int __fxstatat(int version, int folder, const char *path, struct stat *found, int flags)
{
    (void)version;
    return fstatat(folder, path, found, flags);
}
int __fxstatat64(int version, int folder, const char *path, large *found, int flags)
{
    (void)version;
    return fstatat64(folder, path, found, flags);
}

/* Rust's standard library asks so. */
int statx(int folder, const char *path, int flags, unsigned int mask, struct statx *found)
{
    struct stat known;
    if (find(path) == NULL)
        return (int)syscall(SYS_statx, folder, path, flags, mask, found);
    stat_any(folder, path, &known, flags);
    memset(found, 0, sizeof *found);
    found->stx_mask = STATX_BASIC_STATS;
    found->stx_mode = known.st_mode;
    found->stx_nlink = 1;
    found->stx_ino = known.st_ino;
    found->stx_size = known.st_size;
    found->stx_blksize = known.st_blksize;
    found->stx_blocks = known.st_blocks;
    found->stx_mtime.tv_sec = known.st_mtim.tv_sec;
    found->stx_mtime.tv_nsec = known.st_mtim.tv_nsec;
    found->stx_atime = found->stx_ctime = found->stx_mtime;
    return 0;
}

/* As glibc's faccessat, of whose flags the kernel's call knows none (faccessat2 does). */
static int access_any(int folder, const char *path, int mode, int flags)
{
    const struct data_file *file = find(path);
    if (file == NULL) {
        if (flags == 0)
            return (int)syscall(SYS_faccessat, folder, path, mode);
        if (next_faccessat == NULL)
            find_next();
        return next_faccessat(folder, path, mode, flags);
    }
    if (mode & W_OK || (mode & X_OK && file->content)) {
        errno = mode & W_OK ? EROFS : EACCES;
        return -1;
    }
    return 0;
}

int access(const char *path, int mode) { return access_any(AT_FDCWD, path, mode, 0); }
int faccessat(int folder, const char *path, int mode, int flags)
{
    return access_any(folder, path, mode, flags);
}

/* A file has no extended attributes; shutil.copy2 asks. */
ssize_t listxattr(const char *path, char *list, size_t size)
{
    return find(path) ? 0 : syscall(SYS_listxattr, path, list, size);
}
ssize_t llistxattr(const char *path, char *list, size_t size)
{
    return find(path) ? 0 : syscall(SYS_llistxattr, path, list, size);
}

/* There are no links in the folder. */
static char *realpath_any(const char *path, char *resolved)
{
    char name[PATH_MAX], real[2 * PATH_MAX];
    const struct data_files *all = &nativecgi_data_files;

    if (find(path) == NULL) {
        if (next_realpath == NULL)
            find_next();
        return next_realpath(path, resolved);
    }
    normalise(path + all->folder_length, name);
    snprintf(real, sizeof real, "%s%s%s", all->folder, name[0] == '.' && !name[1] ? "" : "/",
             name[0] == '.' && !name[1] ? "" : name);
    if (strlen(real) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return resolved ? strcpy(resolved, real) : strdup(real);
}

char *realpath(const char *path, char *resolved) { return realpath_any(path, resolved); }
char *__realpath_chk(const char *path, char *resolved, size_t size)
{
    (void)size;
    return realpath_any(path, resolved);
}
