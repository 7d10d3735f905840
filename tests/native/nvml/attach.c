/* Attached devices: each has a descriptor named `nvidia` and its minor number, as the files in /dev are. */
#include "attach.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int descriptors[DOUBLE_MOST_DEVICES]; /* 0 where a device is not attached */

static void attach_minor(unsigned int slot, int64_t minor)
{
    char name[32];
    snprintf(name, sizeof(name), "nvidia%lld", (long long)minor);
    pthread_mutex_lock(&mutex);
    if (descriptors[slot] == 0) {
        int file = memfd_create(name, MFD_CLOEXEC);
        descriptors[slot] = file < 0 ? 0 : file;
    }
    pthread_mutex_unlock(&mutex);
}

void attach(unsigned int slot)
{
    int64_t minor = state_lock()->devices[slot].minor_number;
    state_unlock();
    attach_minor(slot, minor);
}

void attach_all(void)
{
    for (unsigned int slot = 0; slot < DOUBLE_MOST_DEVICES; slot++) {
        bool present = state_lock()->devices[slot].present != 0;
        state_unlock();
        if (present) {
            attach(slot);
        }
    }
}

void detach_all(void)
{
    pthread_mutex_lock(&mutex);
    for (unsigned int slot = 0; slot < DOUBLE_MOST_DEVICES; slot++) {
        if (descriptors[slot] != 0) {
            close(descriptors[slot]);
            descriptors[slot] = 0;
        }
    }
    pthread_mutex_unlock(&mutex);
}
