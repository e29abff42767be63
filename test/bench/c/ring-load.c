/*
 * ring-load DIRECTORY: the front end of a stand-in device, as a guest in C would be, under loads
 * that standard input asks for, one a line:
 *
 *   OPERATION PATTERN BLOCK DEPTH MILLISECONDS COUNT FIRST LENGTH STRIDE REGIONS SEED
 *
 * OPERATION r or w; PATTERN r (random) or s (sequential); BLOCK in bytes; ends after so many
 * milliseconds or COUNT requests, whichever is first. Blocks lie in REGIONS regions of LENGTH bytes
 * each, the first at FIRST, each STRIDE after the one before. Each line is answered with one line
 * of JSON; latencies are from the request's being put on the ring to its answer's being taken.
 */
#include "shm-device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	HANDSHAKE_MS = 30000,
	HANDSHAKE_POLL_US = 2000,
	/* A run that takes this much longer than asked has lost an answer. */
	GRACE_SECONDS = 60,
	SLOTS_MAX = 512,
	SUB_BUCKET_BITS = 5,
	SUB_BUCKETS = 1 << SUB_BUCKET_BITS,
	BUCKETS = 64 * SUB_BUCKETS,
};

struct load {
	char operation, pattern;
	uint64_t block, milliseconds, count, first, length, stride, regions, seed;
	unsigned depth;
};

static struct shm_device device;
static uint64_t session, disk_sectors;
static uint32_t req_prod, req_pushed, rsp_cons;
static uint64_t started_ns[SLOTS_MAX];
static uint64_t histogram[BUCKETS];

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* A ring that no back end is on: made afresh. */
static void make_ring(void)
{
	struct ring *ring = device.ring;
	memset(ring, 0, sizeof *ring);
	store_index(&ring->req_event, 1);
	store_index(&ring->rsp_event, 1);
	req_prod = req_pushed = rsp_cons = 0;
	shm_announce(&device, session, "connected", 0);
	shm_ring_state(&device);
}

/* docs/formats-shm.md, sessions 1, 3 and 5. */
static void connect_back_end(void)
{
	struct side_state own = shm_read_state(&device, FRONT), back = shm_read_state(&device, BACK);
	session = (own.session > back.session ? own.session : back.session) + 1;
	shm_announce(&device, session, "initialising", 0);
	shm_ring_state(&device);
	uint64_t deadline = now_ns() + HANDSHAKE_MS * 1000000ull;
	bool made = false;
	for (;; usleep(HANDSHAKE_POLL_US)) {
		back = shm_read_state(&device, BACK);
		bool connected = strcmp(back.state, "connected") == 0;
		if (made && connected && back.session == session) break;
		if (!made && !(connected && shm_is_taken(&device, BACK))) {
			make_ring();
			made = true;
		} else if (strcmp(back.state, "waiting") == 0 && back.session >= session) {
			session = back.session + 1;
			make_ring();
		}
		errno = 0;
		if (now_ns() > deadline) fail("no back end serves %s", device.directory);
	}
	disk_sectors = back.sectors;
}

static uint64_t random_state;

/* xorshift64*: cheap, and the same for the same seed. */
static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717ull;
}

static uint64_t next_block;

static uint64_t choose_sector(const struct load *load)
{
	uint64_t per_region = load->length / load->block, blocks = per_region * load->regions;
	uint64_t block;
	if (load->pattern == 'r') {
		block = ((__uint128_t)next_random() * blocks) >> 64;
	} else {
		block = next_block;
		next_block = block + 1 == blocks ? 0 : block + 1;
	}
	uint64_t region = block / per_region;
	uint64_t at = load->first + region * load->stride + block % per_region * load->block;
	return at / SECTOR_BYTES;
}

static void fill_segments(struct segment *segments, unsigned count, uint32_t page, uint64_t bytes)
{
	for (unsigned at = 0; at < count; at++, bytes -= PAGE_BYTES) {
		unsigned sectors = (bytes < PAGE_BYTES ? bytes : PAGE_BYTES) / SECTOR_BYTES;
		segments[at] = (struct segment){
			.gref = page + at, .first_sect = 0, .last_sect = sectors - 1
		};
	}
}

static void put(const struct load *load, unsigned slot)
{
	union entry *entry = &device.ring->entries[req_prod++ & (device.entries - 1)];
	unsigned operation = load->operation == 'r' ? OP_READ : OP_WRITE;
	unsigned segments = (load->block + PAGE_BYTES - 1) / PAGE_BYTES;
	uint32_t page = slot * device.pages_per_slot;
	started_ns[slot] = now_ns();
	if (segments <= PLAIN_SEGMENTS_MAX) {
		struct plain_request *request = &entry->plain;
		request->operation = operation;
		request->nr_segments = segments;
		request->handle = 0;
		request->id = slot;
		request->sector = choose_sector(load);
		fill_segments(request->segments, segments, page, load->block);
		return;
	}
	struct indirect_request *request = &entry->indirect;
	uint32_t last = page + device.pages_per_slot - 1;
	request->operation = OP_INDIRECT;
	request->indirect_operation = operation;
	request->nr_segments = segments;
	request->id = slot;
	request->sector = choose_sector(load);
	request->handle = 0;
	memset(request->grefs, 0, sizeof request->grefs);
	request->grefs[0] = last;
	fill_segments((struct segment *)(device.data + (size_t)last * PAGE_BYTES), segments, page,
		      load->block);
}

