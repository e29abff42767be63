/* System calls on files that Node has no function for: most commands need one, and ffi-napi for none. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"

/* The longest path, its end included (limits.h PATH_MAX). */
#define PATH_BYTES 4096

/* flock(fd, operation) */
static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd, operation;
  if (!take_arguments(env, info, 2, values) || !to_int(env, values[0], &fd) ||
      !to_int(env, values[1], &operation))
    return NULL;
  return result_of(env, TEMP_FAILURE_RETRY(flock(fd, operation)));
}

/* lseek(fd, offset, origin) */
static napi_value seek_file(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd, origin;
  int64_t offset;
  if (!take_arguments(env, info, 3, values) || !to_int(env, values[0], &fd) ||
      !to_int64(env, values[1], &offset) || !to_int(env, values[2], &origin))
    return NULL;
  return result_of(env, lseek(fd, offset, origin));
}

/* fallocate(fd, mode, offset, length) */
static napi_value allocate_file(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t fd, mode;
  int64_t offset, length;
  if (!take_arguments(env, info, 4, values) || !to_int(env, values[0], &fd) ||
      !to_int(env, values[1], &mode) || !to_int64(env, values[2], &offset) ||
      !to_int64(env, values[3], &length))
    return NULL;
  return result_of(env, TEMP_FAILURE_RETRY(fallocate(fd, mode, offset, length)));
}

/* mkfifo(path, mode) */
static napi_value make_fifo(napi_env env, napi_callback_info info) {
  napi_value values[2];
  char path[PATH_BYTES];
  size_t length;
  uint32_t mode;
  if (!take_arguments(env, info, 2, values) || !to_unsigned(env, values[1], &mode)) return NULL;
  if (napi_get_value_string_utf8(env, values[0], path, sizeof path, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "a path is expected");
    return NULL;
  }
  if (length == sizeof path - 1) return number(env, -ENAMETOOLONG);
  return result_of(env, mkfifo(path, mode));
}

bool export_files(napi_env env, napi_value exports) {
  return export_function(env, exports, "flock", lock_file) &&
         export_function(env, exports, "lseek", seek_file) &&
         export_function(env, exports, "fallocate", allocate_file) &&
         export_function(env, exports, "mkfifo", make_fifo);
}
