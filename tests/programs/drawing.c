/* A library that contains SQLite and shows but one function, like extension modules of Python. */
void sqlite3_randomness(int size, void *bytes);

void draw(int size, void *bytes)
{
    sqlite3_randomness(size, bytes);
}
