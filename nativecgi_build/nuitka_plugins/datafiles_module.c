/* The module _nativecgi_datafiles, by which nativecgi/frozen/packagedata.py says which files are kept. */

#include <Python.h>

#include "datafiles.h"

/* keep(folder: bytes, pieces: bytes, files: list[tuple[bytes, bytes | None, int, int]]) -> None

   Of each file its name within the folder, its content (None for a folder), its time of change in
   nanoseconds, and its number; sorted by name. Once in a process: all of it stays for good. */
static PyObject *keep(PyObject *module, PyObject *arguments)
{
    PyObject *folder, *pieces, *list;
    struct data_file *files;
    Py_ssize_t count;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "SSO!:keep", &folder, &pieces, &PyList_Type, &list))
        return NULL;
    count = PyList_GET_SIZE(list);
    files = PyMem_RawCalloc(count ? count : 1, sizeof *files);
    if (files == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name, *content;
        long long modified, number;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "SOLL", &name, &content, &modified,
                              &number)) {
            PyMem_RawFree(files);
            return NULL;
        }
        files[i].name = PyBytes_AS_STRING(name);
        if (PyBytes_Check(content)) {
            files[i].content = PyBytes_AS_STRING(content);
            files[i].size = PyBytes_GET_SIZE(content);
        }
        files[i].modified = modified;
        files[i].number = number;
    }
    Py_INCREF(folder);
    Py_INCREF(pieces);
    Py_INCREF(list);
    nativecgi_data_files = (struct data_files){
        .folder = PyBytes_AS_STRING(folder),
        .pieces = PyBytes_AS_STRING(pieces),
        .folder_length = PyBytes_GET_SIZE(folder),
        .files = files,
        .count = count,
    };
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"keep", keep, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_nativecgi_datafiles",
    .m_size = -1,
    .m_methods = methods,
};

static PyObject *init(void) { return PyModule_Create(&definition); }

/* Before main: Python takes its list of built-in modules when it starts. */
__attribute__((constructor)) static void add_module(void)
{
    PyImport_AppendInittab("_nativecgi_datafiles", init);
}
