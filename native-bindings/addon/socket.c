/* What a server of stream sockets needs once a batch of replies, and once a connection. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arguments.h"

/* native-bindings/stream-socket.ts writes these by offset. */
_Static_assert(sizeof(struct iovec) == 16, "iovec");

/* sendVector(fd, vectors, count): never waits, never raises SIGPIPE */
static napi_value send_vector(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd;
  uint32_t count;
  void *vectors;
  size_t length;
  if (!take_arguments(env, info, 3, values) || !to_int(env, values[0], &fd) ||
      !to_bytes(env, values[1], &vectors, &length) || !to_unsigned(env, values[2], &count))
    return NULL;
  if (count > length / sizeof(struct iovec)) return number(env, -EINVAL);
  struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
  return result_of(
      env, TEMP_FAILURE_RETRY(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)));
}

/* duplicate(fd) */
static napi_value duplicate(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!take_arguments(env, info, 1, values) || !to_int(env, values[0], &fd)) return NULL;
  return result_of(env, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/* setSendBuffer(fd, bytes) */
static napi_value set_send_buffer(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd, bytes;
  if (!take_arguments(env, info, 2, values) || !to_int(env, values[0], &fd) ||
      !to_int(env, values[1], &bytes))
    return NULL;
  return result_of(env, setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
}

bool export_socket(napi_env env, napi_value exports) {
  return export_function(env, exports, "sendVector", send_vector) &&
         export_function(env, exports, "duplicate", duplicate) &&
         export_function(env, exports, "setSendBuffer", set_send_buffer);
}
