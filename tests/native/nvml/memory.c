/* Frame buffer: of a device, or of the GPU instance that a MIG device is in. */
#include <stddef.h>

#include "call.h"

static nvmlReturn_t read_memory(const struct subject *subject, nvmlMemory_v2_t *memory)
{
    const struct double_mig_device *mig = &subject->mig;
    const struct double_device *whole = &subject->device;
    nvmlReturn_t result = answer_ulonglong(
        subject->is_mig ? mig->memory_total_bytes : whole->memory_total_bytes, &memory->total);
    if (result == NVML_SUCCESS) {
        result = answer_ulonglong(
            subject->is_mig ? mig->memory_reserved_bytes : whole->memory_reserved_bytes, &memory->reserved);
    }
    if (result == NVML_SUCCESS) {
        result
            = answer_ulonglong(subject->is_mig ? mig->memory_used_bytes : whole->memory_used_bytes, &memory->used);
    }
    if (result == NVML_SUCCESS) {
        memory->free = memory->total - memory->reserved - memory->used;
    }
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetBAR1MemoryInfo, device, TAKES_ANY, &subject);
    if (result == NVML_SUCCESS) {
        result = memory == NULL ? NVML_ERROR_INVALID_ARGUMENT
                                : answer_ulonglong(subject.device.bar1_total_bytes, &memory->bar1Total);
    }
    if (result == NVML_SUCCESS) {
        memory->bar1Used = 0;
        memory->bar1Free = memory->bar1Total;
    }
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct subject subject;
    nvmlMemory_v2_t split;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetMemoryInfo, device, TAKES_ANY, &subject);
    if (result == NVML_SUCCESS) {
        result = memory == NULL ? NVML_ERROR_INVALID_ARGUMENT : read_memory(&subject, &split);
    }
    if (result == NVML_SUCCESS) {
        memory->total = split.total;
        memory->free = split.free;
        memory->used = split.used + split.reserved;
    }
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetMemoryInfo_v2, device, TAKES_ANY, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (memory == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (memory->version != NVML_STRUCT_VERSION(nvmlMemory_v2_t, 2)) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    return read_memory(&subject, memory);
}
