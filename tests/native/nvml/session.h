/* The reference-counted session. */
#ifndef NVML_DOUBLE_SESSION_H
#define NVML_DOUBLE_SESSION_H

#include <stdbool.h>

bool session_is_open(void);

/* Free every event set of devices, and that of the driver: the last session has ended. */
void free_event_sets(void);
void free_system_event_set(void);

#endif
