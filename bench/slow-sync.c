// Preloaded into PostgreSQL: every sync takes SYNC_DELAY_MS longer, as on a slower disk.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void delay(void) {
  const char *setting = getenv("SYNC_DELAY_MS");
  long milliseconds = setting ? atol(setting) : 0;
  struct timespec remaining = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  // PostgreSQL's processes are interrupted by signals.
  while (nanosleep(&remaining, &remaining) != 0 && errno == EINTR) {
  }
}

int fdatasync(int file) {
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  delay();
  return sync(file);
}

int fsync(int file) {
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  delay();
  return sync(file);
}
