/* The module _nativecgi_environment: a process's arguments and variables, taken apart.

   Each request needs them, and this takes a third of the instructions that compiled Python takes.
   It has to do the same as `parse` of nativecgi/process/environment.py, which says what that is,
   and which is there for plain Python: tests compare them.

   The module is built into each program (build_in.py). Tests build it as an extension module. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

static PyObject *decoded(const char *start, const char *end)
{
    return PyUnicode_DecodeUTF8(start, end - start, "surrogateescape");
}

/* Returns 0, or -1 with an exception; the next does so too. */
static int append(PyObject *arguments, const char *start, const char *end)
{
    PyObject *argument = decoded(start, end);
    int result = argument ? PyList_Append(arguments, argument) : -1;
    Py_XDECREF(argument);
    return result;
}

/* Set a variable, NAME=value, unless it has been set. */
static int set(PyObject *variables, const char *start, const char *end)
{
    const char *equals = memchr(start, '=', end - start);
    if (equals == NULL || equals == start)
        return 0;
    PyObject *name = decoded(start, equals);
    PyObject *value = name ? decoded(equals + 1, end) : NULL;
    PyObject *kept = value ? PyDict_SetDefault(variables, name, value) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return kept ? 0 : -1;
}

/* parse(block, count) -> tuple[list[str], dict[str, str]] */
static PyObject *parse(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    Py_buffer block;
    PyObject *arguments, *variables, *result = NULL;
    (void)module;
    if (number != 2)
        return PyErr_Format(PyExc_TypeError, "parse(block, count)");
    Py_ssize_t count = PyLong_AsSsize_t(given[1]);
    if ((count == -1 && PyErr_Occurred()) || PyObject_GetBuffer(given[0], &block, PyBUF_SIMPLE) < 0)
        return NULL;
    arguments = PyList_New(0);
    variables = PyDict_New();
    int failed = !arguments || !variables;
    const char *start = block.buf, *end = start + block.len, *nul;
    while (!failed && start < end && (nul = memchr(start, 0, end - start)) != NULL) {
        failed = count-- > 0 ? append(arguments, start, nul) : set(variables, start, nul);
        start = nul + 1;
    }
    if (!failed)
        result = PyTuple_Pack(2, arguments, variables);
    Py_XDECREF(arguments);
    Py_XDECREF(variables);
    PyBuffer_Release(&block);
    return result;
}

static PyMethodDef functions[] = {
    {"parse", (PyCFunction)(void (*)(void))parse, METH_FASTCALL, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        .m_name = "_nativecgi_environment",
                                        .m_size = -1,
                                        .m_methods = functions};

PyMODINIT_FUNC PyInit__nativecgi_environment(void)
{
    return PyModule_Create(&definition);
}

#ifdef BUILT_IN
/* Before main(), and so before Python starts: for `import` to find it. */
__attribute__((constructor)) static void offer(void)
{
    PyImport_AppendInittab("_nativecgi_environment", PyInit__nativecgi_environment);
}
#endif
