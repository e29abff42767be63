/*
 * A front end that breaks the rules: `hostile DEVID ATTACK [SECONDS]`, in a guest without blkfront.
 *
 * It connects to the back end of device/vbd/DEVID as blkfront does (xenbus.h, blkif.h, ring.h), then
 * attacks, tells in one line what was answered and the back end's state, and closes, so that the next
 * can connect.
 */
#define PROGRAM "hostile"
#include "front-end.h"

#define SLOTS 32
#define SLOT_BYTES 112
#define DATA_PAGES 11

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

static uint32_t produced, consumed;
static unsigned long okay, refused;
static struct ring *ring;
static struct page data[DATA_PAGES];

static uint64_t chance(void) {
  static uint64_t state = 0x9e3779b97f4a7c15;
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static void unshare(struct page *page) {
  struct gref_free grant = { page->index, 1 };
  munmap(page->bytes, PAGE);
  ioctl(gntalloc, GNTALLOC_FREE, &grant);
}

static void connect_ring(const char *front, char *back) {
  find_back_end(front, back);
  await_state(back, INIT_WAIT);
  struct page page = share();
  ring = page.bytes;
  ring->req_event = ring->rsp_event = 1;
  for (int i = 0; i < DATA_PAGES; i++) data[i] = share();
  offer(front, back, page.gref);
}

/* As a driver that is unloaded, and loaded again. */
static void disconnect(const char *front, const char *back) {
  set(front, "state", CLOSING);
  set(front, "state", CLOSED);
  await_state(back, CLOSED);
  set(front, "state", INITIALISING);
  await_state(back, INIT_WAIT);
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
  open_devices();
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
