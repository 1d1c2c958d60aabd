/* A library for dlopen(3), with a variable of each thread's own. */
static __thread int last = 41;

int answer(void)
{
    return ++last;
}
