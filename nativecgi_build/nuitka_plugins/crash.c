/* What a program still does when it crashes in C: answer the request, and say so in the error log.

   A signal that ends a process (SIGSEGV, also where the stack has overflowed, SIGBUS, SIGFPE,
   SIGILL, SIGABRT) is an event of the kernel's, not an exception: no Python code can run any more.
   So the answer is prepared before the freeze, and the handler here only writes it. It calls
   nothing that is not async-signal-safe (signal-safety(7)), and takes the request from `environ`.
   Then the signal does what it would have done: Python's faulthandler writes where Python was, and
   the process ends by the signal, leaving a core file where it may.

   The module is built into each program (build_in.py); arm() is called by nativecgi/gateways/crash.py.
   Tests build it as an extension module. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define HEAD 1 /* of an answer's number: without body */
#define NPH 2  /* the whole response, for the client as it is (RFC 3875 5) */
#define ANSWERS 4
#define BEGUN 255
#define UD2 0x0b0f     /* an instruction that is illegal on every CPU, as the word it is in memory */
#define SILENCE 5000   /* ms that the rest of a request's body may take to go on */
#define REST 256       /* characters that a byte of the request may take in the log, and some */

static const struct {
    int number;
    const char *name;
} signals[] = {
    {SIGSEGV, "SIGSEGV (a memory error in C, or its stack has overflowed)"},
    {SIGBUS, "SIGBUS (a memory error in C)"},
    {SIGFPE, "SIGFPE (an arithmetic error in C)"},
    {SIGILL, "SIGILL (an illegal instruction)"},
    {SIGABRT, "SIGABRT (C code has given up)"},
};
#define SIGNALS (sizeof signals / sizeof *signals)

static const char lacking[] =
    ": this CPU lacks an instruction that a library has chosen by the CPU of the machine where the "
    "program was built; build it on one with an older CPU";

static struct sigaction before[SIGNALS]; /* what the signals did until arm() */
static PyObject *answers[ANSWERS];       /* bytes */
static Py_buffer lent;
/* Where the answer is to go: a descriptor, BEGUN, or 0 where there is none to be given. */
static uint8_t *state;

static void put(int descriptor, const char *text, size_t size)
{
    while (size) {
        ssize_t written = write(descriptor, text, size);
        if (written <= 0)
            return; /* nobody is there to take it */
        text += written;
        size -= written;
    }
}

/* getenv(3), but for its locks. */
static const char *variable(const char *name)
{
    size_t length = strlen(name);
    for (char **it = environ; it && *it; it++)
        if (!strncmp(*it, name, length) && (*it)[length] == '=')
            return *it + length + 1;
    return "";
}

static int is_nph(void)
{
    const char *path = variable("SCRIPT_NAME"), *name = strrchr(path, '/');
    return name && !strncmp(name, "/nph-", 5);
}

static void answer(int descriptor)
{
    int number = (strcmp(variable("REQUEST_METHOD"), "HEAD") ? 0 : HEAD) + (is_nph() ? NPH : 0);
    put(descriptor, PyBytes_AS_STRING(answers[number]), PyBytes_GET_SIZE(answers[number]));
}

/* A line being put together; what is too long for it is cut off. */
struct line {
    char text[2048];
    size_t size;
};

static void add(struct line *line, const char *text)
{
    while (*text && line->size < sizeof line->text - 1)
        line->text[line->size++] = *text++;
}

/* What comes from the client must not look like another line of the log. */
static void add_escaped(struct line *line, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (; *text && line->size < sizeof line->text - REST; text++) {
        unsigned char byte = *text;
        char escaped[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15], 0};
        char plain[] = {byte, 0};
        add(line, byte < ' ' || byte > '~' ? escaped : plain);
    }
}

static void say(const char *name, const siginfo_t *info, uint8_t was)
{
    struct line line = {.size = 0};
    add(&line, "nativecgi: ");
    add_escaped(&line, variable("REQUEST_METHOD"));
    add(&line, " ");
    add_escaped(&line, variable("SCRIPT_NAME"));
    add_escaped(&line, variable("PATH_INFO"));
    add(&line, ": ");
    add(&line, name);
    if (info->si_signo == SIGILL && info->si_code > 0 && *(uint16_t *)info->si_addr != UD2)
        add(&line, lacking);
    if (was == BEGUN)
        add(&line, ", after the answer had begun");
    line.text[line.size++] = '\n';
    put(STDERR_FILENO, line.text, line.size);
}

/* Apache's mod_cgid and fcgiwrap lose the answer of a program that leaves input unread. */
static void drain(void)
{
    char forgotten[1024];
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (strspn(variable("CONTENT_LENGTH"), "0") == strlen(variable("CONTENT_LENGTH")))
        return;
    while (poll(&input, 1, SILENCE) > 0 && read(STDIN_FILENO, forgotten, sizeof forgotten) > 0)
        ;
}

static void crashed(int number, siginfo_t *info, void *context)
{
    size_t i = 0;
    (void)context;
    while (signals[i].number != number)
        i++;
    sigaction(number, &before[i], NULL);
    signal(SIGTERM, SIG_IGN); /* lighttpd sends it as soon as it has the whole answer */
    uint8_t was = __atomic_exchange_n(state, 0, __ATOMIC_SEQ_CST); /* one thread answers */
    int is_answerable = was && was != BEGUN;
    if (is_answerable)
        answer(was);
    say(signals[i].name, info, was);
    if (is_answerable)
        drain();
    raise(number); /* for the action that was, when this returns */
}

/* A child process has its parent's standard output, and no answer to give. */
static void forget_answer(void)
{
    *state = 0;
}

/* arm(state, answer, answer_to_head, nph_answer, nph_answer_to_head): answer crashes from now on.
   `state` is memory of one byte, which has to stay where it is. */
static PyObject *arm(PyObject *module, PyObject *arguments)
{
    struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    Py_buffer memory;
    PyObject *given[ANSWERS];
    (void)module;
    if (!PyArg_ParseTuple(arguments, "w*SSSS", &memory, &given[0], &given[HEAD], &given[NPH],
                          &given[NPH + HEAD]))
        return NULL;
    if (memory.len != sizeof *state || state) {
        PyBuffer_Release(&memory);
        return PyErr_Format(PyExc_ValueError, "it is armed, or the state is no byte");
    }
    for (int i = 0; i < ANSWERS; i++)
        answers[i] = Py_NewRef(given[i]);
    lent = memory;
    state = lent.buf;
    pthread_atfork(NULL, NULL, forget_answer);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i].number, &action, &before[i]);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {{"arm", arm, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_nativecgi_crash", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__nativecgi_crash(void)
{
    return PyModule_Create(&definition);
}

#ifdef BUILT_IN
/* Before main(), and so before Python starts: for `import` to find it. */
__attribute__((constructor)) static void offer(void)
{
    PyImport_AppendInittab("_nativecgi_crash", PyInit__nativecgi_crash);
}
#endif
