/* The clock that goes on while the machine sleeps: asked before each batch of requests. */
#include <time.h>

#include "arguments.h"

/* bootTimeMs() */
static napi_value boot_time_ms(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec now;
  /* Fails for no clock that the kernel has, and it has had this one since 2.6.39. */
  clock_gettime(CLOCK_BOOTTIME, &now);
  return number(env, (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6);
}

bool export_clock(napi_env env, napi_value exports) {
  return export_function(env, exports, "bootTimeMs", boot_time_ms);
}
