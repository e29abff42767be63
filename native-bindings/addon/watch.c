/*
 * Calls JS back when a file becomes readable, from Node's own event loop.
 *
 * An edge watch holds an epoll file of its own, in which the watched file is registered with
 * EPOLLET, and libuv polls that epoll file. libuv itself is level-triggered: one blktap2 kernel
 * module says POLLIN for as long as any request is unanswered, which would spin a core. In
 * another, and in blktap1, asking (poll) is what publishes requests, and the answer is given once:
 * so when libuv says that the epoll file is readable, the call back is made whatever epoll_wait
 * says a moment later.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#include "arguments.h"
#include "callback.h"

#define NO_FILE (-1)

/* Lives until libuv has closed the handle and JS has dropped its object. */
typedef struct {
  uv_poll_t handle;
  callback on_readable;
  napi_async_cleanup_hook_handle cleanup;
  int epoll_fd;
  bool stopped;
  int owners;
} watch;

static const napi_type_tag WATCH_TAG = {0x7461706469736b74ULL, 0x732d776174636821ULL};

static void release(watch *self) {
  if (--self->owners == 0) free(self);
}

static void on_closed(uv_handle_t *handle) {
  watch *self = handle->data;
  napi_remove_async_cleanup_hook(self->cleanup);
  release(self);
}

static void stop(watch *self) {
  if (self->stopped) return;
  self->stopped = true;
  uv_poll_stop(&self->handle);
  if (self->epoll_fd != NO_FILE) close(self->epoll_fd);
  callback_drop(&self->on_readable);
  uv_close((uv_handle_t *)&self->handle, on_closed);
}

/* The environment ends while the watch is alive: a worker thread stops, or the process. */
static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  stop(data);
}

static void on_dropped(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  release(data);
}

static void on_event(uv_poll_t *handle, int status, int events) {
  (void)status;
  (void)events;
  watch *self = handle->data;
  if (self->epoll_fd != NO_FILE) {
    struct epoll_event event;
    epoll_wait(self->epoll_fd, &event, 1, 0);
  }
  callback_call(&self->on_readable);
}

/* Begins a watch of `fd`, or of an epoll file that it is registered in; 0 or minus an errno. */
static int begin(watch *self, uv_loop_t *loop, int fd, bool edge) {
  self->epoll_fd = NO_FILE;
  if (edge) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd == NO_FILE) return -errno;
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == -1) return -errno;
    fd = self->epoll_fd;
  }
  return uv_poll_init(loop, &self->handle, fd);
}

static napi_value new_watch(napi_env env, napi_callback_info info, bool edge) {
  napi_value values[2], object;
  int32_t fd;
  uv_loop_t *loop;
  if (!take_arguments(env, info, 2, values) || !to_int(env, values[0], &fd)) return NULL;
  watch *self = calloc(1, sizeof *self);
  if (self == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    free(self);
    return number(env, -ENOMEM);
  }
  if (!callback_keep(env, values[1], "tapdisk-watch", &self->on_readable)) {
    free(self);
    return NULL;
  }
  int result = begin(self, loop, fd, edge);
  if (result != 0) {
    if (self->epoll_fd != NO_FILE) close(self->epoll_fd);
    callback_drop(&self->on_readable);
    free(self);
    return number(env, result);
  }
  self->handle.data = self;
  self->owners = 2;
  napi_add_async_cleanup_hook(env, on_environment_end, self, &self->cleanup);
  napi_create_object(env, &object);
  napi_type_tag_object(env, object, &WATCH_TAG);
  napi_wrap(env, object, self, on_dropped, NULL, NULL);
  result = uv_poll_start(&self->handle, UV_READABLE, on_event);
  if (result != 0) {
    stop(self);
    return number(env, result);
  }
  return object;
}

/* watchEdge(fd, onReadable) */
static napi_value watch_edge(napi_env env, napi_callback_info info) {
  return new_watch(env, info, true);
}

/* watchLevel(fd, onReadable) */
static napi_value watch_level(napi_env env, napi_callback_info info) {
  return new_watch(env, info, false);
}

static watch *to_watch(napi_env env, napi_value value) {
  void *self = NULL;
  bool ours = false;
  if (napi_check_object_type_tag(env, value, &WATCH_TAG, &ours) == napi_ok && ours &&
      napi_unwrap(env, value, &self) == napi_ok)
    return self;
  napi_throw_type_error(env, NULL, "a watch is expected");
  return NULL;
}

/* watchReference(watch, keepAlive) */
static napi_value watch_reference(napi_env env, napi_callback_info info) {
  napi_value values[2];
  bool keep_alive = false;
  if (!take_arguments(env, info, 2, values)) return NULL;
  watch *self = to_watch(env, values[0]);
  if (self == NULL || self->stopped) return NULL;
  napi_get_value_bool(env, values[1], &keep_alive);
  if (keep_alive)
    uv_ref((uv_handle_t *)&self->handle);
  else
    uv_unref((uv_handle_t *)&self->handle);
  return NULL;
}

/* watchStop(watch) */
static napi_value watch_stop(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (!take_arguments(env, info, 1, values)) return NULL;
  watch *self = to_watch(env, values[0]);
  if (self != NULL) stop(self);
  return NULL;
}

bool export_watch(napi_env env, napi_value exports) {
  return export_function(env, exports, "watchEdge", watch_edge) &&
         export_function(env, exports, "watchLevel", watch_level) &&
         export_function(env, exports, "watchReference", watch_reference) &&
         export_function(env, exports, "watchStop", watch_stop);
}
