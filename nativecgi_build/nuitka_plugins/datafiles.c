/* Serves the files of a folder that is there no more, to all code in the process.

   The functions below have the names of glibc's. A program's own symbols come before those of its
   libraries (ELF symbol interposition, see ld.so(8)), so Python, OpenSSL, SQLite, FreeType and
   whatever is loaded later call these. A path of a kept file opens a sealed file in memory
   (memfd_create(2)); they cannot be changed. Any other path goes to the kernel: as it is, or, where
   it is one in the folder, as one in the folder that the environment names in NATIVECGI_FOLDER.

   Not served: what glibc opens itself (locales, iconv's modules, dlopen, fts), and descriptors of
   folders. */

#undef _FORTIFY_SOURCE   /* its inline functions have the names that are defined here */
#undef _FILE_OFFSET_BITS /* it would rename open to open64; on x86-64 the two are the same */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
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

static int by_name(const void *name, const void *file)
{
    return strcmp(name, ((const struct data_file *)file)->name);
}

static const struct data_file *lookup(const char *name)
{
    const struct data_files *all = &nativecgi_data_files;
    return bsearch(*name ? name : ".", all->files, all->count, sizeof *all->files, by_name);
}

/* Follow a path from the folder, as the kernel does: only folders have something in them. */
static const struct data_file *follow(const char *rest)
{
    char name[PATH_MAX] = "";
    size_t length = 0;
    const struct data_file *file = lookup(name);

    while (*rest) {
        size_t part = strcspn(rest, "/");
        if (file == NULL || file->content)
            return NULL;
        if (part == 0) {
            rest++;
            continue;
        }
        if (part == 2 && rest[0] == '.' && rest[1] == '.') {
            if (length == 0)
                return NULL; /* out of the folder */
            while (length > 0 && name[--length] != '/')
                ;
        } else if (!(part == 1 && rest[0] == '.')) {
            if (length + part + 2 > sizeof name)
                return NULL;
            if (length > 0)
                name[length++] = '/';
            memcpy(name + length, rest, part);
            length += part;
        }
        name[length] = '\0';
        file = lookup(name);
        rest += part;
    }
    return file;
}

static const struct data_file *find(const char *path)
{
    const struct data_files *all = &nativecgi_data_files;
    /* GCC would take the argument for one that is never NULL, which the kernel does not. */
    const char *volatile given = path;
    if (all->count == 0 || given == NULL || path[0] != '/')
        return NULL;
    if (!is_below(path, all->folder, all->folder_length) &&
        !is_below(path, all->pieces, all->folder_length))
        return NULL;
    return follow(path + all->folder_length);
}

/* The path that the kernel gets, of which no file is kept. The folder that NATIVECGI_FOLDER names has
   what a project keeps in its own, such as a database. `moved` is room for a path. */
