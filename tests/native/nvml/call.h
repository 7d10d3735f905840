/* The begin and the end of every exported function. */
#ifndef NVML_DOUBLE_CALL_H
#define NVML_DOUBLE_CALL_H

#include <stdbool.h>

#include "abi.h"
#include "state_layout.h"

#define EXPORT __attribute__((visibility("default")))

/* Which handles a function accepts; for others it returns NOT_SUPPORTED. */
enum takes {
    TAKES_ANY,
    TAKES_DEVICE,         /* no MIG handle */
    TAKES_WHOLE_DEVICE,   /* no MIG handle and no device in MIG mode */
    TAKES_MIG,            /* MIG handles only */
    TAKES_MIG_OR_WHOLE    /* any handle but a device in MIG mode */
};

/* A consistent copy of the device or MIG device of a handle. */
struct subject {
    unsigned int slot;
    bool is_mig;
    unsigned int mig_index;
    struct double_device device;
    struct double_mig_device mig;
};

/* Enter a function with a handle: count the call, wait for its delay, return its injected error, else copy the
 * subject. The function continues only if this returns NVML_SUCCESS. */
nvmlReturn_t enter(enum double_call_number call, nvmlDevice_t handle, enum takes takes, struct subject *subject);

/* The same for a function without a handle; it gets the state from `state_lock`. */
nvmlReturn_t enter_system(enum double_call_number call);

/* The same for a function that looks up a handle: the row of the device applies once it is found. */
nvmlReturn_t enter_found(enum double_call_number call, nvmlDevice_t handle);

/* Count the call, wait for its delay and return its injected error; for calls that need no session. */
nvmlReturn_t control(enum double_call_number call, unsigned int row);

/* A number of the state file as the value of a reading. */
nvmlReturn_t answer_uint(int64_t number, unsigned int *value);
nvmlReturn_t answer_int(int64_t number, int *value);
nvmlReturn_t answer_ulonglong(int64_t number, unsigned long long *value);

/* A text of the state file; an empty one is not supported. */
nvmlReturn_t answer_text(const char *text, char *buffer, unsigned int size);

#endif
