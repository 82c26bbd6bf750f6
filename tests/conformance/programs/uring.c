/* build: gcc -static */
/* Opens, looks up, renames and removes files by io_uring alone: no system call names them. Each once at once and once
 * by a worker thread (IOSQE_ASYNC). Exits with 3 where io_uring is not to be had. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ring;
static char *sq, *cq;
static struct io_uring_sqe *sqes;
static struct io_uring_params p;

static int submit(struct io_uring_sqe sqe)
{
	unsigned tail = *(volatile unsigned *)(sq + p.sq_off.tail), index = tail & (p.sq_entries - 1);
	unsigned head = *(volatile unsigned *)(cq + p.cq_off.head);
	struct io_uring_cqe *cqe;

	sqes[index] = sqe;
	((unsigned *)(sq + p.sq_off.array))[index] = index;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0) {
		perror("io_uring_enter");
		exit(3);
	}
	cqe = (struct io_uring_cqe *)(cq + p.cq_off.cqes) + (head & (p.cq_entries - 1));
	__atomic_store_n((unsigned *)(cq + p.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return cqe->res;
}

static int at(int op, const char *name, unsigned flags, int dirfd)
{
	struct io_uring_sqe sqe = {.opcode = op, .fd = dirfd, .addr = (unsigned long)name, .open_flags = flags};

	return submit(sqe);
}

int main(int argc, char **argv)
{
	static struct open_how how = {.flags = O_RDONLY};
	static struct statx buffer;
	int dir;

	ring = syscall(SYS_io_uring_setup, 8, &p);
	if (ring < 0) {
		perror("io_uring_setup");
		return 3;
	}
	/* No page more than there is: 5.10 refuses that. */
	sq = mmap(0, p.sq_off.array + p.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		  IORING_OFF_SQ_RING);
	cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		  IORING_OFF_CQ_RING);
	sqes = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	dir = open("dir", O_RDONLY | O_DIRECTORY);

	for (int async = 0; async < 2; async++) {
		struct io_uring_sqe sqe = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .open_flags = O_RDONLY};

		sqe.flags = async ? IOSQE_ASYNC : 0;
		sqe.addr = (unsigned long)(async ? "opened-async" : "opened");
		printf("%d ", submit(sqe));
		sqe.addr = (unsigned long)(async ? "no-such-async" : "no-such");
		printf("%d ", submit(sqe));
		sqe.addr = (unsigned long)(async ? "link-async" : "link");
		printf("%d ", submit(sqe));
		sqe.fd = dir;
		sqe.addr = (unsigned long)(async ? "below-async" : "below");
		printf("%d ", submit(sqe));
		sqe.open_flags = O_WRONLY | O_CREAT;
		sqe.len = 0600;
		sqe.addr = (unsigned long)(async ? "made-async" : "made");
		printf("%d ", submit(sqe));

		memset(&sqe, 0, sizeof(sqe));
		sqe.flags = async ? IOSQE_ASYNC : 0;
		sqe.opcode = IORING_OP_OPENAT2;
		sqe.fd = AT_FDCWD;
		sqe.addr = (unsigned long)(async ? "opened2-async" : "opened2");
		sqe.len = sizeof(how);
		sqe.off = (unsigned long)&how;
		printf("%d ", submit(sqe));

		sqe.opcode = IORING_OP_STATX;
		sqe.addr = (unsigned long)(async ? "looked-up-async" : "looked-up");
		sqe.len = STATX_BASIC_STATS;
		sqe.off = (unsigned long)&buffer;
		printf("%d\n", submit(sqe));
	}
	/* 5.11 and 5.15 on; older kernels answer EINVAL, and then nothing was looked up. */
	printf("%d ", at(IORING_OP_UNLINKAT, "removed", 0, AT_FDCWD));
	{
		struct io_uring_sqe sqe = {.opcode = IORING_OP_RENAMEAT, .fd = AT_FDCWD, .len = AT_FDCWD};

		sqe.addr = (unsigned long)"old-name";
		sqe.off = (unsigned long)"new-name";
		printf("%d\n", submit(sqe));
	}
	return 0;
}
