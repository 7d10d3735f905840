/* MIG devices: their indices can have gaps, and their handles support only the readings of a partition. */
#include <stddef.h>

#include "call.h"
#include "handle.h"

EXPORT nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetMaxMigDeviceCount, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    return answer_uint(subject.device.mig_mode == 1 ? subject.device.most_mig_devices : 0, count);
}

EXPORT nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *mig)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetMigDeviceHandleByIndex, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (subject.device.mig_mode != 1) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    if (mig == NULL || index >= DOUBLE_MOST_MIG_DEVICES || index >= subject.device.most_mig_devices) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (!subject.device.mig[index].present) {
        return NVML_ERROR_NOT_FOUND;
    }
    *mig = handle_of_mig(subject.slot, index);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t mig, nvmlDevice_t *device)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetDeviceHandleFromMigDeviceHandle, mig, TAKES_MIG, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (device == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    *device = handle_of_device(subject.slot);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_mig)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceIsMigDeviceHandle, device, TAKES_ANY, &subject);
    return result == NVML_SUCCESS ? answer_uint(subject.is_mig ? 1 : 0, is_mig) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t mig, unsigned int *id)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetGpuInstanceId, mig, TAKES_MIG, &subject);
    return result == NVML_SUCCESS ? answer_uint(subject.mig.gpu_instance, id) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t mig, unsigned int *id)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetComputeInstanceId, mig, TAKES_MIG, &subject);
    return result == NVML_SUCCESS ? answer_uint(subject.mig.compute_instance, id) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t mig, nvmlDeviceAttributes_t *attributes)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetAttributes_v2, mig, TAKES_MIG, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (attributes == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    attributes->multiprocessorCount = (unsigned int)subject.mig.multiprocessors;
    attributes->sharedCopyEngineCount = (unsigned int)subject.mig.copy_engines;
    attributes->sharedDecoderCount = (unsigned int)subject.mig.decoders;
    attributes->sharedEncoderCount = (unsigned int)subject.mig.encoders;
    attributes->sharedJpegCount = (unsigned int)subject.mig.jpeg_engines;
    attributes->sharedOfaCount = (unsigned int)subject.mig.ofa_engines;
    attributes->gpuInstanceSliceCount = (unsigned int)subject.mig.gpu_instance_slices;
    attributes->computeInstanceSliceCount = (unsigned int)subject.mig.compute_instance_slices;
    attributes->memorySizeMB = (unsigned long long)subject.mig.memory_mebibytes;
    return NVML_SUCCESS;
}

/* The handle of a GPU instance is that of its first MIG device. */
EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *instance)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetGpuInstanceById, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (instance == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    for (unsigned int index = 0; index < DOUBLE_MOST_MIG_DEVICES; index++) {
        const struct double_mig_device *mig = &subject.device.mig[index];
        if (mig->present && mig->gpu_instance == id) {
            *instance = (nvmlGpuInstance_t)handle_of_mig(subject.slot, index);
            return mig->gpu_instance_profile == DOUBLE_UNSUPPORTED ? NVML_ERROR_NO_PERMISSION : NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

EXPORT nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t instance, nvmlGpuInstanceInfo_t *info)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlGpuInstanceGetInfo, (nvmlDevice_t)instance, TAKES_MIG, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (info == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    info->device = handle_of_device(subject.slot);
    info->id = (unsigned int)subject.mig.gpu_instance;
    info->profileId = (unsigned int)subject.mig.gpu_instance_profile;
    info->placement.start = (unsigned int)subject.mig.placement_start;
    info->placement.size = (unsigned int)subject.mig.placement_size;
    return NVML_SUCCESS;
}
