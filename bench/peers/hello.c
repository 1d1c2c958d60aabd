/* "Hello world" as a CGI program in C. */

#include <stdio.h>
#include <string.h>

int main(void)
{
    const char *body = "Hello world";

    printf("Status: 200 OK\r\n"
           "Content-Type: text/plain; charset=utf-8\r\n"
           "Content-Length: %zu\r\n"
           "\r\n"
           "%s",
           strlen(body), body);
    return 0;
}
