/* Calls JS from libuv's loop. */
#include "callback.h"

bool callback_keep(napi_env env, napi_value function, const char *name, callback *self) {
  napi_value resource_name;
  napi_valuetype type;
  self->env = env;
  if (napi_typeof(env, function, &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, NULL, "a function is expected");
    return false;
  }
  return napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource_name) == napi_ok &&
         napi_create_reference(env, function, 1, &self->function) == napi_ok &&
         napi_async_init(env, NULL, resource_name, &self->context) == napi_ok;
}

void callback_call(callback *self) {
  napi_env env = self->env;
  napi_handle_scope scope;
  napi_value global, function, result, exception;
  bool pending = false;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_global(env, &global) == napi_ok &&
      napi_get_reference_value(env, self->function, &function) == napi_ok) {
    napi_make_callback(env, self->context, global, function, 0, NULL, &result);
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
        napi_get_and_clear_last_exception(env, &exception) == napi_ok)
      napi_fatal_exception(env, exception);
  }
  napi_close_handle_scope(env, scope);
}

void callback_drop(callback *self) {
  napi_delete_reference(self->env, self->function);
  napi_async_destroy(self->env, self->context);
}
