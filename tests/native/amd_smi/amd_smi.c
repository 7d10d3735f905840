/* A libamd_smi that returns the values of a file, read at every call; AMD_SMI_STATE names it. One fact per line:
 *   gpu BDF                  a GPU, its address packed as in the library, in hexadecimal; the next lines belong to it
 *   NAME VALUE               a value
 *   fail FUNCTION STATUS     the function fails; for all GPUs if before the first one
 *   abort FUNCTION           the function ends the process
 *   release FIRST SECOND     the release of the library; its first number determines the structure of the power
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define SUCCESS 0u
#define NOT_SUPPORTED 2u
#define MOST_GPUS 16

typedef struct {
  uint32_t gfx, umc, mm, reserved[13];
} engine_usage;

typedef struct {
  uint32_t numbers[4];
  const char *text;
} version_info;

typedef struct {
  uint32_t current, average, gfx_voltage, soc_voltage, mem_voltage, limit, reserved[11];
} power_24;

typedef struct {
  uint64_t socket;
  uint32_t current, average;
  uint64_t gfx_voltage, soc_voltage, mem_voltage;
  uint32_t limit;
  uint64_t reserved[18];
} power_25;

typedef struct {
  uint64_t cap, standard, dpm, least, most, reserved[3];
} power_cap;

typedef struct {
  uint64_t corrected, uncorrected, deferred, reserved[5];
} error_count;

/* Finds a fact: `kind` and `name` are the first words of the line. GPU 0 means the lines before the first GPU. */
static int find(uintptr_t gpu, const char *kind, const char *name, char *value, size_t size) {
  const char *path = getenv("AMD_SMI_STATE");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[256], first[64], second[128], third[64];
  uintptr_t at = 0;
  int found = 0;
  while (file && fgets(line, sizeof line, file)) {
    int words = sscanf(line, "%63s %127s %63s", first, second, third);
    if (words >= 2 && strcmp(first, "gpu") == 0) at++;
    if (at != gpu || words < 2 || strcmp(first, kind) != 0) continue;
    if (name && strcmp(second, name) != 0) continue;
    snprintf(value, size, "%s", name ? (words > 2 ? third : "") : second);
    found = 1;
  }
  if (file) fclose(file);
  return found;
}

static uint32_t injected(uintptr_t gpu, const char *function) {
  char value[128];
  for (uintptr_t which = 0; which <= gpu; which += gpu ? gpu : 1) {
    if (find(which, "abort", function, value, sizeof value)) abort();
    if (find(which, "fail", function, value, sizeof value)) return (uint32_t)strtoul(value, NULL, 10);
  }
  return SUCCESS;
}

static uint32_t figure(uintptr_t gpu, const char *function, const char *name, uint64_t *value) {
  char text[128];
  uint32_t status = injected(gpu, function);
  if (status != SUCCESS) return status;
  if (!find(gpu, name, NULL, text, sizeof text)) return NOT_SUPPORTED;
  *value = strtoull(text, NULL, 0);
  return SUCCESS;
}

static uint32_t gpus(void) {
  char value[128];
  uint32_t count = 0;
  while (count < MOST_GPUS && find(count + 1, "gpu", NULL, value, sizeof value)) count++;
  return count;
}

EXPORT uint32_t amdsmi_init(uint64_t flags) { return flags == 2 ? injected(0, __func__) : 1u; }

static void release(uint32_t *first, uint32_t *second) {
  char value[128];
  *first = 26;
  *second = 1;
  for (uint32_t each = 23; each < 40; each++) {
    char name[8];
    snprintf(name, sizeof name, "%u", each);
    if (!find(0, "release", name, value, sizeof value)) continue;
    *first = each;
    *second = (uint32_t)strtoul(value, NULL, 10);
  }
}

EXPORT uint32_t amdsmi_get_lib_version(version_info *version) {
  static char text[32];
  release(&version->numbers[0], &version->numbers[1]);
  version->numbers[2] = 3;
  version->numbers[3] = 0;
  snprintf(text, sizeof text, "%u.%u.3", version->numbers[0], version->numbers[1]);
  version->text = text;
  return injected(0, __func__);
}

/* Two GPUs per socket. */
EXPORT uint32_t amdsmi_get_socket_handles(uint32_t *count, uintptr_t *handles) {
  *count = (gpus() + 1) / 2;
  for (uint32_t socket = 0; handles && socket < *count; socket++) handles[socket] = 1000 + socket;
  return injected(0, __func__);
}

