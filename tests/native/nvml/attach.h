/* The descriptors that the library keeps open, one for each attached device. */
#ifndef NVML_DOUBLE_ATTACH_H
#define NVML_DOUBLE_ATTACH_H

/* Open the device in a slot, unless it is open. */
void attach(unsigned int slot);

/* Open every device, as an initialisation without NO_ATTACH does. */
void attach_all(void);

/* Close every device: the last session has ended. Nothing else closes one. */
void detach_all(void);

#endif
