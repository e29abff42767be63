/*
 * back-end DIRECTORY FILE SECTORS [direct]: serves FILE on a stand-in device's ring, in C, with the
 * structure of tapdisk-ts: one thread, woken by the doorbell or by io_uring's eventfd; one
 * io_uring_enter and one doorbell a batch; data read into and written from the ring's own pages.
 * What is not a read or write of sound segments is answered with an error.
 */
/* For O_DIRECT. */
#define _GNU_SOURCE
#include "shm-device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	/* 512 requests of 256 segments that lie apart. */
	SUBMISSIONS = 4096,
	COMPLETIONS = 16384,
	REQUESTS_MAX = 512,
	REGISTERED_BYTES_MAX = 1 << 30,
};

struct uring {
	int fd, eventfd;
	uint32_t *sq_tail, *sq_mask, *sq_flags, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	uint32_t tail, unsubmitted;
	bool registered_memory, registered_file;
};

struct request {
	uint64_t id;
	uint32_t pending;
	int16_t status;
	uint8_t operation;
};

static struct shm_device device;
static struct uring uring;
static struct request requests[REQUESTS_MAX];
static uint16_t free_requests[REQUESTS_MAX];
static unsigned free_count;
static uint32_t req_cons, rsp_prod, rsp_pushed;
static uint64_t sectors, session;
static int file_fd;

static int enter(unsigned submit, unsigned flags)
{
	return syscall(__NR_io_uring_enter, uring.fd, submit, 0, flags, NULL, 0);
}

static int set_up(unsigned flags, struct io_uring_params *params)
{
	memset(params, 0, sizeof *params);
	params->flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | flags;
	params->cq_entries = COMPLETIONS;
	return syscall(__NR_io_uring_setup, SUBMISSIONS, params);
}

static void open_uring(void)
{
	struct io_uring_params params;
	uring.fd = set_up(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, &params);
	if (uring.fd < 0) uring.fd = set_up(0, &params);
	if (uring.fd < 0) fail("io_uring_setup");
	size_t ring_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	size_t array_end = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	if (array_end > ring_bytes) ring_bytes = array_end;
	uint8_t *rings = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, uring.fd,
			      IORING_OFF_SQ_RING);
	uring.sqes = mmap(NULL, params.sq_entries * sizeof *uring.sqes, PROT_READ | PROT_WRITE,
			  MAP_SHARED, uring.fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || uring.sqes == MAP_FAILED) fail("the rings of io_uring");
	uring.sq_tail = (uint32_t *)(rings + params.sq_off.tail);
	uring.sq_mask = (uint32_t *)(rings + params.sq_off.ring_mask);
	uring.sq_flags = (uint32_t *)(rings + params.sq_off.flags);
	uring.cq_head = (uint32_t *)(rings + params.cq_off.head);
	uring.cq_tail = (uint32_t *)(rings + params.cq_off.tail);
	uring.cq_mask = (uint32_t *)(rings + params.cq_off.ring_mask);
	uring.cqes = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
	uint32_t *array = (uint32_t *)(rings + params.sq_off.array);
	for (unsigned at = 0; at < params.sq_entries; at++) array[at] = at;
	uring.eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (syscall(__NR_io_uring_register, uring.fd, IORING_REGISTER_EVENTFD, &uring.eventfd, 1)) {
		fail("IORING_REGISTER_EVENTFD");
	}
	uring.registered_file =
		syscall(__NR_io_uring_register, uring.fd, IORING_REGISTER_FILES, &file_fd, 1) == 0;
	struct iovec area = { device.data, device.data_bytes };
	/* Where the memory is of a kind, or a size, that may not be pinned: unregistered. */
	uring.registered_memory =
		device.data_bytes <= REGISTERED_BYTES_MAX &&
		syscall(__NR_io_uring_register, uring.fd, IORING_REGISTER_BUFFERS, &area, 1) == 0;
}

static void submit_queued(void)
{
	if (uring.unsubmitted == 0) return;
	store_index(uring.sq_tail, uring.tail);
	while (uring.unsubmitted > 0) {
		int taken = enter(uring.unsubmitted, 0);
		if (taken < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) {
			fail("io_uring_enter");
		}
		if (taken > 0) uring.unsubmitted -= taken;
	}
}

