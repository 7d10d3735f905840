/* Processes on a device: all of them, or those of one MIG device. */
#include <stddef.h>
#include <time.h>

#include "call.h"

static bool belongs(const struct double_process *process, int64_t kind, const struct subject *subject)
{
    if (!process->present || process->kind != kind) {
        return false;
    }
    return !subject->is_mig
        || (process->gpu_instance == subject->mig.gpu_instance
            && process->compute_instance == subject->mig.compute_instance);
}

static nvmlReturn_t list(enum double_call_number call, int64_t kind, nvmlDevice_t device, unsigned int *count,
    nvmlProcessInfo_t *processes)
{
    struct subject subject;
    nvmlReturn_t result = enter(call, device, TAKES_ANY, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (count == NULL || (*count > 0 && processes == NULL)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    unsigned int room = *count;
    unsigned int needed = 0;
    for (unsigned int index = 0; index < DOUBLE_MOST_PROCESSES; index++) {
        const struct double_process *process = &subject.device.processes[index];
        if (!belongs(process, kind, &subject)) {
            continue;
        }
        for (unsigned int next = 0; next < process->present; next++, needed++) {
            if (needed < room) {
                processes[needed].pid = (unsigned int)process->pid + next;
                processes[needed].usedGpuMemory = (unsigned long long)process->used_bytes;
                processes[needed].gpuInstanceId = (unsigned int)process->gpu_instance;
                processes[needed].computeInstanceId = (unsigned int)process->compute_instance;
            }
        }
    }
    *count = needed;
    return needed > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

/* Both versions have the same entries. */
#define DEFINE_LIST(name, kind) \
    EXPORT nvmlReturn_t name(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes) \
    { \
        return list(CALL_##name, kind, device, count, processes); \
    }

DEFINE_LIST(nvmlDeviceGetComputeRunningProcesses_v2, DOUBLE_COMPUTE)
DEFINE_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, DOUBLE_GRAPHICS)
DEFINE_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, DOUBLE_MPS)
DEFINE_LIST(nvmlDeviceGetComputeRunningProcesses_v3, DOUBLE_COMPUTE)
DEFINE_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, DOUBLE_GRAPHICS)
DEFINE_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, DOUBLE_MPS)

static unsigned long long microseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

/* One sample of each process that has one and that is newer than the last seen time. Assumed: without any sample the
 * call returns NOT_FOUND, and if all samples are older the list is empty. */
EXPORT nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
    unsigned int *count, unsigned long long last_seen)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetProcessUtilization, device, TAKES_WHOLE_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (count == NULL || (*count > 0 && samples == NULL)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    unsigned int room = *count;
    unsigned int needed = 0;
    bool any = false;
    for (unsigned int index = 0; index < DOUBLE_MOST_PROCESSES; index++) {
        const struct double_process *process = &subject.device.processes[index];
        if (!process->present || process->utilization_percent == DOUBLE_UNSUPPORTED) {
            continue;
        }
        unsigned long long at = (unsigned long long)process->utilization_at_microseconds;
        any = true;
        if (at != 0 && at <= last_seen) {
            continue;
        }
        if (needed < room) {
            samples[needed] = (nvmlProcessUtilizationSample_t){.pid = (unsigned int)process->pid,
                .timeStamp = at == 0 ? microseconds_now() : at,
                .smUtil = (unsigned int)process->utilization_percent};
        }
        needed++;
    }
    *count = needed;
    return !any ? NVML_ERROR_NOT_FOUND : needed > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
