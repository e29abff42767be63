/* Taking a function's arguments apart, and giving its result: shared by the addon's files. */
#ifndef TAPDISK_TS_ARGUMENTS_H
#define TAPDISK_TS_ARGUMENTS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most arguments any function here takes. */
#define ARGUMENTS_MAX 6

/* Reads exactly `count` arguments; throws a TypeError and returns false where there are fewer. */
bool take_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);

/* Each throws a TypeError and returns false where the value is of another type. */
bool to_int(napi_env env, napi_value value, int32_t *result);
bool to_unsigned(napi_env env, napi_value value, uint32_t *result);
bool to_int64(napi_env env, napi_value value, int64_t *result);
bool to_bytes(napi_env env, napi_value value, void **bytes, size_t *length);

/* A JS number: exact up to 2^53. */
napi_value number(napi_env env, double value);

/* `result` where a system call succeeded, minus its errno where it returned -1. */
napi_value result_of(napi_env env, long result);

bool export_function(napi_env env, napi_value exports, const char *name, napi_callback function);

/* The addon's parts. */
bool export_memory(napi_env env, napi_value exports);
bool export_watch(napi_env env, napi_value exports);
bool export_socket(napi_env env, napi_value exports);
bool export_linger(napi_env env, napi_value exports);
bool export_clock(napi_env env, napi_value exports);

#endif
