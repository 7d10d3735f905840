/* Preloaded into a process, it makes opening one file, and reading it at an offset, slow: like a driver that waits for
 * its device.
 * SLOW_FILES names a control file with the end of the path and the milliseconds of the delay. Without the control file
 * there is no delay, and waits in progress end. Every wait adds a byte to the control file's name with `.met` appended.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef int (*opening)(const char *, int, ...);
typedef ssize_t (*reading)(int, void *, size_t, off_t);

static opening real(const char *name) {
  opening found;
  *(void **)&found = dlsym(RTLD_NEXT, name);
  return found;
}

/* The current delay of a path in milliseconds; 0 for a path that is not slow. */
static long slowness(const char *path) {
  char content[512] = "", end[400] = "";
  long milliseconds = 0;
  const char *control = getenv("SLOW_FILES");
  int file = control ? real("open")(control, O_RDONLY) : -1;
  if (file < 0) return 0;
  ssize_t length = read(file, content, sizeof content - 1);
  close(file);
  if (length <= 0 || sscanf(content, "%399s %ld", end, &milliseconds) != 2) return 0;
  size_t all = strlen(path), part = strlen(end);
  return all >= part && strcmp(path + all - part, end) == 0 ? milliseconds : 0;
}

static void wait_for(const char *path) {
  const struct timespec moment = {0, 5000000};
  long waited = 0, milliseconds = slowness(path);
  char met[600];
  if (milliseconds == 0) return;
  snprintf(met, sizeof met, "%s.met", getenv("SLOW_FILES"));
  int file = real("open")(met, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (file >= 0) {
    if (write(file, "!", 1) != 1) abort();
    close(file);
  }
  for (; waited < milliseconds && slowness(path) > 0; waited += 5) nanosleep(&moment, NULL);
}

static int open_slowly(const char *name, const char *path, int flags, mode_t mode) {
  wait_for(path);
  return real(name)(path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_slowly("open", path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_slowly("open64", path, flags, mode);
}

static ssize_t read_slowly(const char *name, int file, void *content, size_t size, off_t offset) {
  char link[40], path[4096];
  reading found;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length > 0) {
    path[length] = '\0';
    wait_for(path);
  }
  *(void **)&found = dlsym(RTLD_NEXT, name);
  return found(file, content, size, offset);
}

EXPORT ssize_t pread(int file, void *content, size_t size, off_t offset) {
  return read_slowly("pread", file, content, size, offset);
}

EXPORT ssize_t pread64(int file, void *content, size_t size, off_t offset) {
  return read_slowly("pread64", file, content, size, offset);
}
