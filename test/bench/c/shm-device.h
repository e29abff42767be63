/*
 * A stand-in device (docs/formats-shm.md) as both C programs of the bench see it: its shape, its
 * memory, its doorbells and state files, and the ring's layout (xen/include/public/io/blkif.h).
 */
#ifndef SHM_DEVICE_H
#define SHM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PAGE_BYTES = 4096,
	SECTOR_BYTES = 512,
	PLAIN_SEGMENTS_MAX = 11,
	INDIRECT_SEGMENTS_MAX = 256,
	INDIRECT_PAGES = 8,
};

enum { OP_READ = 0, OP_WRITE = 1, OP_INDIRECT = 6 };
enum { RSP_OKAY = 0, RSP_ERROR = -1, RSP_EOPNOTSUPP = -2 };

struct segment {
	uint32_t gref;
	uint8_t first_sect, last_sect;
	uint16_t padding;
};

/* Padded as a compiler for x86_64 pads them: the `native` ABI. */
struct plain_request {
	uint8_t operation, nr_segments;
	uint16_t handle;
	uint32_t padding;
	uint64_t id;
	uint64_t sector;
	struct segment segments[PLAIN_SEGMENTS_MAX];
};

struct indirect_request {
	uint8_t operation, indirect_operation;
	uint16_t nr_segments;
	uint32_t padding;
	uint64_t id;
	uint64_t sector;
	uint16_t handle, padding2;
	uint32_t grefs[INDIRECT_PAGES];
};

struct response {
	uint64_t id;
	uint8_t operation, padding;
	int16_t status;
};

union entry {
	struct plain_request plain;
	struct indirect_request indirect;
	struct response response;
};

struct ring {
	uint32_t req_prod, req_event, rsp_prod, rsp_event;
	uint8_t padding[48];
	union entry entries[];
};

enum side { FRONT, BACK };

struct shm_device {
	const char *directory;
	enum side side;
	unsigned ring_pages, entries, pages_per_slot, indirect_max, data_pages;
	bool by_page;
	struct ring *ring;
	uint8_t *data;
	size_t data_bytes;
	int hear_fd, bell_fd;
};

struct side_state {
	bool known;
	uint64_t session;
	char state[16];
	uint64_t sectors;
};

/* Ends the process with a sentence where something fails: a bench has nothing to rescue. */
_Noreturn void fail(const char *what, ...) __attribute__((format(printf, 1, 2)));

/* Takes one side's lock, maps the memory, opens the doorbells. */
void shm_open_device(struct shm_device *device, const char *directory, enum side side,
		     bool nonblocking);
struct side_state shm_read_state(const struct shm_device *device, enum side side);
/* `sectors` is of a connected back end; elsewhere 0. */
void shm_announce(const struct shm_device *device, uint64_t session, const char *state,
		  uint64_t sectors);
/* Whether a living process is that side. */
bool shm_is_taken(const struct shm_device *device, enum side side);
/* "Look at the ring", and "look at my state file, too". */
void shm_ring_bell(const struct shm_device *device);
void shm_ring_state(const struct shm_device *device);
/* What was heard: 0 nothing, 1 look at the ring, 2 look at the state, too. */
int shm_hear(const struct shm_device *device);

static inline uint32_t load_index(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_SEQ_CST);
}

static inline void store_index(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_SEQ_CST);
}

#endif
