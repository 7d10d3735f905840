/* From an index, a uuid or a PCI address to a handle, and back to the index. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "call.h"
#include "handle.h"
#include "session.h"
#include "state.h"

/* Devices are numbered in the order of their slots, empty slots left out. */
static unsigned int index_of(const struct double_state *state, unsigned int slot)
{
    unsigned int index = 0;
    for (unsigned int before = 0; before < slot; before++) {
        index += state->devices[before].present ? 1 : 0;
    }
    return index;
}

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    nvmlReturn_t result = enter_system(CALL_nvmlDeviceGetCount_v2);
    if (result != NVML_SUCCESS) {
        return result;
    }
    const struct double_state *state = state_lock();
    int64_t listed = index_of(state, DOUBLE_MOST_DEVICES) + state->unreal_devices;
    state_unlock();
    return answer_uint(listed, count);
}

/* The row of the device applies to a handle that was found, the system row to one that was not. Finding it opens it. */
static nvmlReturn_t hand_out(
    enum double_call_number call, nvmlDevice_t found, nvmlReturn_t missing, nvmlDevice_t *device)
{
    nvmlReturn_t result = found == NULL ? enter_system(call) : enter_found(call, found);
    if (result != NVML_SUCCESS) {
        return result;
    }
    if (found == NULL) {
        return missing;
    }
    struct place place;
    if (handle_place(found, &place)) {
        attach(place.slot);
    }
    *device = found;
    return NVML_SUCCESS;
}

static nvmlDevice_t find_index(const struct double_state *state, unsigned int index)
{
    for (unsigned int slot = 0; slot < DOUBLE_MOST_DEVICES; slot++) {
        if (state->devices[slot].present && index_of(state, slot) == index) {
            return handle_of_device(slot);
        }
    }
    return NULL;
}

static nvmlDevice_t find_uuid(const struct double_state *state, const char *uuid)
{
    for (unsigned int slot = 0; slot < DOUBLE_MOST_DEVICES; slot++) {
        const struct double_device *device = &state->devices[slot];
        if (!device->present) {
            continue;
        }
        if (strcmp(device->uuid, uuid) == 0) {
            return handle_of_device(slot);
        }
        for (unsigned int index = 0; device->mig_mode == 1 && index < DOUBLE_MOST_MIG_DEVICES; index++) {
            if (device->mig[index].present && strcmp(device->mig[index].uuid, uuid) == 0) {
                return handle_of_mig(slot, index);
            }
        }
    }
    return NULL;
}

static nvmlDevice_t find_address(
    const struct double_state *state, unsigned int domain, unsigned int bus, unsigned int slot_number)
{
    for (unsigned int slot = 0; slot < DOUBLE_MOST_DEVICES; slot++) {
        const struct double_device *device = &state->devices[slot];
        if (device->present && device->pci_domain == domain && device->pci_bus == bus
            && device->pci_slot == slot_number) {
            return handle_of_device(slot);
        }
    }
    return NULL;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    if (!session_is_open()) {
        return NVML_ERROR_UNINITIALIZED;
    }
    if (device == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    nvmlDevice_t found = find_index(state_lock(), index);
    state_unlock();
    return hand_out(CALL_nvmlDeviceGetHandleByIndex_v2, found, NVML_ERROR_INVALID_ARGUMENT, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    if (!session_is_open()) {
        return NVML_ERROR_UNINITIALIZED;
    }
    if (uuid == NULL || device == NULL) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    nvmlDevice_t found = find_uuid(state_lock(), uuid);
    state_unlock();
    return hand_out(CALL_nvmlDeviceGetHandleByUUID, found, NVML_ERROR_NOT_FOUND, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *address, nvmlDevice_t *device)
{
    unsigned int domain;
    unsigned int bus;
    unsigned int slot_number;
    if (!session_is_open()) {
        return NVML_ERROR_UNINITIALIZED;
    }
    if (address == NULL || device == NULL || sscanf(address, "%x:%x:%x", &domain, &bus, &slot_number) != 3) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    nvmlDevice_t found = find_address(state_lock(), domain, bus, slot_number);
    state_unlock();
    return hand_out(CALL_nvmlDeviceGetHandleByPciBusId_v2, found, NVML_ERROR_NOT_FOUND, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
    struct subject subject;
    nvmlReturn_t result = enter(CALL_nvmlDeviceGetIndex, device, TAKES_ANY, &subject);
    if (result != NVML_SUCCESS) {
        return result;
    }
    unsigned int place = subject.mig_index;
    if (!subject.is_mig) {
        place = index_of(state_lock(), subject.slot);
        state_unlock();
    }
    return answer_uint(place, index);
}
