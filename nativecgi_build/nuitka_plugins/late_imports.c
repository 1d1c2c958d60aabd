/* Imports a module that is not compiled, as an import statement does.
 *
 * Code that Nuitka compiles imports some modules by a call of their entry in its loader's table:
 * `import ctypes`, `importlib.import_module("x")`. Nuitka's own function for it (in
 * MetaPathBasedLoader.c) does not ask sys.meta_path, where a frozen program has its finders.
 * late_imports.py puts this one into the table.
 */

#include "nuitka/prelude.h"

#include "nuitka/unfreezing.h"

PyObject *nativecgi_import_module(PyThreadState *tstate, struct Nuitka_MetaPathBasedLoaderEntry const *entry,
                                  PyObject *module)
{
    /* With a module it is Nuitka's loader that calls, to run that module's code. Once a module is
     * known to its entry, Nuitka's function returns it at once: compiled code may ask for it at each
     * use. If it is not, that takes it from sys.modules. */
    if (module == NULL && *entry->m_module_state == NULL) {
        PyObject *imported = PyImport_ImportModule(entry->m_name);

        if (imported == NULL) {
            return NULL;
        }
        Py_DECREF(imported);
    }
    return IMPORT_EMBEDDED_MODULE_ENTRY(tstate, entry, module);
}
