/*
 * The system calls that run once a batch or once a wake-up, without ffi-napi's cost.
 *
 * Nothing here decides anything: native-bindings/addon.ts describes each function. A function
 * returns what its system call returned, or minus the errno; it throws only on arguments of the
 * wrong type. There is no state, so that the addon can be loaded into many contexts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arguments.h"

/* native-bindings/uring-layout.ts writes and reads these by offset. */
_Static_assert(sizeof(struct io_uring_params) == 120, "io_uring_params");
_Static_assert(sizeof(struct io_uring_sqe) == 64, "io_uring_sqe");
_Static_assert(sizeof(struct io_uring_cqe) == 16, "io_uring_cqe");

bool take_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) == napi_ok && given >= count)
    return true;
  napi_throw_type_error(env, NULL, "too few arguments");
  return false;
}

bool to_int(napi_env env, napi_value value, int32_t *result) {
  if (napi_get_value_int32(env, value, result) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "a number is expected");
  return false;
}

bool to_unsigned(napi_env env, napi_value value, uint32_t *result) {
  if (napi_get_value_uint32(env, value, result) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "a number is expected");
  return false;
}

bool to_int64(napi_env env, napi_value value, int64_t *result) {
  if (napi_get_value_int64(env, value, result) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "a number is expected");
  return false;
}

bool to_bytes(napi_env env, napi_value value, void **bytes, size_t *length) {
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, value, &type, length, bytes, NULL, NULL) == napi_ok &&
      type == napi_uint8_array)
    return true;
  napi_throw_type_error(env, NULL, "a Buffer is expected");
  return false;
}

napi_value number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

napi_value result_of(napi_env env, long result) {
  return number(env, result == -1 ? -errno : (double)result);
}

bool export_function(napi_env env, napi_value exports, const char *name, napi_callback function) {
  napi_value value;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

/* ringSetup(entries, params) */
static napi_value ring_setup(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t entries;
  void *params;
  size_t length;
  if (!take_arguments(env, info, 2, values) || !to_unsigned(env, values[0], &entries) ||
      !to_bytes(env, values[1], &params, &length))
    return NULL;
  if (length != sizeof(struct io_uring_params)) return number(env, -EINVAL);
  return result_of(env, syscall(__NR_io_uring_setup, entries, params));
}

/* ringEnter(fd, toSubmit, minComplete, flags) */
static napi_value ring_enter(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t fd;
  uint32_t to_submit, min_complete, flags;
  if (!take_arguments(env, info, 4, values) || !to_int(env, values[0], &fd) ||
      !to_unsigned(env, values[1], &to_submit) || !to_unsigned(env, values[2], &min_complete) ||
      !to_unsigned(env, values[3], &flags))
    return NULL;
  return result_of(env,
                   syscall(__NR_io_uring_enter, fd, to_submit, min_complete, flags, NULL, 0));
}

/* ringRegister(fd, opcode, argument or null, count) */
static napi_value ring_register(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t fd;
  uint32_t opcode, count;
  napi_valuetype type;
  void *argument = NULL;
  size_t length;
  if (!take_arguments(env, info, 4, values) || !to_int(env, values[0], &fd) ||
      !to_unsigned(env, values[1], &opcode) || !to_unsigned(env, values[3], &count))
    return NULL;
  napi_typeof(env, values[2], &type);
  if (type != napi_null && !to_bytes(env, values[2], &argument, &length)) return NULL;
  return result_of(env, syscall(__NR_io_uring_register, fd, opcode, argument, count));
}

/* eventfd() */
static napi_value new_eventfd(napi_env env, napi_callback_info info) {
  (void)info;
  return result_of(env, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

/* drainEventfd(fd) */
static napi_value drain_eventfd(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  uint64_t count;
  if (!take_arguments(env, info, 1, values) || !to_int(env, values[0], &fd)) return NULL;
  ssize_t got = TEMP_FAILURE_RETRY(read(fd, &count, sizeof count));
  return got == sizeof count ? number(env, (double)count) : result_of(env, got);
}

/* write(fd, bytes) */
static napi_value write_bytes(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  void *bytes;
  size_t length;
  if (!take_arguments(env, info, 2, values) || !to_int(env, values[0], &fd) ||
      !to_bytes(env, values[1], &bytes, &length))
    return NULL;
  return result_of(env, TEMP_FAILURE_RETRY(write(fd, bytes, length)));
}

/* read(fd, bytes) */
static napi_value read_bytes(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  void *bytes;
  size_t length;
  if (!take_arguments(env, info, 2, values) || !to_int(env, values[0], &fd) ||
      !to_bytes(env, values[1], &bytes, &length))
    return NULL;
  return result_of(env, TEMP_FAILURE_RETRY(read(fd, bytes, length)));
}

/* ioctl(fd, request, value) */
static napi_value ioctl_number(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd;
  uint32_t request;
  int64_t value;
  if (!take_arguments(env, info, 3, values) || !to_int(env, values[0], &fd) ||
      !to_unsigned(env, values[1], &request) || !to_int64(env, values[2], &value))
    return NULL;
  return result_of(env, TEMP_FAILURE_RETRY(ioctl(fd, (unsigned long)request, value)));
}

/* pollNow(fd) */
static napi_value poll_now(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct pollfd entry = {.events = POLLIN};
  if (!take_arguments(env, info, 1, values) || !to_int(env, values[0], &entry.fd)) return NULL;
  int result = TEMP_FAILURE_RETRY(poll(&entry, 1, 0));
  return result > 0 ? number(env, entry.revents) : result_of(env, result);
}

NAPI_MODULE_INIT() {
  bool exported = export_function(env, exports, "ringSetup", ring_setup) &&
                  export_function(env, exports, "ringEnter", ring_enter) &&
                  export_function(env, exports, "ringRegister", ring_register) &&
                  export_function(env, exports, "eventfd", new_eventfd) &&
                  export_function(env, exports, "drainEventfd", drain_eventfd) &&
                  export_function(env, exports, "write", write_bytes) &&
                  export_function(env, exports, "read", read_bytes) &&
                  export_function(env, exports, "ioctl", ioctl_number) &&
                  export_function(env, exports, "pollNow", poll_now) &&
                  export_memory(env, exports) && export_watch(env, exports) &&
                  export_socket(env, exports) && export_linger(env, exports) &&
                  export_clock(env, exports);
  return exported ? exports : NULL;
}