static const char *outside(const char *path, char *moved)
{
    const struct data_files *all = &nativecgi_data_files;
    const char *volatile given = path;
    const char *folder;

    if (all->count == 0 || given == NULL || path[0] != '/' ||
        (!is_below(path, all->folder, all->folder_length) &&
         !is_below(path, all->pieces, all->folder_length)))
        return path;
    folder = getenv("NATIVECGI_FOLDER");
    if (folder == NULL || folder[0] != '/' ||
        snprintf(moved, PATH_MAX, "%s%s", folder, path + all->folder_length) >= PATH_MAX)
        return path;
    return moved;
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
    char moved[PATH_MAX];
    return file ? open_in_memory(file, flags)
                : (int)syscall(SYS_openat, folder, outside(path, moved), flags | O_LARGEFILE, mode);
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
static DIR *(*next_opendir)(const char *);
static struct dirent *(*next_readdir)(DIR *);
static int (*next_closedir)(DIR *);
static void (*next_rewinddir)(DIR *);
static int (*next_dirfd)(DIR *);

__attribute__((constructor)) static void find_next(void)
{
    next_fopen = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen64");
    next_faccessat = (int (*)(int, const char *, int, int))dlsym(RTLD_NEXT, "faccessat");
    next_realpath = (char *(*)(const char *, char *))dlsym(RTLD_NEXT, "realpath");
    next_opendir = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
    next_readdir = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
    next_closedir = (int (*)(DIR *))dlsym(RTLD_NEXT, "closedir");
    next_rewinddir = (void (*)(DIR *))dlsym(RTLD_NEXT, "rewinddir");
    next_dirfd = (int (*)(DIR *))dlsym(RTLD_NEXT, "dirfd");
}

static FILE *fopen_any(const char *path, const char *mode)
{
    const struct data_file *file = find(path);
    char moved[PATH_MAX];
    int descriptor;
    FILE *stream;

    if (file == NULL) {
        if (next_fopen == NULL)
            find_next();
        return next_fopen(outside(path, moved), mode);
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
    char moved[PATH_MAX];
    if (file == NULL)
        return (int)syscall(SYS_newfstatat, folder, outside(path, moved), found, flags);
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
    char moved[PATH_MAX];
    if (find(path) == NULL)
        return (int)syscall(SYS_statx, folder, outside(path, moved), flags, mask, found);
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
    char moved[PATH_MAX];
    if (file == NULL) {
        path = outside(path, moved);
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
    char real[2 * PATH_MAX], moved[PATH_MAX];
    const struct data_files *all = &nativecgi_data_files;
    const struct data_file *file = find(path);

    if (file == NULL) {
        if (next_realpath == NULL)
            find_next();
        return next_realpath(outside(path, moved), resolved);
    }
    if (!strcmp(file->name, "."))
        snprintf(real, sizeof real, "%s", all->folder);
    else
        snprintf(real, sizeof real, "%s/%s", all->folder, file->name);
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

/* --- changing what is outside: of a kept file there is nothing that could be changed --- */

#define OUTSIDE(number, ...)                                                                      \
    char moved[PATH_MAX];                                                                          \
    path = outside(path, moved);                                                                   \
    return syscall(number, __VA_ARGS__)

int chdir(const char *path) { OUTSIDE(SYS_chdir, path); }
int chmod(const char *path, mode_t mode) { OUTSIDE(SYS_chmod, path, mode); }
int mkdir(const char *path, mode_t mode) { OUTSIDE(SYS_mkdir, path, mode); }
int rmdir(const char *path) { OUTSIDE(SYS_rmdir, path); }
int truncate(const char *path, off_t size) { OUTSIDE(SYS_truncate, path, size); }
int truncate64(const char *path, off64_t size) { OUTSIDE(SYS_truncate, path, size); }
int unlink(const char *path) { OUTSIDE(SYS_unlink, path); }
int unlinkat(int folder, const char *path, int flags)
{
    OUTSIDE(SYS_unlinkat, folder, path, flags);
}
int utimensat(int folder, const char *path, const struct timespec times[2], int flags)
{
    OUTSIDE(SYS_utimensat, folder, path, times, flags);
}
ssize_t readlink(const char *path, char *target, size_t size)
{
    OUTSIDE(SYS_readlink, path, target, size);
}

int rename(const char *path, const char *target)
{
    char renamed[PATH_MAX];
    target = outside(target, renamed);
    OUTSIDE(SYS_rename, path, target);
}

/* --- reading a folder --- */

/* Behind a DIR pointer. glibc's begins with a descriptor, which is never that number. */
enum { OURS = -0x6b657074 };
struct folder {
    int ours;
    const char *name; /* "." is the whole folder */
    size_t next;
    struct dirent entry;
};

static struct folder *as_ours(DIR *directory)
{
    struct folder *folder = (struct folder *)directory;
    return folder->ours == OURS ? folder : NULL;
}

DIR *opendir(const char *path)
{
    const struct data_file *file = find(path);
    char moved[PATH_MAX];
    struct folder *folder;

    if (file == NULL) {
        if (next_opendir == NULL)
            find_next();
        return next_opendir(outside(path, moved));
    }
    if (file->content) {
        errno = ENOTDIR;
        return NULL;
    }
    folder = calloc(1, sizeof *folder);
    if (folder) {
        folder->ours = OURS;
        folder->name = file->name;
    }
    return (DIR *)folder;
}

/* The last part of a name if it is directly in the folder, else NULL. */
static const char *name_in(const struct folder *folder, const char *name)
{
    size_t length = strcmp(folder->name, ".") ? strlen(folder->name) : 0;
    if (!strcmp(name, "."))
        return NULL;
    if (length) {
        if (strncmp(name, folder->name, length) || name[length] != '/')
            return NULL;
        name += length + 1;
    }
    return strchr(name, '/') ? NULL : name;
}

static struct dirent *read_folder(DIR *directory)
{
    const struct data_files *all = &nativecgi_data_files;
    struct folder *folder = as_ours(directory);

    if (folder == NULL) {
        if (next_readdir == NULL)
            find_next();
        return next_readdir(directory);
    }
    while (folder->next < all->count) {
        const struct data_file *file = &all->files[folder->next++];
        const char *name = name_in(folder, file->name);
        if (name && strlen(name) < sizeof folder->entry.d_name) {
            folder->entry.d_ino = file->number;
            folder->entry.d_off = folder->next;
            folder->entry.d_reclen = sizeof folder->entry;
            folder->entry.d_type = file->content ? DT_REG : DT_DIR;
            strcpy(folder->entry.d_name, name);
            return &folder->entry;
        }
    }
    return NULL;
}

struct dirent *readdir(DIR *directory) { return read_folder(directory); }
struct dirent64 *readdir64(DIR *directory) { return (struct dirent64 *)read_folder(directory); }

void rewinddir(DIR *directory)
{
    struct folder *folder = as_ours(directory);
    if (folder)
        folder->next = 0;
    else {
        if (next_rewinddir == NULL)
            find_next();
        next_rewinddir(directory);
    }
}

int dirfd(DIR *directory)
{
    if (as_ours(directory)) {
        errno = ENOTSUP;
        return -1;
    }
    if (next_dirfd == NULL)
        find_next();
    return next_dirfd(directory);
}

int closedir(DIR *directory)
{
    struct folder *folder = as_ours(directory);
    if (folder) {
        free(folder);
        return 0;
    }
    if (next_closedir == NULL)
        find_next();
    return next_closedir(directory);
}
