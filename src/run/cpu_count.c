// SPDX-License-Identifier: Apache-2.0
// CPUs that this process may use: affinity mask and control groups.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "run/threads.h"

static uint32_t affinity_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int count = CPU_COUNT(&set);
  return count > 0 ? (uint32_t)count : 1;
}

static bool read_line(const char *path, char *out, int out_bytes) {
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  bool ok = fgets(out, out_bytes, file) != NULL;
  fclose(file);
  return ok;
}

// CPUs that quota/period allow, rounded up; UINT32_MAX without a quota.
static uint32_t quota_count(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return UINT32_MAX;
  double cpus = quota / period;
  return cpus < 1 ? 1 : (uint32_t)(cpus + 0.999);
}

// A folder of the unified hierarchy, and of the cpu controller of version 1.
static uint32_t folder_quota(const char *group) {
  char path[512], line[128];
  snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
  if (read_line(path, line, sizeof line)) {
    char *end;
    double quota = strtod(line, &end);
    return end != line ? quota_count(quota, strtod(end, NULL)) : UINT32_MAX;  // "max 100000" has no number first
  }
  snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", group);
  if (!read_line(path, line, sizeof line)) return UINT32_MAX;
  double quota = strtod(line, NULL);
  snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", group);
  return read_line(path, line, sizeof line) ? quota_count(quota, strtod(line, NULL)) : UINT32_MAX;
}

// The least quota from the group up to the root.
static uint32_t group_quota(char *group) {
  uint32_t least = UINT32_MAX;
  for (;;) {
    uint32_t here = folder_quota(strcmp(group, "/") == 0 ? "" : group);
    if (here < least) least = here;
    char *slash = strrchr(group, '/');
    if (slash == NULL || group[0] == '\0') return least;
    *slash = '\0';
  }
}

static uint32_t cgroup_count(void) {
  uint32_t least = UINT32_MAX;
  FILE *file = fopen("/proc/self/cgroup", "re");
  if (file == NULL) return least;
  char line[512];
  while (fgets(line, sizeof line, file) != NULL) {  // number:controllers:path
    char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL) continue;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    bool unified = controllers[1] == '\0', cpu = strstr(controllers, "cpu") != NULL;
    uint32_t here = unified || cpu ? group_quota(group) : UINT32_MAX;
    if (here < least) least = here;
  }
  fclose(file);
  return least;
}

uint32_t leat_run_cpu_count(void) {
  uint32_t affinity = affinity_count(), quota = cgroup_count();
  return quota < affinity ? quota : affinity;
}