static void push(void)
{
	uint32_t before = req_pushed;
	if (req_prod == before) return;
	req_pushed = req_prod;
	store_index(&device.ring->req_prod, req_prod);
	if (req_prod - load_index(&device.ring->req_event) < req_prod - before) {
		shm_ring_bell(&device);
	}
}

static void count_latency(uint64_t ns)
{
	unsigned shift = 0;
	while (ns >> shift >= 2 * SUB_BUCKETS) shift++;
	histogram[shift * SUB_BUCKETS + (ns >> shift)]++;
}

static uint64_t percentile(uint64_t total, double share)
{
	uint64_t wanted = total * share, seen = 0;
	for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
		seen += histogram[bucket];
		if (seen <= wanted) continue;
		unsigned shift = bucket < 2 * SUB_BUCKETS ? 0 : bucket / SUB_BUCKETS - 1;
		return ((uint64_t)bucket - (uint64_t)shift * SUB_BUCKETS) << shift;
	}
	return 0;
}

static void check(const struct load *load)
{
	unsigned pages = (load->block + PAGE_BYTES - 1) / PAGE_BYTES;
	unsigned most = device.indirect_max > PLAIN_SEGMENTS_MAX ? device.indirect_max
								 : PLAIN_SEGMENTS_MAX;
	uint64_t end = load->first + (load->regions - 1) * load->stride + load->length;
	errno = 0;
	if (load->depth < 1 || load->depth > device.entries || load->block % SECTOR_BYTES != 0 ||
	    pages < 1 || pages > most || load->length < load->block || load->regions < 1 ||
	    end > disk_sectors * SECTOR_BYTES) {
		fail("the load does not fit the device of %lu sectors", (unsigned long)disk_sectors);
	}
}

static void run(const struct load *load)
{
	check(load);
	memset(histogram, 0, sizeof histogram);
	random_state = load->seed | 1;
	next_block = 0;
	alarm(load->milliseconds / 1000 + GRACE_SECONDS);
	uint64_t started = now_ns(), until = started + load->milliseconds * 1000000ull;
	uint64_t left = load->count, answered = 0, failed = 0;
	unsigned in_flight = 0;
	for (unsigned slot = 0; slot < load->depth && left > 0; slot++, left--, in_flight++) {
		put(load, slot);
	}
	push();
	while (in_flight > 0) {
		struct ring *ring = device.ring;
		uint32_t produced = load_index(&ring->rsp_prod);
		if (produced == rsp_cons) {
			store_index(&ring->rsp_event, rsp_cons + 1);
			if (load_index(&ring->rsp_prod) == rsp_cons) shm_hear(&device);
			continue;
		}
		while (rsp_cons != produced) {
			struct response response = ring->entries[rsp_cons++ & (device.entries - 1)].response;
			uint64_t now = now_ns();
			if (response.id >= load->depth) fail("an answer to what was not asked");
			count_latency(now - started_ns[response.id]);
			answered++;
			failed += response.status != RSP_OKAY;
			if (now < until && left > 0) {
				left--;
				put(load, response.id);
			} else {
				in_flight--;
			}
		}
		push();
	}
	uint64_t elapsed = now_ns() - started;
	alarm(0);
	printf("{\"requests\":%lu,\"failed\":%lu,\"elapsedNs\":%lu,\"p50Ns\":%lu,\"p99Ns\":%lu}\n",
	       (unsigned long)answered, (unsigned long)failed, (unsigned long)elapsed,
	       (unsigned long)percentile(answered, 0.50), (unsigned long)percentile(answered, 0.99));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	errno = 0;
	if (argc != 2) fail("usage: ring-load DIRECTORY");
	shm_open_device(&device, argv[1], FRONT, false);
	for (size_t at = 0; at < device.data_bytes && device.indirect_max == 0; at++) {
		device.data[at] = at * 31 >> 3;
	}
	connect_back_end();
	printf("{\"sectors\":%lu,\"slots\":%u}\n", (unsigned long)disk_sectors, device.entries);
	fflush(stdout);
	struct load load;
	while (scanf(" %c %c %lu %u %lu %lu %lu %lu %lu %lu %lu", &load.operation, &load.pattern,
		     &load.block, &load.depth, &load.milliseconds, &load.count, &load.first,
		     &load.length, &load.stride, &load.regions, &load.seed) == 11) {
		run(&load);
	}
	shm_announce(&device, session, "closed", 0);
	shm_ring_state(&device);
	return 0;
}
