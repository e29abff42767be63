/*
 * A front end as Linux of 32 bits has it: `front32 DEVID FILE write|read close|vanish`, in a guest whose
 * own driver leaves the disk alone.
 *
 * It connects by the protocol x86_32-abi, also where a front end before it went without a word: then it
 * first resets the device as a kernel does that was started by kexec (xenbus_probe_frontend.c). `write`
 * writes the file to the beginning of the disk, in requests of every shape, and discards some of it and
 * writes that again; both then read it back and compare. `vanish` ends without closing. Layouts: blkif.h
 * and ring.h, with 64-bit fields at multiples of four.
 */
#define PROGRAM "front32"
#include "front-end.h"

#define SLOTS 32
#define SECTOR 512
#define DATA_PAGES 64
#define PLAIN_PAGES 11
#define ANSWER_SECONDS 60
#define DISCARDED (1 << 20)

struct segment { uint32_t gref; uint8_t first, last; uint16_t pad; };
#pragma pack(push, 4)
struct plain {
  uint8_t operation, segments;
  uint16_t handle;
  uint64_t id, sector;
  struct segment segment[PLAIN_PAGES];
};
struct indirect {
  uint8_t operation, inner;
  uint16_t segments;
  uint64_t id, sector;
  uint16_t handle;
  uint32_t gref[8];
};
struct discard {
  uint8_t operation, flag;
  uint16_t handle;
  uint64_t id, sector, sectors;
};
struct response { uint64_t id; uint8_t operation; int16_t status; };
#pragma pack(pop)
union request { struct plain plain; struct indirect indirect; struct discard discard; };
_Static_assert(sizeof(union request) == 108 && sizeof(struct response) == 12, "x86_32's sizes");
struct ring {
  volatile uint32_t req_prod, req_event, rsp_prod, rsp_event;
  uint8_t pad[48];
  uint8_t slot[SLOTS][sizeof(union request)];
};

static struct ring *ring;
static struct page data[DATA_PAGES], list;
static uint32_t done;

static void wrong(const char *what, uint64_t sector) {
  printf("front32: %s at sector %llu\n", what, (unsigned long long)sector);
  exit(1);
}

/* What a back end remembers of a front end that went is undone step by step. */
static void reset(const char *front, const char *back) {
  char path[PATH_BYTES + PAGE];
  snprintf(path, sizeof path, "%s/state", back);
  int state = number_at(path);
  printf("front32: the back end is in state %d\n", state);
  if (state == CONNECTED) {
    set(front, "state", CLOSING);
    await_state(back, CLOSING);
  }
  if (state == CONNECTED || state == CLOSING) {
    set(front, "state", CLOSED);
    await_state(back, CLOSED);
  }
  if (state >= CONNECTED) set(front, "state", INITIALISING);
  await_state(back, INIT_WAIT);
}

static void ask(union request *request) {
  uint32_t index = done;
  uint64_t id = request->plain.id = 0x123456789abc0000 + index;
  memcpy(ring->slot[index % SLOTS], request, sizeof *request);
  __sync_synchronize();
  ring->req_prod = index + 1;
  kick();
  for (double end = seconds() + ANSWER_SECONDS; ring->rsp_prod == index; usleep(200))
    if (seconds() > end) wrong("no answer", request->plain.sector);
  struct response response;
  memcpy(&response, ring->slot[index % SLOTS], sizeof response);
  done++;
  if (response.id != id) wrong("another request's answer", request->plain.sector);
  if (response.status != 0) wrong("an error", request->plain.sector);
}

/* As many pages as there are, by an indirect request. */
static void transfer_many(uint8_t operation, uint64_t sector, int pages) {
  struct segment *segments = list.bytes;
  for (int i = 0; i < pages; i++) segments[i] = (struct segment){ data[i].gref, 0, 7, 0 };
  union request request = { .indirect = { OP_INDIRECT, operation, pages, 0, sector, 0, { list.gref } } };
  ask(&request);
}

static void transfer_some(uint8_t operation, uint64_t sector, int pages) {
  union request request = { .plain = { .operation = operation, .segments = pages, .sector = sector } };
  for (int i = 0; i < pages; i++)
    request.plain.segment[i] = (struct segment){ data[i].gref, 0, 7, 0 };
  ask(&request);
}

