/* Memory errors, remapped rows and retired pages. */
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
