/* The readings that are plain numbers, as tables: function, accepted handles, member of the state file. */
#include <stddef.h>

#include "call.h"

#define ONE_NUMBER(X) \
    X(nvmlDeviceGetMinorNumber, TAKES_DEVICE, minor_number) \
    X(nvmlDeviceGetArchitecture, TAKES_DEVICE, architecture) \
    X(nvmlDeviceGetBrand, TAKES_DEVICE, brand) \
    X(nvmlDeviceGetPowerUsage, TAKES_DEVICE, power_milliwatts) \
    X(nvmlDeviceGetEnforcedPowerLimit, TAKES_DEVICE, power_enforced_limit_milliwatts) \
    X(nvmlDeviceGetPowerManagementLimit, TAKES_DEVICE, power_limit_milliwatts) \
    X(nvmlDeviceGetPowerManagementDefaultLimit, TAKES_DEVICE, power_default_limit_milliwatts) \
    X(nvmlDeviceGetPersistenceMode, TAKES_DEVICE, persistence_mode) \
    X(nvmlDeviceGetCurrPcieLinkGeneration, TAKES_DEVICE, pcie_link_generation) \
    X(nvmlDeviceGetCurrPcieLinkWidth, TAKES_DEVICE, pcie_link_width) \
    X(nvmlDeviceGetMaxPcieLinkGeneration, TAKES_DEVICE, pcie_link_max_generation) \
    X(nvmlDeviceGetMaxPcieLinkWidth, TAKES_DEVICE, pcie_link_max_width) \
    X(nvmlDeviceGetPcieReplayCounter, TAKES_DEVICE, pcie_replays) \
    X(nvmlDeviceGetPerformanceState, TAKES_DEVICE, performance_state) \
    X(nvmlDeviceGetFanSpeed, TAKES_DEVICE, fan_speed_percent)

#define ONE_BIG_NUMBER(X) \
    X(nvmlDeviceGetTotalEnergyConsumption, TAKES_DEVICE, energy_millijoules) \
    X(nvmlDeviceGetCurrentClocksEventReasons, TAKES_DEVICE, clocks_event_reasons) \
    X(nvmlDeviceGetCurrentClocksThrottleReasons, TAKES_DEVICE, clocks_event_reasons)

#define TWO_NUMBERS(X) \
    X(nvmlDeviceGetEncoderUtilization, TAKES_WHOLE_DEVICE, utilization_encoder_percent, utilization_period_microseconds) \
    X(nvmlDeviceGetDecoderUtilization, TAKES_WHOLE_DEVICE, utilization_decoder_percent, utilization_period_microseconds) \
    X(nvmlDeviceGetJpgUtilization, TAKES_WHOLE_DEVICE, utilization_jpeg_percent, utilization_period_microseconds) \
    X(nvmlDeviceGetOfaUtilization, TAKES_WHOLE_DEVICE, utilization_ofa_percent, utilization_period_microseconds) \
    X(nvmlDeviceGetPowerManagementLimitConstraints, TAKES_DEVICE, power_min_limit_milliwatts, \
        power_max_limit_milliwatts) \
    X(nvmlDeviceGetEccMode, TAKES_DEVICE, ecc_mode, ecc_mode_pending) \
    X(nvmlDeviceGetMigMode, TAKES_DEVICE, mig_mode, mig_mode_pending)

#define DEFINE_ONE_NUMBER(name, takes, member) \
    EXPORT nvmlReturn_t name(nvmlDevice_t device, unsigned int *value) \
    { \
        struct subject subject; \
        nvmlReturn_t result = enter(CALL_##name, device, takes, &subject); \
        return result == NVML_SUCCESS ? answer_uint(subject.device.member, value) : result; \
    }

#define DEFINE_ONE_BIG_NUMBER(name, takes, member) \
    EXPORT nvmlReturn_t name(nvmlDevice_t device, unsigned long long *value) \
    { \
        struct subject subject; \
        nvmlReturn_t result = enter(CALL_##name, device, takes, &subject); \
        return result == NVML_SUCCESS ? answer_ulonglong(subject.device.member, value) : result; \
    }

#define DEFINE_TWO_NUMBERS(name, takes, first_member, second_member) \
    EXPORT nvmlReturn_t name(nvmlDevice_t device, unsigned int *first, unsigned int *second) \
    { \
        struct subject subject; \
        nvmlReturn_t result = enter(CALL_##name, device, takes, &subject); \
        if (result == NVML_SUCCESS) { \
            result = answer_uint(subject.device.first_member, first); \
        } \
        return result == NVML_SUCCESS ? answer_uint(subject.device.second_member, second) : result; \
    }

ONE_NUMBER(DEFINE_ONE_NUMBER)
ONE_BIG_NUMBER(DEFINE_ONE_BIG_NUMBER)
TWO_NUMBERS(DEFINE_TWO_NUMBERS)

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetUtilizationRates, device, TAKES_WHOLE_DEVICE, &subject);
    if (result == NVML_SUCCESS && rates == NULL) {
        result = NVML_ERROR_INVALID_ARGUMENT;
    }
    if (result == NVML_SUCCESS) {
        result = answer_uint(subject.device.utilization_gpu_percent, &rates->gpu);
    }
    return result == NVML_SUCCESS ? answer_uint(subject.device.utilization_memory_percent, &rates->memory) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, unsigned int *mode)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetComputeMode, device, TAKES_MIG_OR_WHOLE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    return answer_uint(subject.is_mig ? subject.mig.compute_mode : subject.device.compute_mode, mode);
}

static nvmlReturn_t clock_of(
    enum double_call_number call, nvmlDevice_t device, unsigned int domain, bool highest, unsigned int *megahertz)
{
    struct subject subject;
    nvmlReturn_t result = enter(call, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    const struct double_device *d = &subject.device;
    const int64_t now[] = {d->clock_graphics_megahertz, d->clock_sm_megahertz, d->clock_memory_megahertz,
        d->clock_video_megahertz};
    const int64_t most[] = {d->max_clock_graphics_megahertz, d->max_clock_sm_megahertz, d->max_clock_memory_megahertz,
        d->max_clock_video_megahertz};
    if (domain >= sizeof(now) / sizeof(now[0])) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    return answer_uint(highest ? most[domain] : now[domain], megahertz);
}

EXPORT nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, unsigned int domain, unsigned int *megahertz)
{
    return clock_of(CALL_nvmlDeviceGetClockInfo, device, domain, false, megahertz);
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, unsigned int domain, unsigned int *megahertz)
{
    return clock_of(CALL_nvmlDeviceGetMaxClockInfo, device, domain, true, megahertz);
}