static void queue_transfer(unsigned index, bool write, uint32_t offset, uint32_t length,
			   uint64_t position)
{
	if (uring.unsubmitted == SUBMISSIONS) submit_queued();
	struct io_uring_sqe *sqe = &uring.sqes[uring.tail++ & *uring.sq_mask];
	memset(sqe, 0, sizeof *sqe);
	if (uring.registered_memory) {
		sqe->opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
	} else {
		sqe->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
	}
	sqe->fd = uring.registered_file ? 0 : file_fd;
	sqe->flags = uring.registered_file ? IOSQE_FIXED_FILE : 0;
	sqe->off = position;
	sqe->addr = (uintptr_t)(device.data + offset);
	sqe->len = length;
	sqe->user_data = (uint64_t)length << 32 | index;
	requests[index].pending++;
	uring.unsubmitted++;
}

static void respond(uint64_t id, uint8_t operation, int16_t status)
{
	struct response *response =
		&device.ring->entries[rsp_prod++ & (device.entries - 1)].response;
	response->id = id;
	response->operation = operation;
	response->status = status;
}

static void push_responses(void)
{
	uint32_t before = rsp_pushed;
	if (rsp_prod == before) return;
	rsp_pushed = rsp_prod;
	store_index(&device.ring->rsp_prod, rsp_prod);
	if (rsp_prod - load_index(&device.ring->rsp_event) < rsp_prod - before) {
		shm_ring_bell(&device);
	}
}

/* Sum of the sectors, or 0 where a segment is not sound. */
static uint64_t check_segments(const struct segment *segments, unsigned count)
{
	uint64_t total = 0;
	for (unsigned at = 0; at < count; at++) {
		if (segments[at].first_sect > segments[at].last_sect || segments[at].last_sect > 7) return 0;
		if (device.by_page && segments[at].gref >= device.data_pages) return 0;
		total += segments[at].last_sect - segments[at].first_sect + 1;
	}
	return total;
}

static void queue_runs(unsigned index, bool write, uint64_t sector, const struct segment *segments,
		       unsigned count)
{
	uint64_t position = sector * SECTOR_BYTES;
	uint32_t slot_page = requests[index].id * device.pages_per_slot;
	uint32_t start = 0, length = 0;
	for (unsigned at = 0; at < count; at++) {
		uint32_t page = device.by_page ? segments[at].gref : slot_page + at;
		uint32_t offset = page * PAGE_BYTES + segments[at].first_sect * SECTOR_BYTES;
		uint32_t bytes = (segments[at].last_sect - segments[at].first_sect + 1) * SECTOR_BYTES;
		if (length > 0 && offset == start + length) {
			length += bytes;
			continue;
		}
		if (length > 0) queue_transfer(index, write, start, length, position);
		position += length;
		start = offset;
		length = bytes;
	}
	queue_transfer(index, write, start, length, position);
}

static bool is_sound(uint64_t id, unsigned operation, uint64_t sector, uint64_t total)
{
	if (operation != OP_READ && operation != OP_WRITE) return false;
	if (total == 0 || sector > sectors || total > sectors - sector) return false;
	return device.by_page || id < device.entries;
}

static void take(const union entry *shared)
{
	static struct segment indirect[INDIRECT_SEGMENTS_MAX];
	union entry entry;
	memcpy(&entry, shared, sizeof entry);
	const struct segment *segments = entry.plain.segments;
	unsigned count = entry.plain.nr_segments, operation = entry.plain.operation;
	uint64_t id = entry.plain.id, sector = entry.plain.sector, total = 0;
	if (operation == OP_INDIRECT) {
		count = entry.indirect.nr_segments;
		operation = entry.indirect.indirect_operation;
		segments = indirect;
		uint32_t page = entry.indirect.grefs[0];
		if (count >= 1 && count <= device.indirect_max && page < device.data_pages) {
			memcpy(indirect, device.data + (size_t)page * PAGE_BYTES, count * sizeof *indirect);
			total = check_segments(indirect, count);
		}
	} else if (count >= 1 && count <= PLAIN_SEGMENTS_MAX) {
		total = check_segments(segments, count);
	}
	if (!is_sound(id, operation, sector, total)) {
		respond(id, entry.plain.operation, RSP_ERROR);
		return;
	}
	unsigned index = free_requests[--free_count];
	requests[index] = (struct request){ .id = id, .operation = entry.plain.operation };
	queue_runs(index, operation == OP_WRITE, sector, segments, count);
}

