/* The parts of a stand-in device that both sides share; see shm-device.h. */
#include "shm-device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(sizeof(union entry) == 112, "an entry is as blkif.h has it");
_Static_assert(sizeof(struct segment) == 8, "a segment is as blkif.h has it");
_Static_assert(offsetof(struct plain_request, segments) == 24, "segments");
_Static_assert(offsetof(struct indirect_request, handle) == 24, "indirect handle");
_Static_assert(offsetof(struct indirect_request, grefs) == 28, "indirect grefs");
_Static_assert(offsetof(struct response, status) == 10, "status");
_Static_assert(offsetof(struct ring, entries) == 64, "header");

enum { JSON_BYTES_MAX = 4096, PATH_BYTES_MAX = 4096, BELL_BYTES = 65536 };

void fail(const char *what, ...)
{
	int error = errno;
	va_list arguments;
	va_start(arguments, what);
	vfprintf(stderr, what, arguments);
	va_end(arguments);
	fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
	exit(1);
}

static const char *path_of(const struct shm_device *device, const char *file)
{
	static char path[PATH_BYTES_MAX];
	snprintf(path, sizeof path, "%s/%s", device->directory, file);
	return path;
}

static int open_file(const struct shm_device *device, const char *file, int flags)
{
	int fd = open(path_of(device, file), flags | O_CLOEXEC, 0600);
	if (fd < 0) fail("%s", path_of(device, file));
	return fd;
}

static bool read_text(const struct shm_device *device, const char *file, char *text)
{
	int fd = open(path_of(device, file), O_RDONLY | O_CLOEXEC);
	if (fd < 0) return false;
	ssize_t length = read(fd, text, JSON_BYTES_MAX - 1);
	close(fd);
	if (length < 0) return false;
	text[length] = 0;
	return true;
}

/* What follows "name": in JSON that one of us wrote, where no string holds a quoted name. */
static const char *value_of(const char *text, const char *name)
{
	char quoted[64];
	snprintf(quoted, sizeof quoted, "\"%s\":", name);
	const char *at = strstr(text, quoted);
	return at == NULL ? NULL : at + strlen(quoted);
}

static uint64_t number_of(const char *text, const char *name)
{
	const char *value = value_of(text, name);
	return value == NULL ? 0 : strtoull(value, NULL, 10);
}

static bool word_is(const char *text, const char *name, const char *word)
{
	const char *value = value_of(text, name);
	return value != NULL && value[0] == '"' && strncmp(value + 1, word, strlen(word)) == 0 &&
	       value[1 + strlen(word)] == '"';
}

static void read_geometry(struct shm_device *device)
{
	char text[JSON_BYTES_MAX];
	if (!read_text(device, "device.json", text)) fail("%s", path_of(device, "device.json"));
	if (number_of(text, "version") != 1 || !word_is(text, "abi", "native")) {
		errno = 0;
		fail("%s is not of version 1 and ABI native", path_of(device, "device.json"));
	}
	device->ring_pages = number_of(text, "ringPages");
	device->pages_per_slot = number_of(text, "dataPagesPerSlot");
	device->indirect_max = number_of(text, "indirectSegmentsMax");
	device->by_page = word_is(text, "addressing", "page");
	unsigned fit = (device->ring_pages * PAGE_BYTES - sizeof(struct ring)) / sizeof(union entry);
	for (device->entries = 1; device->entries * 2 <= fit;) device->entries *= 2;
	device->data_pages = device->entries * device->pages_per_slot;
}

static const char *const LOCKS[] = { "frontend.lock", "backend.lock" };
static const char *const STATES[] = { "frontend.json", "backend.json" };

void shm_open_device(struct shm_device *device, const char *directory, enum side side,
		     bool nonblocking)
{
	memset(device, 0, sizeof *device);
	device->directory = directory;
	device->side = side;
	read_geometry(device);
	int lock = open_file(device, LOCKS[side], O_RDWR);
	for (int left = 5; flock(lock, LOCK_EX | LOCK_NB) != 0; left--) {
		if (left == 0) fail("%s", path_of(device, LOCKS[side]));
		usleep(5000);
	}
	size_t ring_bytes = (size_t)device->ring_pages * PAGE_BYTES;
	device->data_bytes = (size_t)device->data_pages * PAGE_BYTES;
	int fd = open_file(device, "ring", O_RDWR);
	uint8_t *memory = mmap(NULL, ring_bytes + device->data_bytes, PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) fail("the memory of %s", directory);
	close(fd);
	device->ring = (struct ring *)memory;
	device->data = memory + ring_bytes;
	int flags = O_RDWR | (nonblocking ? O_NONBLOCK : 0);
	device->hear_fd = open_file(device, side == BACK ? "to-back" : "to-front", flags);
	device->bell_fd = open_file(device, side == BACK ? "to-front" : "to-back",
				    O_RDWR | O_NONBLOCK);
}

struct side_state shm_read_state(const struct shm_device *device, enum side side)
{
	static const char *const WORDS[] = { "initialising", "waiting", "connected", "closed" };
	struct side_state state = { 0 };
	char text[JSON_BYTES_MAX];
	if (!read_text(device, STATES[side], text)) return state;
	state.session = number_of(text, "session");
	state.sectors = number_of(text, "sectors");
	for (unsigned word = 0; word < sizeof WORDS / sizeof *WORDS; word++) {
		if (!word_is(text, "state", WORDS[word])) continue;
		state.known = true;
		strcpy(state.state, WORDS[word]);
	}
	return state;
}

void shm_announce(const struct shm_device *device, uint64_t session, const char *state,
		  uint64_t sectors)
{
	char text[JSON_BYTES_MAX], unfinished[PATH_BYTES_MAX], disk[128] = "";
	if (sectors > 0) {
		snprintf(disk, sizeof disk, ",\"disk\":{\"sectors\":%lu,\"readOnly\":false}",
			 (unsigned long)sectors);
	}
	int length = snprintf(text, sizeof text,
			      "{\"version\":1,\"pid\":%d,\"session\":%lu,\"state\":\"%s\"%s}\n",
			      getpid(), (unsigned long)session, state, disk);
	snprintf(unfinished, sizeof unfinished, "%s/%s.new", device->directory,
		 STATES[device->side]);
	int fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, length) != length || close(fd) != 0 ||
	    rename(unfinished, path_of(device, STATES[device->side])) != 0) {
		fail("%s", unfinished);
	}
}

bool shm_is_taken(const struct shm_device *device, enum side side)
{
	int lock = open_file(device, LOCKS[side], O_RDWR);
	bool taken = flock(lock, LOCK_EX | LOCK_NB) != 0;
	close(lock);
	return taken;
}

static void ring(const struct shm_device *device, char byte)
{
	/* A full FIFO is as good as one more byte. */
	if (write(device->bell_fd, &byte, 1) < 0 && errno != EAGAIN) fail("the doorbell");
}

void shm_ring_bell(const struct shm_device *device)
{
	ring(device, 0);
}

void shm_ring_state(const struct shm_device *device)
{
	ring(device, 's');
}

int shm_hear(const struct shm_device *device)
{
	static char bytes[BELL_BYTES];
	ssize_t length = read(device->hear_fd, bytes, sizeof bytes);
	if (length <= 0) {
		if (length < 0 && errno != EAGAIN && errno != EINTR) fail("the doorbell");
		return 0;
	}
	bool full = length == (ssize_t)sizeof bytes;
	return full || memchr(bytes, 's', length) != NULL ? 2 : 1;
}
