/* The mapped state file. */
#ifndef NVML_DOUBLE_STATE_H
#define NVML_DOUBLE_STATE_H

#include <stdbool.h>

#include "state_layout.h"

/* Map the file that NVML_DOUBLE_STATE names; false, with a line on standard error, where it can't be. */
bool state_open(void);

/* The state, while no test is writing to it; and let tests write again. */
const struct double_state *state_lock(void);
void state_unlock(void);

/* How a function behaves; read and counted without the lock, for a call may wait here for long. */
struct double_call *state_call(enum double_call_number call, unsigned int row);

#endif
