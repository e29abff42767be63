{
  'targets': [
    {
      'target_name': 'tapdisk_native',
      'sources': [
        'addon.c', 'callback.c', 'clock.c', 'linger.c', 'memory.c', 'socket.c', 'watch.c',
      ],
      'cflags': ['-std=gnu11', '-O2', '-Wall', '-Wextra'],
      'defines': ['NAPI_VERSION=8'],
    },
  ],
}
