/* The identity of a device. */
#include <stddef.h>
#include <stdio.h>

#include "call.h"

enum { GSP_VERSION_SIZE = 64 };

EXPORT nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetUUID, device, TAKES_ANY, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    return answer_text(subject.is_mig ? subject.mig.uuid : subject.device.uuid, uuid, length);
}

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetName, device, TAKES_ANY, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    return answer_text(subject.is_mig ? subject.mig.name : subject.device.name, name, length);
}

EXPORT nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetSerial, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? answer_text(subject.device.serial, serial, length) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetVbiosVersion, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? answer_text(subject.device.vbios_version, version, length) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetGspFirmwareVersion(nvmlDevice_t device, char *version)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetGspFirmwareVersion, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    return answer_text(subject.device.gsp_firmware_version, version, GSP_VERSION_SIZE);
}

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetPciInfo_v3, device, TAKES_DEVICE, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (pci == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    pci->domain = (unsigned int)subject.device.pci_domain;
    pci->bus = (unsigned int)subject.device.pci_bus;
    pci->device = (unsigned int)subject.device.pci_slot;
    pci->pciDeviceId = (unsigned int)subject.device.pci_device_id;
    pci->pciSubSystemId = (unsigned int)subject.device.pci_subsystem_id;
    snprintf(pci->busId, sizeof(pci->busId), "%08X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
    /* The older spelling has room for a domain of four digits. */
    snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%04X:%02X:%02X.0", pci->domain & 0xFFFF, pci->bus & 0xFF,
        pci->device & 0xFF);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetCudaComputeCapability, device, TAKES_DEVICE, &subject);
    if (result == NVML_SUCCESS) {
        result = answer_int(subject.device.cuda_capability_major, major);
    }
    return result == NVML_SUCCESS ? answer_int(subject.device.cuda_capability_minor, minor) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, int *node)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetNumaNodeId, device, TAKES_DEVICE, &subject);
    return result == NVML_SUCCESS ? answer_int(subject.device.numa_node, node) : result;
}
