/* Entering a function: counted, delayed and failed as the test sets it, then refused where a driver would refuse it. */
#include "call.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "handle.h"
#include "session.h"
#include "state.h"

enum { POLL_NANOSECONDS = 2000000 };

static int64_t milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t delay_of(const struct double_call *cell)
{
    return __atomic_load_n(&cell->delay_milliseconds, __ATOMIC_ACQUIRE);
}

/* Wait for the current delay: a test ends the wait by making the delay shorter. */
static void wait_out(struct double_call *cell)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = POLL_NANOSECONDS};
    int64_t entered = milliseconds_now();
    if (delay_of(cell) <= 0) {
        return;
    }
    __atomic_add_fetch(&cell->waiting, 1, __ATOMIC_ACQ_REL);
    while (milliseconds_now() - entered < delay_of(cell)) {
        nanosleep(&pause, NULL);
    }
    __atomic_sub_fetch(&cell->waiting, 1, __ATOMIC_ACQ_REL);
}

nvmlReturn_t control(enum double_call_number call, unsigned int row)
{
    struct double_call *cell = state_call(call, row);
    __atomic_add_fetch(&cell->count, 1, __ATOMIC_ACQ_REL);
    wait_out(cell);
    nvmlReturn_t error = (nvmlReturn_t)__atomic_load_n(&cell->error, __ATOMIC_ACQUIRE);
    if (error != NVML_SUCCESS && __atomic_load_n(&cell->failures_left, __ATOMIC_ACQUIRE) > 0
        && __atomic_sub_fetch(&cell->failures_left, 1, __ATOMIC_ACQ_REL) == 0) {
        __atomic_store_n(&cell->error, NVML_SUCCESS, __ATOMIC_RELEASE);
    }
    return error;
}

static nvmlReturn_t refusal(enum takes takes, const struct subject *subject)
{
    bool partitioned = !subject->is_mig && subject->device.mig_mode == 1;
    switch (takes) {
    case TAKES_ANY:
        return NVML_SUCCESS;
    case TAKES_DEVICE:
        return subject->is_mig ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
    case TAKES_WHOLE_DEVICE:
        return subject->is_mig || partitioned ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
    case TAKES_MIG: /* assumed: the same code as for MIG handles */
        return subject->is_mig ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
    case TAKES_MIG_OR_WHOLE:
        return partitioned ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
    }
    return NVML_ERROR_UNKNOWN;
}

static nvmlReturn_t copy_subject(const struct place *place, struct subject *subject)
{
    const struct double_state *state = state_lock();
    subject->device = state->devices[place->slot];
    state_unlock();
    subject->slot = place->slot;
    subject->is_mig = place->is_mig;
    subject->mig_index = place->mig_index;
    if (!subject->device.present) {
        return NVML_ERROR_GPU_IS_LOST;
    }
    if (place->is_mig) {
        subject->mig = subject->device.mig[place->mig_index];
        if (subject->device.mig_mode != 1 || !subject->mig.present) {
            return NVML_ERROR_INVALID_ARGUMENT; /* assumed: the device or MIG device of the handle was removed */
        }
    }
    return NVML_SUCCESS;
}

nvmlReturn_t enter(enum double_call_number call, nvmlDevice_t handle, enum takes takes, struct subject *subject)
{
    struct place place;
    if (!session_is_open()) {
        return NVML_ERROR_UNINITIALIZED;
    }
    if (!handle_place(handle, &place)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    nvmlReturn_t result = control(call, place.row);
    if (result == NVML_SUCCESS) {
        result = copy_subject(&place, subject);
    }
    return result == NVML_SUCCESS ? refusal(takes, subject) : result;
}

nvmlReturn_t enter_system(enum double_call_number call)
{
    return session_is_open() ? control(call, DOUBLE_SYSTEM_ROW) : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t enter_found(enum double_call_number call, nvmlDevice_t handle)
{
    struct place place;
    return handle_place(handle, &place) ? control(call, place.row) : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t answer_uint(int64_t number, unsigned int *value)
{
    if (value == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (number == DOUBLE_UNSUPPORTED) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    *value = (unsigned int)number;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_int(int64_t number, int *value)
{
    if (value == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (number == DOUBLE_UNSUPPORTED) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    *value = (int)number;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_ulonglong(int64_t number, unsigned long long *value)
{
    if (value == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (number == DOUBLE_UNSUPPORTED) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    *value = (unsigned long long)number;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_text(const char *text, char *buffer, unsigned int size)
{
    if (buffer == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (text[0] == '\0') {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    if (strlen(text) >= size) {
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    memcpy(buffer, text, strlen(text) + 1);
    return NVML_SUCCESS;
}
