/* Links, the fabric, fans, the temperature margin and confidential computing. */
#include <stddef.h>
#include <string.h>

#include "call.h"
#include "state.h"

enum { PCIE_TRANSMIT = 0, PCIE_RECEIVE = 1 };

EXPORT nvmlReturn_t nvmlDeviceGetMarginTemperature(nvmlDevice_t device, nvmlMarginTemperature_t *temperature)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetMarginTemperature, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (temperature == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (temperature->version != NVML_STRUCT_VERSION(nvmlMarginTemperature_t, 1)) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    return answer_int(subject.device.temperature_margin_celsius, &temperature->marginTemperature);
}

EXPORT nvmlReturn_t nvmlDeviceGetNumFans(nvmlDevice_t device, unsigned int *count)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetNumFans, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? answer_uint(subject.device.fans, count) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetFanSpeed_v2(nvmlDevice_t device, unsigned int fan, unsigned int *percent)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetFanSpeed_v2, device, TAKES_DEVICE, &subject);
    if (result == NVML_SUCCESS && (subject.device.fans < 0 || fan >= (unsigned long long)subject.device.fans)) {
        result = NVML_ERROR_INVALID_ARGUMENT;
    }
    if (result != NVML_SUCCESS) {
        return result;
    }
    int64_t step = subject.device.fan_step_percent == DOUBLE_UNSUPPORTED ? 0 : subject.device.fan_step_percent;
    int64_t first = subject.device.fan_speed_percent;
    return answer_uint(first == DOUBLE_UNSUPPORTED ? first : first + step * fan, percent);
}

EXPORT nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, unsigned int counter, unsigned int *kilobytes)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetPcieThroughput, device, TAKES_DEVICE, &subject);
    if (result == NVML_SUCCESS && counter > PCIE_RECEIVE) {
        result = NVML_ERROR_INVALID_ARGUMENT;
    }
    if (result != NVML_SUCCESS) {
        return result;
    }
    return answer_uint(counter == PCIE_TRANSMIT ? subject.device.pcie_transmit_kilobytes_per_second
                                                : subject.device.pcie_receive_kilobytes_per_second,
        kilobytes);
}

/* Version 3 begins with the members of version 2. */
EXPORT nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfo_v2_t *info)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetGpuFabricInfoV, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (info == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (subject.device.fabric_state == DOUBLE_UNSUPPORTED) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    if (info->version != NVML_STRUCT_VERSION(nvmlGpuFabricInfo_v2_t, 2)
        && info->version != NVML_STRUCT_VERSION(nvmlGpuFabricInfo_v3_t, 3)) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    if (subject.device.fabric_info_version > 0 && info->version >> 24 > subject.device.fabric_info_version) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    /* The bytes behind the state are padding, which a driver need not clear. */
    memset(&info->state, 0xA5, offsetof(nvmlGpuFabricInfo_v2_t, healthMask) - offsetof(nvmlGpuFabricInfo_v2_t, state));
    info->state = (unsigned char)subject.device.fabric_state;
    info->status = (nvmlReturn_t)subject.device.fabric_status;
    info->healthMask = (unsigned int)subject.device.fabric_health_mask;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state)
{
    nvmlReturn_t result = enter_system(CALL_nvmlSystemGetConfComputeState);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (state == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    *state = (nvmlConfComputeSystemState_t){0};
    result = answer_uint(state_lock()->confidential_computing, &state->ccFeature);
    state_unlock();
    return result;
}
