/* The state file: mapped once, locked while it is read.
 *
 * Readers and writers take the file's advisory lock, so a reader never sees an incomplete change, and the kernel
 * releases it when a writer dies. All threads share one descriptor, so a mutex serialises them. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct double_state *state;
static int descriptor = -1;
static char *opened_path;

static bool refuse(const char *path, const char *why)
{
    fprintf(stderr, "NVML double: NVML_DOUBLE_STATE=%s: %s\n", path, why);
    return false;
}

static bool map(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) {
        return refuse(path, strerror(errno));
    }
    struct stat status;
    if (fstat(file, &status) != 0 || status.st_size != (off_t)sizeof(struct double_state)) {
        close(file);
        return refuse(path, "not a state file of this size");
    }
    void *memory = mmap(NULL, sizeof(struct double_state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        close(file);
        return refuse(path, strerror(errno));
    }
    if (((struct double_state *)memory)->layout != DOUBLE_LAYOUT) {
        munmap(memory, sizeof(struct double_state));
        close(file);
        return refuse(path, "written for another layout");
    }
    /* An earlier mapping stays: a call may still be waiting in it. */
    state = memory;
    descriptor = file;
    return true;
}

bool state_open(void)
{
    const char *path = getenv("NVML_DOUBLE_STATE");
    if (path == NULL) {
        return refuse("", "not set");
    }
    if (opened_path != NULL && strcmp(opened_path, path) == 0) {
        return true;
    }
    pthread_mutex_lock(&mutex);
    bool mapped = map(path);
    if (mapped) {
        free(opened_path);
        opened_path = strdup(path);
    }
    pthread_mutex_unlock(&mutex);
    return mapped;
}

const struct double_state *state_lock(void)
{
    pthread_mutex_lock(&mutex);
    while (flock(descriptor, LOCK_SH) != 0 && errno == EINTR) {
    }
    return state;
}

void state_unlock(void)
{
    flock(descriptor, LOCK_UN);
    pthread_mutex_unlock(&mutex);
}

struct double_call *state_call(enum double_call_number call, unsigned int row)
{
    pthread_mutex_lock(&mutex);
    struct double_call *found = &state->cells[(size_t)row * DOUBLE_CALLS + call];
    pthread_mutex_unlock(&mutex);
    return found;
}

/* The low half of the number: a futex has 32 bits. A test's process waits for none, so all waiters are woken at once;
 * a condition variable in the file would block the test for ever if a waiting process was killed. */
static uint32_t *changes(void)
{
    pthread_mutex_lock(&mutex);
    uint32_t *found = (uint32_t *)&state->changes;
    pthread_mutex_unlock(&mutex);
    return found + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

uint32_t state_changes(void)
{
    return __atomic_load_n(changes(), __ATOMIC_ACQUIRE);
}

void state_wait(uint32_t seen, int64_t milliseconds)
{
    struct timespec most = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    syscall(SYS_futex, changes(), FUTEX_WAIT, seen, &most, NULL, 0);
}

void state_changed(void)
{
    uint32_t *number = changes();
    state_lock(); /* not while a test adds to it */
    __atomic_add_fetch(number, 1, __ATOMIC_ACQ_REL);
    state_unlock();
    syscall(SYS_futex, number, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
