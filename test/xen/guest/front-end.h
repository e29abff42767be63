/*
 * What a front end in user space needs: xenstore, grants, an event channel, the handshake's states
 * (xenbus.h, xs_wire.h, gntalloc.h and evtchn.h of Linux and Xen). For a program that has named itself
 * by PROGRAM.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define PATH_BYTES 512
#define CONNECT_SECONDS 60

enum { XS_READ = 2, XS_WRITE = 11, XS_ERROR = 16 };
enum { INITIALISING = 1, INIT_WAIT, INITIALISED, CONNECTED, CLOSING, CLOSED };
enum { OP_READ = 0, OP_WRITE = 1, OP_FLUSH = 3, OP_DISCARD = 5, OP_INDIRECT = 6 };

struct xs_header { uint32_t type, req_id, tx_id, len; };
struct gref_alloc { uint16_t domid, flags; uint32_t count; uint64_t index; uint32_t gref; };
struct gref_free { uint64_t index; uint32_t count; };
#define GNTALLOC_ALLOC 0x184705
#define GNTALLOC_FREE 0x104706
#define EVTCHN_BIND_UNBOUND 0x44502
#define EVTCHN_NOTIFY 0x44504

struct page { void *bytes; uint64_t index; uint32_t gref; };

static int xenbus, gntalloc, evtchn;
static uint32_t port;

static void fail(const char *what) {
  printf(PROGRAM ": %s: %s\n", what, strerror(errno));
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void fully(ssize_t (*move)(int, void *, size_t), void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t moved = move(xenbus, (char *)bytes + done, length - done);
    if (moved <= 0) fail("xenbus");
    done += moved;
  }
}

static ssize_t put(int fd, void *bytes, size_t length) { return write(fd, bytes, length); }

/* One request to xenstored; the answer's length, or -1 for an error. */
static int xenstore(uint32_t type, const char *path, const char *value, char *answer) {
  char payload[PAGE];
  size_t length = strlen(path) + 1;
  memcpy(payload, path, length);
  if (value != NULL) {
    memcpy(payload + length, value, strlen(value));
    length += strlen(value);
  }
  struct xs_header header = { type, 1, 0, length };
  fully(put, &header, sizeof header);
  fully(put, payload, length);
  fully(read, &header, sizeof header);
  if (header.len >= PAGE) fail("a long answer");
  fully(read, answer, header.len);
  answer[header.len] = 0;
  return header.type == XS_ERROR ? -1 : (int)header.len;
}

static int number_at(const char *path) {
  char text[PAGE];
  return xenstore(XS_READ, path, NULL, text) < 0 ? -1 : atoi(text);
}

static void set_text(const char *directory, const char *name, const char *text) {
  char path[PATH_BYTES], answer[PAGE];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  if (xenstore(XS_WRITE, path, text, answer) < 0) fail(path);
}

static void set(const char *directory, const char *name, unsigned long value) {
  char text[32];
  snprintf(text, sizeof text, "%lu", value);
  set_text(directory, name, text);
}

static struct page share(void) {
  struct gref_alloc grant = { 0, 1, 1, 0, 0 };
  if (ioctl(gntalloc, GNTALLOC_ALLOC, &grant) < 0) fail("gntalloc");
  void *bytes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, gntalloc, grant.index);
  if (bytes == MAP_FAILED) fail("mmap of a granted page");
  memset(bytes, 0, PAGE);
  return (struct page){ bytes, grant.index, grant.gref };
}

static void await_state(const char *back, int wanted) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s/state", back);
  for (double end = seconds() + CONNECT_SECONDS; seconds() < end; usleep(50000))
    if (number_at(path) == wanted) return;
  printf(PROGRAM ": the back end %s did not reach state %d\n", back, wanted);
  exit(1);
}

static void open_devices(void) {
  xenbus = open("/dev/xen/xenbus", O_RDWR);
  gntalloc = open("/dev/xen/gntalloc", O_RDWR);
  evtchn = open("/dev/xen/evtchn", O_RDWR);
  if (xenbus < 0 || gntalloc < 0 || evtchn < 0) fail("/dev/xen");
}

/* The path of the back end's directory. */
static void find_back_end(const char *front, char *back) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s/backend", front);
  if (xenstore(XS_READ, path, NULL, back) < 0) fail(path);
}

/* From InitWait to Connected, with a ring of one page. */
static void offer(const char *front, const char *back, uint32_t ring_gref) {
  uint32_t remote = 0;
  int bound = ioctl(evtchn, EVTCHN_BIND_UNBOUND, &remote);
  if (bound < 0) fail("evtchn");
  port = bound;
  set(front, "ring-ref", ring_gref);
  set(front, "event-channel", port);
  set(front, "state", INITIALISED);
  await_state(back, CONNECTED);
  set(front, "state", CONNECTED);
}

static void kick(void) {
  uint32_t own = port;
  ioctl(evtchn, EVTCHN_NOTIFY, &own);
}
