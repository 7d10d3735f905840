/* Initialisation and shutdown. */
#include "session.h"

#include <pthread.h>

#include "attach.h"
#include "call.h"
#include "state.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned int references;

bool session_is_open(void)
{
    pthread_mutex_lock(&mutex);
    bool open = references > 0;
    pthread_mutex_unlock(&mutex);
    return open;
}

EXPORT nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    pthread_mutex_lock(&mutex);
    bool usable = references > 0 || state_open();
    pthread_mutex_unlock(&mutex);
    if (!usable) {
        return NVML_ERROR_UNKNOWN;
    }
    nvmlReturn_t result = control(CALL_nvmlInitWithFlags, DOUBLE_SYSTEM_ROW);
    if (result == NVML_SUCCESS) {
        pthread_mutex_lock(&mutex);
        references++;
        pthread_mutex_unlock(&mutex);
        if ((flags & NVML_INIT_FLAG_NO_ATTACH) == 0) {
            attach_all();
        }
    }
    return result;
}

EXPORT nvmlReturn_t nvmlShutdown(void)
{
    nvmlReturn_t result = enter_system(CALL_nvmlShutdown);
    if (result != NVML_SUCCESS) {
        return result;
    }
    pthread_mutex_lock(&mutex);
    bool last = references == 1;
    if (references > 0) {
        references--;
    } else {
        result = NVML_ERROR_UNINITIALIZED;
    }
    pthread_mutex_unlock(&mutex);
    if (last) {
        free_event_sets();
        free_system_event_set();
        detach_all();
    }
    return result;
}
