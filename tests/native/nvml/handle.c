#include "handle.h"

#include <stddef.h>
#include <stdint.h>

#include "state_layout.h"

struct double_handle {
    char address_only;
};

static struct double_handle handles[DOUBLE_SYSTEM_ROW];

nvmlDevice_t handle_of_device(unsigned int slot)
{
    return &handles[slot * DOUBLE_HANDLES_PER_DEVICE];
}

nvmlDevice_t handle_of_mig(unsigned int slot, unsigned int mig_index)
{
    return &handles[slot * DOUBLE_HANDLES_PER_DEVICE + 1 + mig_index];
}

bool handle_place(nvmlDevice_t handle, struct place *place)
{
    /* Compared as numbers: a caller may pass anything, and pointers to different objects must not be compared. */
    uintptr_t first = (uintptr_t)handles;
    uintptr_t address = (uintptr_t)handle;
    if (address < first || address >= first + sizeof(handles)) {
        return false;
    }
    place->row = (unsigned int)((address - first) / sizeof(handles[0]));
    place->slot = place->row / DOUBLE_HANDLES_PER_DEVICE;
    unsigned int within = place->row % DOUBLE_HANDLES_PER_DEVICE;
    place->is_mig = within > 0;
    place->mig_index = place->is_mig ? within - 1 : 0;
    return true;
}
