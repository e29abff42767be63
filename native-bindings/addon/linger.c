/*
 * Waits in an io_uring instead of in libuv's loop, for as long as there is much to do.
 *
 * One io_uring_enter then hands a batch over, sleeps, and brings the next completions: no eventfd
 * and no epoll in between. It happens in turns, in libuv's prepare phase; between two turns libuv
 * looks at its own files without sleeping. There is no time-out here, because arming one for each
 * wait costs several microseconds on a virtual machine: an entry of the ring (a timer, a poll of
 * libuv's epoll file) must end each sleep that has gone on for long enough.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "arguments.h"
#include "callback.h"

/* Words shared with native-bindings/uring-linger.ts. */
enum {
  /* Entries to hand over: JS adds, a turn subtracts what the kernel took. */
  TO_SUBMIT,
  /* What io_uring_enter returned, or minus its errno. */
  ENTERED,
  /* Set by JS: enter again, unless the turn has lasted long enough. */
  GO_ON,
  CONTROL_WORDS
};

/* Lives until libuv has closed both handles and JS has dropped its object. */
typedef struct {
  uv_prepare_t turn;
  /* Active between two turns: libuv does not sleep then. */
  uv_idle_t no_sleep;
  napi_async_cleanup_hook_handle cleanup;
  napi_ref control_memory;
  volatile int32_t *control;
  uint64_t turn_ns;
  callback on_entered;
  int ring_fd;
  unsigned enter_flags;
  bool running, closed;
  int owners;
} linger;

static const napi_type_tag LINGER_TAG = {0x7461706469736b74ULL, 0x732d6c696e676572ULL};

static void release(linger *self) {
  if (--self->owners == 0) free(self);
}

static void on_turn_closed(uv_handle_t *handle) {
  linger *self = handle->data;
  napi_remove_async_cleanup_hook(self->cleanup);
  release(self);
}

static void on_no_sleep_closed(uv_handle_t *handle) {
  release(handle->data);
}

static void on_no_sleep(uv_idle_t *handle) {
  (void)handle;
}

static void enter(linger *self, bool may_sleep) {
  volatile int32_t *control = self->control;
  long result = syscall(__NR_io_uring_enter, self->ring_fd, control[TO_SUBMIT], may_sleep ? 1 : 0,
                        self->enter_flags | IORING_ENTER_GETEVENTS, NULL, 0);
  control[ENTERED] = result == -1 ? -errno : (int32_t)result;
  if (result > 0) control[TO_SUBMIT] -= (int32_t)result;
}

static void on_turn(uv_prepare_t *handle) {
  linger *self = handle->data;
  uint64_t end = uv_hrtime() + self->turn_ns;
  bool may_sleep;
  uv_idle_stop(&self->no_sleep);
  do {
    /* setImmediate, and handles being closed, want libuv's loop to go on now. */
    may_sleep = uv_backend_timeout(handle->loop) != 0;
    enter(self, may_sleep);
    self->control[GO_ON] = 0;
    callback_call(&self->on_entered);
  } while (self->running && may_sleep && self->control[GO_ON] && uv_hrtime() < end);
  if (self->running) uv_idle_start(&self->no_sleep, on_no_sleep);
}

static void stop(linger *self) {
  self->running = false;
  uv_prepare_stop(&self->turn);
  uv_idle_stop(&self->no_sleep);
}

static void close_all(linger *self) {
  if (self->closed) return;
  self->closed = true;
  stop(self);
  napi_delete_reference(self->on_entered.env, self->control_memory);
  callback_drop(&self->on_entered);
  uv_close((uv_handle_t *)&self->no_sleep, on_no_sleep_closed);
  uv_close((uv_handle_t *)&self->turn, on_turn_closed);
}

static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  close_all(data);
}

static void on_dropped(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  release(data);
}

/* lingerNew(ringFd, enterFlags, control, turnUs, onEntered) */
static napi_value linger_new(napi_env env, napi_callback_info info) {
  napi_value values[5], object;
  int32_t ring_fd;
  uint32_t enter_flags, turn_us;
  void *control;
  size_t length;
  uv_loop_t *loop;
  if (!take_arguments(env, info, 5, values) || !to_int(env, values[0], &ring_fd) ||
      !to_unsigned(env, values[1], &enter_flags) || !to_bytes(env, values[2], &control, &length) ||
      !to_unsigned(env, values[3], &turn_us))
    return NULL;
  if (length != CONTROL_WORDS * sizeof(int32_t)) return number(env, -EINVAL);
  linger *self = calloc(1, sizeof *self);
  if (self == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    free(self);
    return number(env, -ENOMEM);
  }
  if (!callback_keep(env, values[4], "tapdisk-linger", &self->on_entered)) {
    free(self);
    return NULL;
  }
  self->ring_fd = ring_fd;
  self->enter_flags = enter_flags;
  self->control = control;
  self->turn_ns = (uint64_t)turn_us * 1000;
  self->owners = 3;
  uv_prepare_init(loop, &self->turn);
  uv_idle_init(loop, &self->no_sleep);
  self->turn.data = self->no_sleep.data = self;
  /* What keeps the process alive is what it waits for, not that it waits here. */
  uv_unref((uv_handle_t *)&self->turn);
  uv_unref((uv_handle_t *)&self->no_sleep);
  napi_create_reference(env, values[2], 1, &self->control_memory);
  napi_add_async_cleanup_hook(env, on_environment_end, self, &self->cleanup);
  napi_create_object(env, &object);
  napi_type_tag_object(env, object, &LINGER_TAG);
  napi_wrap(env, object, self, on_dropped, NULL, NULL);
  return object;
}

static linger *to_linger(napi_env env, napi_callback_info info) {
  napi_value values[1];
  void *self = NULL;
  bool ours = false;
  if (!take_arguments(env, info, 1, values)) return NULL;
  if (napi_check_object_type_tag(env, values[0], &LINGER_TAG, &ours) == napi_ok && ours &&
      napi_unwrap(env, values[0], &self) == napi_ok)
    return self;
  napi_throw_type_error(env, NULL, "a linger is expected");
  return NULL;
}

/* lingerStart(linger) */
static napi_value linger_start(napi_env env, napi_callback_info info) {
  linger *self = to_linger(env, info);
  if (self == NULL || self->closed) return NULL;
  self->running = true;
  uv_prepare_start(&self->turn, on_turn);
  return NULL;
}

/* lingerStop(linger) */
static napi_value linger_stop(napi_env env, napi_callback_info info) {
  linger *self = to_linger(env, info);
  if (self != NULL && !self->closed) stop(self);
  return NULL;
}

/* lingerClose(linger) */
static napi_value linger_close(napi_env env, napi_callback_info info) {
  linger *self = to_linger(env, info);
  if (self != NULL) close_all(self);
  return NULL;
}

/* backendFd(): libuv's epoll file, readable while the loop has something to look at */
static napi_value backend_fd(napi_env env, napi_callback_info info) {
  uv_loop_t *loop;
  (void)info;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return number(env, -EINVAL);
  return number(env, uv_backend_fd(loop));
}

bool export_linger(napi_env env, napi_value exports) {
  return export_function(env, exports, "lingerNew", linger_new) &&
         export_function(env, exports, "lingerStart", linger_start) &&
         export_function(env, exports, "lingerStop", linger_stop) &&
         export_function(env, exports, "lingerClose", linger_close) &&
         export_function(env, exports, "backendFd", backend_fd);
}
