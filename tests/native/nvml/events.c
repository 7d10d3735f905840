/* Event sets. Each receives the events of its devices from their registration on, in order. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "call.h"
#include "handle.h"
#include "session.h"
#include "state.h"

enum { MOST_SETS = 16 };

struct double_event_set {
    bool used;
    int64_t next;                               /* number of the first event not yet examined */
    unsigned long long types[DOUBLE_MOST_DEVICES]; /* 0 where a device is not registered */
    int64_t since[DOUBLE_MOST_DEVICES];         /* number of the first event that is received for a device */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct double_event_set sets[MOST_SETS];

static bool is_used(nvmlEventSet_t set)
{
    for (unsigned int index = 0; index < MOST_SETS; index++) {
        if (set == &sets[index]) {
            pthread_mutex_lock(&mutex);
            bool used = set->used;
            pthread_mutex_unlock(&mutex);
            return used;
        }
    }
    return false;
}

void free_event_sets(void)
{
    pthread_mutex_lock(&mutex);
    for (unsigned int index = 0; index < MOST_SETS; index++) {
        sets[index].used = false;
    }
    pthread_mutex_unlock(&mutex);
    state_changed();
}

static int64_t events_so_far(void)
{
    int64_t count = state_lock()->event_count;
    state_unlock();
    return count;
}

EXPORT nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    nvmlReturn_t result = enter_system(CALL_nvmlEventSetCreate);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (set == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    int64_t now = events_so_far();
    result = NVML_ERROR_UNKNOWN;
    pthread_mutex_lock(&mutex);
    for (unsigned int index = 0; index < MOST_SETS && result != NVML_SUCCESS; index++) {
        if (!sets[index].used) {
            memset(&sets[index], 0, sizeof(sets[index]));
            sets[index].used = true;
            sets[index].next = now;
            *set = &sets[index];
            result = NVML_SUCCESS;
        }
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

EXPORT nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
    nvmlReturn_t result = enter_system(CALL_nvmlEventSetFree);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (!is_used(set)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    pthread_mutex_lock(&mutex);
    set->used = false;
    pthread_mutex_unlock(&mutex);
    state_changed();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetSupportedEventTypes, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? answer_ulonglong(subject.device.supported_event_types, types) : result;
}

EXPORT nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceRegisterEvents, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (!is_used(set)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    int64_t supported = subject.device.supported_event_types;
    if (supported == DOUBLE_UNSUPPORTED || (types & ~(unsigned long long)supported) != 0) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    set->since[subject.slot] = events_so_far();
    set->types[subject.slot] = types;
    return NVML_SUCCESS;
}

/* While one of its devices is lost, a wait fails at once; earlier events are returned first. */
static bool some_is_lost(const struct double_state *state, nvmlEventSet_t set)
{
    for (unsigned int slot = 0; slot < DOUBLE_MOST_DEVICES; slot++) {
        if (set->types[slot] != 0) {
            unsigned int row = slot * DOUBLE_HANDLES_PER_DEVICE;
            int64_t error = state->cells[row * DOUBLE_CALLS + CALL_nvmlDeviceRegisterEvents].error;
            if (!state->devices[slot].present || error == NVML_ERROR_GPU_IS_LOST) {
                return true;
            }
        }
    }
    return false;
}

static nvmlReturn_t look(nvmlEventSet_t set, nvmlEventData_t *data)
{
    const struct double_state *state = state_lock();
    nvmlReturn_t result = NVML_ERROR_TIMEOUT;
    while (set->next < state->event_count && result != NVML_SUCCESS) {
        const struct double_event *event = &state->events[set->next % DOUBLE_MOST_EVENTS];
        bool registered = set->next >= set->since[event->device];
        if (registered && (set->types[event->device] & (unsigned long long)event->type) != 0) {
            data->device = handle_of_device((unsigned int)event->device);
            data->eventType = (unsigned long long)event->type;
            data->eventData = (unsigned long long)event->data;
            data->gpuInstanceId = (unsigned int)event->gpu_instance;
            data->computeInstanceId = (unsigned int)event->compute_instance;
            result = NVML_SUCCESS;
        }
        set->next++;
    }
    if (result != NVML_SUCCESS && some_is_lost(state, set)) {
        result = NVML_ERROR_GPU_IS_LOST;
    }
    state_unlock();
    return result;
}

static int64_t milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

EXPORT nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout_milliseconds)
{
    nvmlReturn_t result = enter_system(CALL_nvmlEventSetWait_v2);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (data == NULL || !is_used(set)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    int64_t deadline = milliseconds_now() + timeout_milliseconds;
    do {
        uint32_t seen = state_changes();
        if (!session_is_open() || !is_used(set)) {
            return NVML_ERROR_UNINITIALIZED;
        }
        result = look(set, data);
        int64_t left = deadline - milliseconds_now();
        if (result != NVML_ERROR_TIMEOUT || left <= 0) {
            return result;
        }
        state_wait(seen, left);
    } while (true);
}
