/* Events of the driver: it binds a device, or begins to unbind it. There is one event set. */
#include <pthread.h>
#include <stddef.h>

#include "call.h"
#include "session.h"
#include "state.h"

struct double_system_event_set {
    unsigned long long types; /* 0 until registered */
    int64_t next;             /* number of the first event not yet examined */
    bool used;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct double_system_event_set the_set;

void free_system_event_set(void)
{
    pthread_mutex_lock(&mutex);
    the_set.used = false;
    pthread_mutex_unlock(&mutex);
}

/* Drivers before 575 lack these functions. */
static nvmlReturn_t enter_new(enum double_call_number call)
{
    nvmlReturn_t result = enter_system(call);
    if (result != NVML_SUCCESS) {
        return result;
    }
    int64_t supported = state_lock()->system_events_supported;
    state_unlock();
    return supported ? NVML_SUCCESS : NVML_ERROR_FUNCTION_NOT_FOUND;
}

static bool is_used(nvmlSystemEventSet_t set)
{
    pthread_mutex_lock(&mutex);
    bool used = set == &the_set && the_set.used;
    pthread_mutex_unlock(&mutex);
    return used;
}

EXPORT nvmlReturn_t nvmlSystemEventSetCreate(nvmlSystemEventSetCreateRequest_v1_t *request)
{
    nvmlReturn_t result = enter_new(CALL_nvmlSystemEventSetCreate);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (request->version != NVML_STRUCT_VERSION(nvmlSystemEventSetCreateRequest_v1_t, 1)) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    pthread_mutex_lock(&mutex);
    result = the_set.used ? NVML_ERROR_UNKNOWN : NVML_SUCCESS;
    if (result == NVML_SUCCESS) {
        the_set = (struct double_system_event_set){.used = true};
        request->set = &the_set;
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

EXPORT nvmlReturn_t nvmlSystemEventSetFree(nvmlSystemEventSetFreeRequest_v1_t *request)
{
    nvmlReturn_t result = enter_new(CALL_nvmlSystemEventSetFree);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (!is_used(request->set)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    free_system_event_set();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlSystemRegisterEvents(nvmlSystemRegisterEventRequest_v1_t *request)
{
    nvmlReturn_t result = enter_new(CALL_nvmlSystemRegisterEvents);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (!is_used(request->set)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    int64_t now = state_lock()->system_event_count;
    state_unlock();
    pthread_mutex_lock(&mutex);
    the_set.types = request->eventTypes;
    the_set.next = now;
    pthread_mutex_unlock(&mutex);
    return NVML_SUCCESS;
}

/* Assumed: as many events as there is room for. A wait of more than 0 milliseconds is not needed by any test. */
EXPORT nvmlReturn_t nvmlSystemEventSetWait(nvmlSystemEventSetWaitRequest_v1_t *request)
{
    nvmlReturn_t result = enter_new(CALL_nvmlSystemEventSetWait);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (!is_used(request->set) || request->timeoutms != 0) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    request->numEvent = 0;
    const struct double_state *state = state_lock();
    pthread_mutex_lock(&mutex);
    while (the_set.next < state->system_event_count && request->numEvent < request->dataSize) {
        const struct double_system_event *event = &state->system_events[the_set.next % DOUBLE_MOST_EVENTS];
        if ((the_set.types & (unsigned long long)event->type) != 0) {
            request->data[request->numEvent].eventType = (unsigned long long)event->type;
            request->data[request->numEvent].gpuId = (unsigned int)event->gpu_id;
            request->numEvent++;
        }
        the_set.next++;
    }
    pthread_mutex_unlock(&mutex);
    state_unlock();
    return request->numEvent == 0 ? NVML_ERROR_TIMEOUT : NVML_SUCCESS;
}
