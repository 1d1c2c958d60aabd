/* Counts the calls of compiled functions, so that endless recursion is a RecursionError.

   Nuitka's functions do not count themselves, and recursion goes on until the stack overflows. Here
   they count as the interpreter's own do, against the same limit (sys.setrecursionlimit), with the
   same reserve for what runs while an exception is being made (recursion_headroom, as in
   _Py_CheckRecursiveCall of CPython's Python/ceval.c). count_calls.py puts one of the two macros at
   the top of each function.

   Generators and coroutines that wait for others (`yield from`, `await`) are not under way
   meanwhile, and do not count, but need stack: how much is left decides (count_calls.c). */

#if PYTHON_VERSION >= 0x3c0
#define CALLS_LEFT py_recursion_remaining
#else
#define CALLS_LEFT recursion_remaining
#endif
#define CALLS_IN_RESERVE 50

static inline bool IS_TOO_DEEP(PyThreadState *tstate) {
    return unlikely(tstate->CALLS_LEFT <= 0) &&
           !(tstate->recursion_headroom && tstate->CALLS_LEFT > -CALLS_IN_RESERVE);
}

static inline void COUNT_RETURN(PyThreadState **tstate) { (*tstate)->CALLS_LEFT++; }

extern __thread char *stack_floor;
extern char *find_stack_floor(void);

static inline bool IS_STACK_LOW(void) {
    if (unlikely(stack_floor == NULL)) {
        stack_floor = find_stack_floor();
    }
    return unlikely((char *)__builtin_frame_address(0) < stack_floor);
}

/* Until the function returns, from wherever in it, there is one call less. */
#define COUNT_CALL_UNLESS(is_refused, release)                                                      \
    if (is_refused) {                                                                               \
        release;                                                                                    \
        SET_CURRENT_EXCEPTION_TYPE0_STR(tstate, PyExc_RecursionError,                               \
                                        "maximum recursion depth exceeded");                        \
        return NULL;                                                                                \
    }                                                                                               \
    tstate->CALLS_LEFT--;                                                                           \
    NUITKA_MAY_BE_UNUSED __attribute__((cleanup(COUNT_RETURN))) PyThreadState *counted_in = tstate

/* A function owns its arguments. */
static inline void RELEASE_ARGUMENTS(struct Nuitka_FunctionObject const *function,
                                     PyObject **arguments) {
    for (Py_ssize_t i = 0; arguments && i < function->m_args_overall_count; i++) {
        Py_XDECREF(arguments[i]);
    }
}

#define COUNT_CALL() COUNT_CALL_UNLESS(IS_TOO_DEEP(tstate), RELEASE_ARGUMENTS(self, python_pars))

/* A generator or coroutine is entered again and again. It is refused only as it starts, when it has
   no variables yet, and not where an exception is being thrown into it. */
#define COUNT_RESUMPTION_OF(it)                                                                     \
    COUNT_CALL_UNLESS(!it->m_yield_return_index && (IS_TOO_DEEP(tstate) || IS_STACK_LOW()) &&       \
                          !HAS_ERROR_OCCURRED(tstate),                                              \
                      Py_XDECREF(yield_return_value))
