/* Field values: many readings in one call, each with its own return code. */
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "call.h"

static const struct double_field_value *find(const struct double_device *device, const nvmlFieldValue_t *requested)
{
    for (unsigned int index = 0; index < DOUBLE_MOST_FIELDS; index++) {
        const struct double_field_value *field = &device->fields[index];
        if (field->present && field->field == requested->fieldId && field->scope == requested->scopeId) {
            return field;
        }
    }
    return NULL;
}

static long long microseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void fill(const struct double_field_value *field, nvmlFieldValue_t *value)
{
    value->timestamp = microseconds_now();
    value->latencyUsec = 0;
    if (field == NULL) {
        value->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
        return;
    }
    value->nvmlReturn = (nvmlReturn_t)field->code;
    value->valueType = (unsigned int)field->value_type;
    _Static_assert(sizeof(value->value) == sizeof(field->bits), "a value has the bits of one word");
    memcpy(&value->value, &field->bits, sizeof(field->bits));
}

EXPORT nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetFieldValues, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (values == NULL || count <= 0) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    for (int index = 0; index < count; index++) {
        fill(find(&subject.device, &values[index]), &values[index]);
    }
    return NVML_SUCCESS;
}
