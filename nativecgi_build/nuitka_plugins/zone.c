/* The module _nativecgi_zone: whether a process's time zone is the one that the program was frozen with.

   localtime_r(3) looks for the zone only once, so that each process has to call tzset(3), and then
   Python's time.tzset to have the constants of the module `time` made anew. As a rule they would be
   the same, as they are for all who keep their servers' clocks at UTC.

   The module is built into each program (build_in.py). Tests build it as an extension module. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <time.h>

#define YEAR ((365 * 24 + 6) * 3600) /* as in CPython's init_timezone, which makes the constants */

static int is_number(PyObject *object, long number)
{
    int overflow;
    return PyLong_Check(object) && PyLong_AsLongAndOverflow(object, &overflow) == number &&
           !overflow;
}

static int is_text(PyObject *object, const char *text)
{
    return PyUnicode_Check(object) && PyUnicode_CompareWithASCIIString(object, text) == 0;
}

static int are_names(PyObject *object, const char *first, const char *second)
{
    return PyTuple_Check(object) && PyTuple_GET_SIZE(object) == 2 &&
           is_text(PyTuple_GET_ITEM(object, 0), first) &&
           is_text(PyTuple_GET_ITEM(object, 1), second);
}

/* renew(timezone, altzone, daylight, tzname) -> bool

   Has the C library look for the zone, and tells whether these constants of the module `time` are
   right in it. Where CPython has them otherwise, such as a name cut off, it only says no. */
static PyObject *renew(PyObject *module, PyObject *const *constants, Py_ssize_t count)
{
    time_t january = time(NULL) / YEAR * YEAR, july = january + YEAR / 2;
    struct tm winter, summer;
    (void)module;
    if (count != 4)
        return PyErr_Format(PyExc_TypeError, "renew(timezone, altzone, daylight, tzname)");
    tzset();
    if (!localtime_r(&january, &winter) || !localtime_r(&july, &summer))
        Py_RETURN_FALSE;
    if (winter.tm_gmtoff > summer.tm_gmtoff) { /* on the southern hemisphere */
        struct tm swapped = winter;
        winter = summer;
        summer = swapped;
    }
    return PyBool_FromLong(is_number(constants[0], -winter.tm_gmtoff) &&
                           is_number(constants[1], -summer.tm_gmtoff) &&
                           is_number(constants[2], winter.tm_gmtoff != summer.tm_gmtoff) &&
                           are_names(constants[3], winter.tm_zone, summer.tm_zone));
}

static PyMethodDef functions[] = {
    {"renew", (PyCFunction)(void (*)(void))renew, METH_FASTCALL, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_nativecgi_zone", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__nativecgi_zone(void)
{
    return PyModule_Create(&definition);
}

#ifdef BUILT_IN
/* Before main(), and so before Python starts: for `import` to find it. */
__attribute__((constructor)) static void offer(void)
{
    PyImport_AppendInittab("_nativecgi_zone", PyInit__nativecgi_zone);
}
#endif
