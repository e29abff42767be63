/* A JS function that is called from libuv's loop, outside any other call. */
#ifndef TAPDISK_TS_CALLBACK_H
#define TAPDISK_TS_CALLBACK_H

#include <node_api.h>
#include <stdbool.h>

typedef struct {
  napi_env env;
  napi_ref function;
  napi_async_context context;
} callback;

/* Keeps `function` for later; throws a TypeError and returns false where it is none. */
bool callback_keep(napi_env env, napi_value function, const char *name, callback *self);

/* Calls it, then runs microtasks. What it throws is an uncaught exception. */
void callback_call(callback *self);

void callback_drop(callback *self);

#endif
