/* The reference-counted session. */
#ifndef NVML_DOUBLE_SESSION_H
#define NVML_DOUBLE_SESSION_H

#include <stdbool.h>

bool session_is_open(void);

#endif
