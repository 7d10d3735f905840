/* The driver's own properties. */
#include <stddef.h>

#include "call.h"
#include "state.h"

/* The binding has its own texts for the codes it knows. */
EXPORT const char *nvmlErrorString(nvmlReturn_t result)
{
    return result == NVML_SUCCESS ? "The operation was successful" : "An error of the NVML double";
}

EXPORT nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    nvmlReturn_t result = enter_system(CALL_nvmlSystemGetDriverVersion);
    if (result != NVML_SUCCESS) {
        return result;
    }
    result = answer_text(state_lock()->driver_version, version, length);
    state_unlock();
    return result;
}

EXPORT nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    nvmlReturn_t result = enter_system(CALL_nvmlSystemGetNVMLVersion);
    if (result != NVML_SUCCESS) {
        return result;
    }
    result = answer_text(state_lock()->nvml_version, version, length);
    state_unlock();
    return result;
}

static nvmlReturn_t cuda_version(enum double_call_number call, int *version)
{
    nvmlReturn_t result = enter_system(call);
    if (result != NVML_SUCCESS) {
        return result;
    }
    result = answer_int(state_lock()->cuda_driver_version, version);
    state_unlock();
    return result;
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return cuda_version(CALL_nvmlSystemGetCudaDriverVersion, version);
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    return cuda_version(CALL_nvmlSystemGetCudaDriverVersion_v2, version);
}
