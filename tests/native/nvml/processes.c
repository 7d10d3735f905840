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
        if (needed < room) {
            processes[needed].pid = (unsigned int)process->pid;
            processes[needed].usedGpuMemory = (unsigned long long)process->used_bytes;
            processes[needed].gpuInstanceId = (unsigned int)process->gpu_instance;
            processes[needed].computeInstanceId = (unsigned int)process->compute_instance;
        }
        needed++;
    }
    *count = needed;
    return needed > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(
    nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes)
{
    return list(CALL_nvmlDeviceGetComputeRunningProcesses_v3, DOUBLE_COMPUTE, device, count, processes);
}

EXPORT nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(
    nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes)
{
    return list(CALL_nvmlDeviceGetGraphicsRunningProcesses_v3, DOUBLE_GRAPHICS, device, count, processes);
}

EXPORT nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(
    nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes)
{
    return list(CALL_nvmlDeviceGetMPSComputeRunningProcesses_v3, DOUBLE_MPS, device, count, processes);
}

typedef struct {
    unsigned int pid;
    unsigned long long timeStamp;
    unsigned int smUtil;
    unsigned int memUtil;
    unsigned int encUtil;
    unsigned int decUtil;
} nvmlProcessUtilizationSample_t;

static unsigned long long microseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

/* One sample of each process that has any, always of now, whatever was seen last. */
EXPORT nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
    unsigned int *count, unsigned long long last_seen)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetProcessUtilization, device, TAKES_UNCUT_DEVICE, &subject);
    (void)last_seen;
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (count == NULL || (*count > 0 && samples == NULL)) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    unsigned int room = *count;
    unsigned int needed = 0;
    for (unsigned int index = 0; index < DOUBLE_MOST_PROCESSES; index++) {
        const struct double_process *process = &subject.device.processes[index];
        if (!process->present || process->utilization_percent == DOUBLE_UNSUPPORTED) {
            continue;
        }
        if (needed < room) {
            samples[needed] = (nvmlProcessUtilizationSample_t){.pid = (unsigned int)process->pid,
                .timeStamp = microseconds_now(),
                .smUtil = (unsigned int)process->utilization_percent};
        }
        needed++;
    }
    *count = needed;
    return needed == 0 ? NVML_ERROR_NOT_FOUND : needed > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
