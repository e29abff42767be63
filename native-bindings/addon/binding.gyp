{
  'targets': [
    {
      'target_name': 'tapdisk_native',
      'sources': ['addon.c', 'memory.c', 'watch.c', 'socket.c'],
      'cflags': ['-std=gnu11', '-O2', '-Wall', '-Wextra'],
      'defines': ['NAPI_VERSION=8'],
    },
  ],
}