EXPORT uint32_t amdsmi_get_processor_handles(uintptr_t socket, uint32_t *count, uintptr_t *handles) {
  uint32_t first = (uint32_t)(socket - 1000) * 2, all = gpus();
  *count = all - first > 1 ? 2 : all - first;
  for (uint32_t gpu = 0; handles && gpu < *count; gpu++) handles[gpu] = first + gpu + 1;
  return injected(0, __func__);
}

EXPORT uint32_t amdsmi_get_gpu_bdf_id(uintptr_t gpu, uint64_t *bdf) {
  char text[128];
  uint32_t status = injected(gpu, __func__);
  if (status == SUCCESS && find(gpu, "gpu", NULL, text, sizeof text)) *bdf = strtoull(text, NULL, 16);
  return status;
}

EXPORT uint32_t amdsmi_get_gpu_activity(uintptr_t gpu, engine_usage *usage) {
  uint64_t gfx = 0xFFFF, umc = 0xFFFFFFFF;
  uint32_t status = injected(gpu, __func__);
  figure(gpu, __func__, "gfx_activity", &gfx);
  figure(gpu, __func__, "umc_activity", &umc);
  memset(usage, 0, sizeof *usage);
  usage->gfx = (uint32_t)gfx;
  usage->umc = (uint32_t)umc;
  usage->mm = 0xFFFF;
  return status;
}

EXPORT uint32_t amdsmi_get_gpu_memory_total(uintptr_t gpu, int kind, uint64_t *bytes) {
  return figure(gpu, __func__, kind == 0 ? "vram_total" : "gtt_total", bytes);
}

EXPORT uint32_t amdsmi_get_gpu_memory_usage(uintptr_t gpu, int kind, uint64_t *bytes) {
  return figure(gpu, __func__, kind == 0 ? "vram_used" : "gtt_used", bytes);
}

EXPORT uint32_t amdsmi_get_power_info(uintptr_t gpu, void *info) {
  uint64_t now = 0xFFFFFFFF, average = 0xFFFFFFFF;
  uint32_t status = injected(gpu, __func__), first, second;
  figure(gpu, __func__, "power_now", &now);
  figure(gpu, __func__, "power_average", &average);
  if (status != SUCCESS) return status;
  release(&first, &second);
  if (first < 25) {
    power_24 power = {(uint32_t)now, (uint32_t)average, 862, 0, 0, 300, {0}};
    memcpy(info, &power, sizeof power);
  } else {
    power_25 power = {now, (uint32_t)now, (uint32_t)average, 862, 0, 0, 300, {0}};
    memcpy(info, &power, sizeof power);
  }
  return SUCCESS;
}

EXPORT uint32_t amdsmi_get_power_cap_info(uintptr_t gpu, uint32_t sensor, power_cap *info) {
  memset(info, 0, sizeof *info);
  return sensor == 0 ? figure(gpu, __func__, "power_cap", &info->cap) : 1u;
}

EXPORT uint32_t amdsmi_get_energy_count(uintptr_t gpu, uint64_t *counter, float *resolution, uint64_t *timestamp) {
  *resolution = 15.3f;
  *timestamp = 1;
  return figure(gpu, __func__, "energy", counter);
}

EXPORT uint32_t amdsmi_get_temp_metric(uintptr_t gpu, int sensor, int metric, int64_t *celsius) {
  const char *names[] = {"edge", "junction", "vram", "hbm0", "hbm1", "hbm2", "hbm3"};
  uint64_t value = 0;
  if (metric != 0 || sensor < 0 || sensor > 6) return 1u;
  uint32_t status = figure(gpu, __func__, names[sensor], &value);
  *celsius = (int64_t)value;
  return status;
}

EXPORT uint32_t amdsmi_get_gpu_ecc_count(uintptr_t gpu, uint64_t block, error_count *counts) {
  char name[64];
  memset(counts, 0, sizeof *counts);
  snprintf(name, sizeof name, "corrected_%llx", (unsigned long long)block);
  uint32_t status = figure(gpu, __func__, name, &counts->corrected);
  snprintf(name, sizeof name, "uncorrected_%llx", (unsigned long long)block);
  return status == SUCCESS ? figure(gpu, __func__, name, &counts->uncorrected) : status;
}
