/* Shared mappings as ArrayBuffers, and the addresses of bytes. */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "arguments.h"

/*
 * The garbage collector must not unmap: the kernel may still be writing there. A mapping ends with
 * `unmap` or with the process.
 */
static void keep_mapped(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  (void)hint;
}

/* map(fd, lengthBytes, offsetBytes) */
static napi_value map(napi_env env, napi_callback_info info) {
  napi_value values[3], memory;
  int32_t fd;
  int64_t length, offset;
  if (!take_arguments(env, info, 3, values) || !to_int(env, values[0], &fd) ||
      !to_int64(env, values[1], &length) || !to_int64(env, values[2], &offset))
    return NULL;
  if (length <= 0) return number(env, -EINVAL);
  void *address = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
  if (address == MAP_FAILED) return number(env, -errno);
  if (napi_create_external_arraybuffer(env, address, (size_t)length, keep_mapped, NULL, &memory) !=
      napi_ok) {
    munmap(address, (size_t)length);
    return number(env, -ENOMEM);
  }
  return memory;
}

/* unmap(memory): the bytes are taken away from JS first, so that a late touch cannot fault. */
static napi_value unmap(napi_env env, napi_callback_info info) {
  napi_value values[1];
  void *address;
  size_t length;
  if (!take_arguments(env, info, 1, values)) return NULL;
  if (napi_get_arraybuffer_info(env, values[0], &address, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "an ArrayBuffer is expected");
    return NULL;
  }
  if (length == 0) return number(env, -EINVAL);
  if (napi_detach_arraybuffer(env, values[0]) != napi_ok) return number(env, -EBUSY);
  return result_of(env, munmap(address, length));
}

/* addressOf(bytes) */
static napi_value address_of(napi_env env, napi_callback_info info) {
  napi_value values[1];
  void *bytes;
  size_t length;
  if (!take_arguments(env, info, 1, values) || !to_bytes(env, values[0], &bytes, &length))
    return NULL;
  return number(env, (double)(uintptr_t)bytes);
}

bool export_memory(napi_env env, napi_value exports) {
  return export_function(env, exports, "map", map) &&
         export_function(env, exports, "unmap", unmap) &&
         export_function(env, exports, "addressOf", address_of);
}
