/* GPM: samples are buffers of the caller that keep the metrics of a device and the time. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "call.h"
#include "state.h"

enum { LEAST_MILLISECONDS = 100, WHOLE_DEVICE = -1 };

struct double_gpm_sample {
    int64_t at_milliseconds;
    int64_t device; /* its slot, and the GPU instance or WHOLE_DEVICE; at time 0 there is no sample */
    int64_t gpu_instance;
    struct double_gpm_metric metrics[DOUBLE_MOST_GPM_METRICS];
};

/* A test moves this clock forward instead of waiting. */
static int64_t milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t passed = state_lock()->passed_milliseconds;
    state_unlock();
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + passed;
}

EXPORT nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlGpmQueryDeviceSupport, device, TAKES_DEVICE, &subject);
    if (result == NVML_SUCCESS && support == NULL) {
        result = NVML_ERROR_INVALID_ARGUMENT;
    }
    if (result == NVML_SUCCESS) {
        support->isSupportedDevice = subject.device.gpm_supported == 1;
    }
    return result;
}

EXPORT nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample)
{
    nvmlReturn_t result = enter_system(CALL_nvmlGpmSampleAlloc);
    if (result != NVML_SUCCESS) {
        return result;
    }
    *sample = calloc(1, sizeof(**sample));
    return *sample == NULL ? NVML_ERROR_UNKNOWN : NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample)
{
    nvmlReturn_t result = enter_system(CALL_nvmlGpmSampleFree);
    if (result != NVML_SUCCESS) {
        return result;
    }
    free(sample);
    return NVML_SUCCESS;
}

static nvmlReturn_t take(const struct subject *subject, int64_t gpu_instance, nvmlGpmSample_t sample)
{
    const struct double_gpm_metric *metrics = subject->device.gpm;
    if (sample == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (subject->device.gpm_supported != 1) {
        return NVML_ERROR_NOT_SUPPORTED;
    }
    if (gpu_instance != WHOLE_DEVICE) {
        metrics = NULL;
        for (unsigned int index = 0; index < DOUBLE_MOST_MIG_DEVICES; index++) {
            const struct double_mig_device *mig = &subject->device.mig[index];
            if (mig->present && mig->gpu_instance == gpu_instance) {
                metrics = mig->gpm;
            }
        }
        if (subject->device.mig_mode != 1 || metrics == NULL) {
            return NVML_ERROR_NOT_FOUND; /* assumed */
        }
    }
    sample->at_milliseconds = milliseconds_now();
    sample->device = subject->slot;
    sample->gpu_instance = gpu_instance;
    memcpy(sample->metrics, metrics, sizeof(sample->metrics));
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlGpmSampleGet, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? take(&subject, WHOLE_DEVICE, sample) : result;
}

EXPORT nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned int gpu_instance, nvmlGpmSample_t sample)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlGpmMigSampleGet, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? take(&subject, gpu_instance, sample) : result;
}

static const struct double_gpm_metric *find(const struct double_gpm_sample *sample, unsigned int id)
{
    for (unsigned int index = 0; index < DOUBLE_MOST_GPM_METRICS; index++) {
        if (sample->metrics[index].present && sample->metrics[index].id == id) {
            return &sample->metrics[index];
        }
    }
    return NULL;
}

static void fill(const struct double_gpm_metric *known, nvmlGpmMetric_t *metric)
{
    if (known == NULL) {
        metric->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    } else if (known->manner != DOUBLE_GPM_LEAVE_ALONE) {
        metric->nvmlReturn = (nvmlReturn_t)known->code;
        _Static_assert(sizeof(metric->value) == sizeof(known->bits), "a value has the bits of one word");
        memcpy(&metric->value, &known->bits, sizeof(known->bits));
    }
}

/* Assumed: a call with samples of different subjects, in the wrong order or too close together fails as a whole. */
EXPORT nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *question)
{
    nvmlReturn_t result = enter_system(CALL_nvmlGpmMetricsGet);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (question == NULL || question->sample1 == NULL || question->sample2 == NULL
        || question->numMetrics > NVML_GPM_METRIC_MAX) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    if (question->version != NVML_GPM_METRICS_GET_VERSION) {
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    const struct double_gpm_sample *first = question->sample1, *second = question->sample2;
    if (first->at_milliseconds == 0 || first->device != second->device || first->gpu_instance != second->gpu_instance
        || second->at_milliseconds - first->at_milliseconds < LEAST_MILLISECONDS) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    for (unsigned int index = 0; index < question->numMetrics; index++) {
        const struct double_gpm_metric *known = find(second, question->metrics[index].metricId);
        if (known != NULL && known->manner == DOUBLE_GPM_REFUSE_CALL) {
            return (nvmlReturn_t)known->code;
        }
    }
    for (unsigned int index = 0; index < question->numMetrics; index++) {
        fill(find(second, question->metrics[index].metricId), &question->metrics[index]);
    }
    return NVML_SUCCESS;
}