/* One page's worth, of which the last five sectors lie in another page. */
static void transfer_split(uint8_t operation, uint64_t sector) {
  union request request = { .plain = { .operation = operation, .segments = 2, .sector = sector } };
  request.plain.segment[0] = (struct segment){ data[0].gref, 0, 2, 0 };
  request.plain.segment[1] = (struct segment){ data[1].gref, 3, 7, 0 };
  if (operation == OP_WRITE) memcpy(data[1].bytes, data[0].bytes, PAGE);
  ask(&request);
  if (operation == OP_READ)
    memcpy((char *)data[0].bytes + 3 * SECTOR, (char *)data[1].bytes + 3 * SECTOR, 5 * SECTOR);
}

/* Moves `length` bytes, whole pages, from or to the beginning of the disk. */
static void move(uint8_t operation, char *bytes, size_t length) {
  static const int shapes[] = { DATA_PAGES, PLAIN_PAGES, 1 };
  for (size_t at = 0, turn = 0; at < length; turn++) {
    size_t left = (length - at) / PAGE, shape = shapes[turn % 3];
    int pages = left < shape ? left : shape;
    for (int i = 0; i < pages && operation == OP_WRITE; i++)
      memcpy(data[i].bytes, bytes + at + i * PAGE, PAGE);
    if (pages > PLAIN_PAGES) transfer_many(operation, at / SECTOR, pages);
    else if (pages > 1) transfer_some(operation, at / SECTOR, pages);
    else transfer_split(operation, at / SECTOR);
    for (int i = 0; i < pages && operation == OP_READ; i++)
      memcpy(bytes + at + i * PAGE, data[i].bytes, PAGE);
    at += pages * PAGE;
  }
}

static void write_all(char *bytes, size_t length) {
  static char zeros[DISCARDED], found[DISCARDED];
  move(OP_WRITE, bytes, length);
  union request flush = { .plain = { .operation = OP_FLUSH } };
  ask(&flush);
  union request discard = { .discard = { .operation = OP_DISCARD, .sectors = DISCARDED / SECTOR } };
  ask(&discard);
  move(OP_READ, found, DISCARDED);
  if (memcmp(found, zeros, DISCARDED) != 0) wrong("something else than zeros after a discard", 0);
  move(OP_WRITE, bytes, DISCARDED);
}

static void compare_all(const char *bytes, size_t length) {
  char *found = malloc(length);
  move(OP_READ, found, length);
  for (size_t at = 0; at < length; at += SECTOR)
    if (memcmp(found + at, bytes + at, SECTOR) != 0) wrong("another content", at / SECTOR);
}

/* At least DISCARDED, and whole pages. */
static char *content_of(const char *path, size_t *length) {
  int file = open(path, O_RDONLY);
  off_t end = file < 0 ? -1 : lseek(file, 0, SEEK_END);
  if (end < DISCARDED || end % PAGE != 0) fail(path);
  *length = end;
  char *bytes = mmap(NULL, end, PROT_READ, MAP_PRIVATE, file, 0);
  if (bytes == MAP_FAILED) fail(path);
  return bytes;
}

int main(int count, char **words) {
  char front[64], back[PAGE];
  if (count != 5) return printf("front32 DEVID FILE write|read close|vanish\n"), 2;
  open_devices();
  snprintf(front, sizeof front, "device/vbd/%s", words[1]);
  size_t length;
  char *bytes = content_of(words[2], &length);
  find_back_end(front, back);
  reset(front, back);
  struct page page = share();
  ring = page.bytes;
  ring->req_event = ring->rsp_event = 1;
  list = share();
  for (int i = 0; i < DATA_PAGES; i++) data[i] = share();
  set_text(front, "protocol", "x86_32-abi");
  offer(front, back, page.gref);
  if (strcmp(words[3], "write") == 0) write_all(bytes, length);
  compare_all(bytes, length);
  printf("front32: %u requests, %zu bytes compared\n", done, length);
  if (strcmp(words[4], "close") != 0) return 0;
  set(front, "state", CLOSING);
  set(front, "state", CLOSED);
  await_state(back, CLOSED);
  return 0;
}
