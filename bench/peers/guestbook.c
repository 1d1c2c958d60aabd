/* The guestbook as a CGI program in C. */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] = "@HEAD@"; /* the page's, filled in from apps/guestbook.py */

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "guestbook: %s: %s\n", what, why);
    return 1;
}

static void answer(const char *status, const char *header, const char *body, size_t length)
{
    printf("Status: %s\r\n%s\r\nContent-Length: %zu\r\n\r\n", status, header, length);
    fwrite(body, 1, length, stdout);
}

static int refuse(const char *message)
{
    answer("400 Bad Request", "Content-Type: text/plain; charset=utf-8", message, strlen(message));
    return 0;
}

static void escape(const char *text, FILE *out)
{
    for (; *text; text++) {
        size_t plain = strcspn(text, "&<>\"'");

        fwrite(text, 1, plain, out);
        switch (*(text += plain)) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        case '\'': fputs("&#x27;", out); break;
        default: return;
        }
    }
}

static int list(sqlite3 *database)
{
    char *page;
    size_t length;
    FILE *out = open_memstream(&page, &length);
    sqlite3_stmt *rows;

    if (sqlite3_prepare_v2(database, "SELECT name, message, substr(created, 1, 16) FROM entries "
                           "ORDER BY id DESC LIMIT 100", -1, &rows, NULL) != SQLITE_OK)
        return failed("select", sqlite3_errmsg(database));
    fputs(head, out);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        const char *created = (const char *)sqlite3_column_text(rows, 2);

        fputs("<article><h2>", out);
        escape((const char *)sqlite3_column_text(rows, 0), out);
        fprintf(out, "</h2><time datetime=\"%sZ\">%s UTC</time><p>", created, created);
        escape((const char *)sqlite3_column_text(rows, 1), out);
        fputs("</p></article>\n", out);
    }
    if (sqlite3_finalize(rows) != SQLITE_OK)
        return failed("select", sqlite3_errmsg(database));
    fclose(out);
    answer("200 OK", "Content-Type: text/html; charset=utf-8", page, length);
    return 0;
}

/* Undo a form's encoding, in place. */
static void decode(char *text)
{
    char *end = text;
    unsigned byte;

    for (; *text; *end++ = byte)
        if (*text == '%' && sscanf(text + 1, "%2x", &byte) == 1)
            text += 3;
        else
            byte = *text == '+' ? ' ' : *text, text++;
    *end = 0;
}

static size_t characters(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

static int add(sqlite3 *database)
{
    size_t size = strtoul(getenv("CONTENT_LENGTH"), NULL, 10);
    char *body = malloc(size + 1), *name = "", *message = "", *pair, location[4096];
    sqlite3_stmt *insert;

    body[fread(body, 1, size, stdin)] = 0;
    while ((pair = strsep(&body, "&"))) {
        char *value = pair + strcspn(pair, "=");

        if (*value)
            *value++ = 0;
        decode(value);
        if (!strcmp(pair, "name"))
            name = value;
        else if (!strcmp(pair, "message"))
            message = value;
    }
    if (!*name || characters(name) > 80)
        return refuse("A name has 1 to 80 characters.\n");
    if (!*message || characters(message) > 2000)
        return refuse("A message has 1 to 2000 characters.\n");

    if (sqlite3_exec(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", NULL,
                     NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "INSERT INTO entries (name, message) VALUES (?, ?)", -1,
                           &insert, NULL) != SQLITE_OK)
        return failed("insert", sqlite3_errmsg(database));
    sqlite3_bind_text(insert, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, message, -1, SQLITE_STATIC);
    sqlite3_step(insert);
    if (sqlite3_finalize(insert) != SQLITE_OK)
        return failed("insert", sqlite3_errmsg(database));
    snprintf(location, sizeof location, "Location: %s", getenv("SCRIPT_NAME"));
    answer("303 See Other", location, "", 0);
    return 0;
}

int main(void)
{
    const char *path = getenv("GUESTBOOK_DB");
    sqlite3 *database;
    int status;

    if (!path)
        return failed("GUESTBOOK_DB", "not set");
    if (sqlite3_open(path, &database) != SQLITE_OK)
        return failed(path, sqlite3_errmsg(database));
    sqlite3_busy_timeout(database, 5000);
    status = strcmp(getenv("REQUEST_METHOD"), "POST") ? list(database) : add(database);
    sqlite3_close(database);
    return status;
}
