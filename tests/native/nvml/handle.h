/* Handles: one for each place of a device or MIG device, valid while the library is loaded. */
#ifndef NVML_DOUBLE_HANDLE_H
#define NVML_DOUBLE_HANDLE_H

#include <stdbool.h>

#include "abi.h"

struct place {
    unsigned int slot;
    bool is_mig;
    unsigned int mig_index;
    unsigned int row; /* of the call table */
};

nvmlDevice_t handle_of_device(unsigned int slot);
nvmlDevice_t handle_of_mig(unsigned int slot, unsigned int mig_index);

/* The place of a handle; false for an unknown handle. */
bool handle_place(nvmlDevice_t handle, struct place *place);

#endif
