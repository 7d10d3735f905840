/* The mapped state file. */
#ifndef NVML_DOUBLE_STATE_H
#define NVML_DOUBLE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "state_layout.h"

/* Map the file that NVML_DOUBLE_STATE names; false, with a line on standard error, if that fails. */
bool state_open(void);

/* Lock and return the state, so that no test writes to it; unlock it. */
const struct double_state *state_lock(void);
void state_unlock(void);

/* Number of changes so far, and a wait for the next one after `seen` or for so many milliseconds: at every wake-up the
 * caller looks again. A change is a write of a test, or `state_changed`. */
uint32_t state_changes(void);
void state_wait(uint32_t seen, int64_t milliseconds);
void state_changed(void);

/* The settings of a call; read and counted without the lock, because a call may wait long. */
struct double_call *state_call(enum double_call_number call, unsigned int row);

#endif
