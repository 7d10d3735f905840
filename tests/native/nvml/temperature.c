/* Temperatures and their thresholds. */
#include <stddef.h>

#include "call.h"

enum { SENSOR_CORE = 0 };

EXPORT nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned int sensor, unsigned int *celsius)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetTemperature, device, TAKES_DEVICE, &subject);
    if (result == NVML_SUCCESS && sensor != SENSOR_CORE) {
        result = NVML_ERROR_INVALID_ARGUMENT;
    }
    return result == NVML_SUCCESS ? answer_uint(subject.device.temperature_celsius, celsius) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetTemperatureV, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (temperature == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (temperature->version != NVML_STRUCT_VERSION(nvmlTemperature_t, 1)) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    if (temperature->sensorType != SENSOR_CORE) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    return answer_int(subject.device.temperature_celsius, &temperature->temperature);
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, unsigned int kind, unsigned int *celsius)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetTemperatureThreshold, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    const int64_t thresholds[] = {subject.device.threshold_shutdown_celsius, subject.device.threshold_slowdown_celsius,
        subject.device.threshold_memory_celsius, subject.device.threshold_gpu_celsius};
    /* The others belong to the acoustic limit of desktop cards. */
    return kind < sizeof(thresholds) / sizeof(thresholds[0]) ? answer_uint(thresholds[kind], celsius)
                                                             : NVML_ERROR_NOT_SUPPORTED;
}
