/*
 * Waits in an io_uring instead of in libuv's loop, for as long as there is much to do.
 *
 * One io_uring_enter then hands a batch over, sleeps, and brings the next completions: no eventfd
 * and no epoll in between. It happens in turns, in libuv's prepare phase; between two turns libuv
 * looks at its own files without sleeping. A sleep is bounded by its own time-out, which is never
 * later than libuv's next timer; and there is none unless libuv's epoll file is polled in the ring.
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

/* Words shared with JS: native-bindings/uring-control.ts says what each is. */
enum { TO_SUBMIT, ENTERED, BACKEND_ARMED, QUIET, HEARD, CONTROL_WORDS };

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* Lives until libuv has closed both handles and JS has dropped its object. */
typedef struct {
  uv_prepare_t turn;
  /* Active between two turns: libuv does not sleep then. */
  uv_idle_t no_sleep;
  napi_async_cleanup_hook_handle cleanup;
  napi_ref control_memory;
  volatile int32_t *control;
  uint64_t turn_ns, linger_ns;
  /* When it has been quiet for long enough, by uv_hrtime. */
  uint64_t quiet_at;
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

/* Hands over what there is and waits for a completion, for at most `wait_ns`. */
static void enter(linger *self, uint64_t wait_ns) {
  volatile int32_t *control = self->control;
  unsigned flags = self->enter_flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  struct __kernel_timespec time_out = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
  struct io_uring_getevents_arg argument = {.ts = (uintptr_t)&time_out};
  long result = syscall(__NR_io_uring_enter, self->ring_fd, control[TO_SUBMIT], wait_ns > 0 ? 1 : 0,
                        flags, &argument, sizeof argument);
  control[ENTERED] = result == -1 ? -errno : (int32_t)result;
  if (result > 0) control[TO_SUBMIT] -= (int32_t)result;
}

/* How long the next sleep may last, if libuv's next timer is due in `timer_ms` (below 0: none is). */
static uint64_t wait_limit(linger *self, uint64_t now, int timer_ms) {
  if (!self->control[BACKEND_ARMED] || now >= self->quiet_at) return 0;
  uint64_t until_quiet = self->quiet_at - now;
  uint64_t until_timer = timer_ms < 0 ? UINT64_MAX : (uint64_t)timer_ms * NS_PER_MS;
  return until_timer < until_quiet ? until_timer : until_quiet;
}

static void on_turn(uv_prepare_t *handle) {
  linger *self = handle->data;
  volatile int32_t *control = self->control;
  uint64_t now = uv_hrtime(), end = now + self->turn_ns;
  int timer_ms;
  uv_idle_stop(&self->no_sleep);
  do {
    uv_update_time(handle->loop);
    /*
     * 0 also where setImmediate, handles being closed, or files that libuv has not put into its
     * epoll file yet, want its loop to go on now.
     */
    timer_ms = uv_backend_timeout(handle->loop);
    enter(self, wait_limit(self, now, timer_ms));
    control[QUIET] = uv_hrtime() >= self->quiet_at;
    callback_call(&self->on_entered);
    if (!self->running) return;
    now = uv_hrtime();
    if (control[HEARD]) self->quiet_at = now + self->linger_ns;
  } while (timer_ms != 0 && control[BACKEND_ARMED] && now < end);
  uv_idle_start(&self->no_sleep, on_no_sleep);
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

/* lingerNew(ringFd, enterFlags, control, lingerUs, turnUs, onEntered) */
static napi_value linger_new(napi_env env, napi_callback_info info) {
  napi_value values[6], object;
  int32_t ring_fd;
  uint32_t enter_flags, linger_us, turn_us;
  void *control;
  size_t length;
  uv_loop_t *loop;
  if (!take_arguments(env, info, 6, values) || !to_int(env, values[0], &ring_fd) ||
      !to_unsigned(env, values[1], &enter_flags) || !to_bytes(env, values[2], &control, &length) ||
      !to_unsigned(env, values[3], &linger_us) || !to_unsigned(env, values[4], &turn_us))
    return NULL;
  if (length != CONTROL_WORDS * sizeof(int32_t)) return number(env, -EINVAL);
  linger *self = calloc(1, sizeof *self);
  if (self == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    free(self);
    return number(env, -ENOMEM);
  }
  if (!callback_keep(env, values[5], "tapdisk-linger", &self->on_entered)) {
    free(self);
    return NULL;
  }
  self->ring_fd = ring_fd;
  self->enter_flags = enter_flags;
  self->control = control;
  self->linger_ns = linger_us * NS_PER_US;
  self->turn_ns = turn_us * NS_PER_US;
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
  self->quiet_at = uv_hrtime() + self->linger_ns;
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
