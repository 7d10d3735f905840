/* Memory errors, remapped rows, retired pages and pending repairs. */
#include <stddef.h>

#include "call.h"

enum { CORRECTED = 0, UNCORRECTED = 1, LIFETIME = 1 };

EXPORT nvmlReturn_t nvmlDeviceGetTotalEccErrors(
    nvmlDevice_t device, unsigned int kind, unsigned int counter, unsigned long long *count)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetTotalEccErrors, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    const struct double_device *d = &subject.device;
    if (kind > UNCORRECTED || counter > LIFETIME) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (d->ecc_mode != 1) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    const int64_t counts[2][2] = {{d->ecc_volatile_corrected, d->ecc_volatile_uncorrected},
        {d->ecc_lifetime_corrected, d->ecc_lifetime_uncorrected}};
    return answer_ulonglong(counts[counter][kind], count);
}

EXPORT nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrected, unsigned int *uncorrected,
    unsigned int *pending, unsigned int *failed)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetRemappedRows, device, TAKES_WHOLE_DEVICE, &subject);
    if (result == NVML_SUCCESS) {
        result = answer_uint(subject.device.remapped_rows_corrected, corrected);
    }
    if (result == NVML_SUCCESS) {
        result = answer_uint(subject.device.remapped_rows_uncorrected, uncorrected);
    }
    if (result == NVML_SUCCESS) {
        result = answer_uint(subject.device.remapping_pending, pending);
    }
    return result == NVML_SUCCESS ? answer_uint(subject.device.remapping_failed, failed) : result;
}

/* As in the real library, the number of pages is returned even if there is no room for their addresses. */
EXPORT nvmlReturn_t nvmlDeviceGetRetiredPages(
    nvmlDevice_t device, unsigned int cause, unsigned int *count, unsigned long long *addresses)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetRetiredPages, device, TAKES_DEVICE, &subject);
    unsigned int pages;
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (cause > UNCORRECTED || count == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    result = answer_uint(
        cause == CORRECTED ? subject.device.retired_pages_corrected : subject.device.retired_pages_uncorrected, &pages);
    if (result != NVML_SUCCESS) {
        return result;
    }
    unsigned int room = addresses == NULL ? 0 : *count;
    *count = pages;
    if (room < pages) {
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    for (unsigned int page = 0; page < pages; page++) {
        addresses[page] = 0x1000ULL * (page + 1);
    }
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, unsigned int *pending)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetRetiredPagesPendingStatus, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? answer_uint(subject.device.retirement_pending, pending) : result;
}

/* The header does not mention MIG; assumed: as for the remapped rows themselves. */
EXPORT nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *values)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetRowRemapperHistogram, device, TAKES_WHOLE_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (values == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    const struct double_device *d = &subject.device;
    if (d->banks_max_spare == DOUBLE_UNSUPPORTED) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    values->max = (unsigned int)d->banks_max_spare;
    values->high = (unsigned int)d->banks_high_spare;
    values->partial = (unsigned int)d->banks_partial_spare;
    values->low = (unsigned int)d->banks_low_spare;
    values->none = (unsigned int)d->banks_no_spare;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_v1_t *status)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetSramEccErrorStatus, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (status == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (status->version != NVML_STRUCT_VERSION(nvmlEccSramErrorStatus_v1_t, 1)) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    const struct double_device *d = &subject.device;
    if (d->ecc_mode != 1 || d->sram_volatile_corrected == DOUBLE_UNSUPPORTED) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    status->aggregateUncParity = (unsigned long long)d->sram_lifetime_parity;
    status->aggregateUncSecDed = (unsigned long long)d->sram_lifetime_secded;
    status->aggregateCor = (unsigned long long)d->sram_lifetime_corrected;
    status->volatileUncParity = (unsigned long long)d->sram_volatile_parity;
    status->volatileUncSecDed = (unsigned long long)d->sram_volatile_secded;
    status->volatileCor = (unsigned long long)d->sram_volatile_corrected;
    status->bThresholdExceeded = (unsigned int)d->sram_threshold_exceeded;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetRepairStatus(nvmlDevice_t device, nvmlRepairStatus_v1_t *status)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetRepairStatus, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (status == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (status->version != NVML_STRUCT_VERSION(nvmlRepairStatus_v1_t, 1)) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    result = answer_uint(subject.device.channel_repair_pending, &status->bChannelRepairPending);
    return result == NVML_SUCCESS ? answer_uint(subject.device.tpc_repair_pending, &status->bTpcRepairPending) : result;
}