/* Takes all there is; in the end asks to be told of more. */
static void drain_ring(void)
{
	struct ring *ring = device.ring;
	for (;;) {
		uint32_t produced = load_index(&ring->req_prod);
		errno = 0;
		if (produced - rsp_prod > device.entries) fail("the front end broke the ring");
		if (produced == req_cons) {
			store_index(&ring->req_event, req_cons + 1);
			if (load_index(&ring->req_prod) == req_cons) break;
			continue;
		}
		while (req_cons != produced) take(&ring->entries[req_cons++ & (device.entries - 1)]);
	}
	submit_queued();
	push_responses();
}

static bool drain_completions(void)
{
	if (load_index(uring.sq_flags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) {
		enter(0, IORING_ENTER_GETEVENTS);
	}
	uint32_t head = *uring.cq_head, first = head;
	while (head != load_index(uring.cq_tail)) {
		struct io_uring_cqe *cqe = &uring.cqes[head++ & *uring.cq_mask];
		unsigned index = (uint32_t)cqe->user_data;
		struct request *request = &requests[index];
		/* Short transfers do not occur on a file that is as large as the disk. */
		if (cqe->res != (int32_t)(cqe->user_data >> 32)) request->status = RSP_ERROR;
		if (--request->pending == 0) {
			respond(request->id, request->operation, request->status);
			free_requests[free_count++] = index;
		}
	}
	store_index(uring.cq_head, head);
	push_responses();
	return head != first;
}

/* docs/formats-shm.md, sessions 2, 4 and 5. True while a session is served. */
static bool follow_front_end(bool serving)
{
	struct side_state front = shm_read_state(&device, FRONT);
	bool connected = strcmp(front.state, "connected") == 0;
	if (serving && connected && front.session == session) return true;
	if (serving) {
		while (free_count < REQUESTS_MAX) drain_completions();
		shm_announce(&device, session, "waiting", 0);
		shm_ring_state(&device);
	}
	if (!connected || front.session <= session) return false;
	session = front.session;
	shm_announce(&device, session, "connected", sectors);
	req_cons = rsp_prod = rsp_pushed = 0;
	shm_ring_state(&device);
	return true;
}

int main(int argc, char **argv)
{
	errno = 0;
	if (argc < 4) fail("usage: back-end DIRECTORY FILE SECTORS [direct]");
	bool direct = argc > 4 && strcmp(argv[4], "direct") == 0;
	shm_open_device(&device, argv[1], BACK, true);
	file_fd = open(argv[2], O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
	if (file_fd < 0) fail("%s", argv[2]);
	sectors = strtoull(argv[3], NULL, 10);
	open_uring();
	while (free_count < REQUESTS_MAX) {
		free_requests[free_count] = REQUESTS_MAX - 1 - free_count;
		free_count++;
	}
	session = shm_read_state(&device, BACK).session;
	shm_announce(&device, session, "waiting", 0);
	shm_ring_state(&device);
	printf("serving, memory %s\n", uring.registered_memory ? "registered" : "not registered");
	fflush(stdout);
	bool serving = follow_front_end(false);
	struct pollfd waits[] = { { device.hear_fd, POLLIN, 0 }, { uring.eventfd, POLLIN, 0 } };
	for (;;) {
		if (poll(waits, 2, -1) < 0 && errno != EINTR) fail("poll");
		if (waits[1].revents & POLLIN) {
			uint64_t count;
			if (read(uring.eventfd, &count, sizeof count) < 0 && errno != EAGAIN) fail("eventfd");
		}
		if (waits[0].revents & POLLIN && shm_hear(&device) == 2) serving = follow_front_end(serving);
		if (!serving) continue;
		drain_completions();
		drain_ring();
	}
}
