/* Sends a large file, and counts the bytes of a large body, as a CGI program in C. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static char buffer[64 * 1024];

static int count(void)
{
    long long total = 0;
    ssize_t size;

    while ((size = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        total += size;
    printf("Content-Type: text/plain\r\n\r\n%lld", total);
    return size < 0;
}

static int send(const char *path)
{
    struct stat status;
    ssize_t size;
    int file = open(path, O_RDONLY);

    if (file < 0 || fstat(file, &status) < 0)
        return 1;
    printf("Content-Type: application/octet-stream\r\nContent-Length: %lld\r\n\r\n",
           (long long)status.st_size);
    fflush(stdout);
    while ((size = sendfile(STDOUT_FILENO, file, NULL, 1024 * 1024)) > 0)
        ;
    return size < 0;
}

int main(void)
{
    return strcmp(getenv("REQUEST_METHOD"), "POST") ? send(getenv("LARGE_FILE")) : count();
}
