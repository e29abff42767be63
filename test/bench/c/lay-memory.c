/*
 * lay-memory FILE BYTES gathered|scattered: makes FILE, in memory, at least so long, and gives each
 * page its memory: in huge pages, or page by page in random order, so that hardly two neighbours
 * are neighbours in memory. Whoever maps FILE then has memory of a known kind: a device takes a
 * megabyte of huge pages as one piece, and a megabyte of scattered ones as 256.
 */
/* For MADV_COLLAPSE and ftruncate. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { PAGE_BYTES = 4096, HUGE_BYTES = 2 << 20 };

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "lay-memory: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The kernel gathers only what is mapped at such an address. */
static uint8_t *map_aligned(int fd, size_t bytes)
{
	uint8_t *room = mmap(NULL, bytes + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED) fail("mmap");
	uintptr_t at = ((uintptr_t)room + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
	uint8_t *memory = mmap((void *)at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (memory == MAP_FAILED) fail("mmap");
	return memory;
}

/* Leaves what is there already as it is. */
static void touch(volatile uint8_t *page)
{
	*page = *page;
}

static void gather(uint8_t *memory, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += PAGE_BYTES) touch(memory + at);
	size_t whole = bytes / HUGE_BYTES * HUGE_BYTES;
	if (whole == 0 || madvise(memory, whole, MADV_COLLAPSE) == 0) return;
	fprintf(stderr, "lay-memory: no huge pages (%s), so where memory lies is left to chance\n",
		strerror(errno));
}

static void scatter(uint8_t *memory, size_t bytes)
{
	size_t pages = bytes / PAGE_BYTES;
	uint32_t *order = malloc(pages * sizeof *order);
	if (order == NULL) fail("malloc");
	for (size_t page = 0; page < pages; page++) order[page] = page;
	srandom(1);
	for (size_t left = pages; left > 1; left--) {
		size_t other = random() % left;
		uint32_t page = order[left - 1];
		order[left - 1] = order[other];
		order[other] = page;
	}
	for (size_t at = 0; at < pages; at++) touch(memory + (size_t)order[at] * PAGE_BYTES);
}

int main(int argc, char **argv)
{
	errno = EINVAL;
	if (argc != 4) fail("usage: lay-memory FILE BYTES gathered|scattered");
	size_t bytes = strtoull(argv[2], NULL, 10);
	int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat stat;
	if (fd < 0 || fstat(fd, &stat) != 0) fail(argv[1]);
	if ((size_t)stat.st_size > bytes) bytes = stat.st_size;
	if (ftruncate(fd, bytes) != 0) fail(argv[1]);
	uint8_t *memory = map_aligned(fd, bytes);
	if (strcmp(argv[3], "gathered") == 0) gather(memory, bytes);
	else scatter(memory, bytes);
	return 0;
}
