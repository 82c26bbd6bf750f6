/* build: gcc -static */
/* Files by descriptor: memfd, /proc/self/fd/N, a deleted file opened again, O_TMPFILE given a name, one passed over a
 * socket, AT_EMPTY_PATH, fexecve(3). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int again(int fd, int flags)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return open(name, flags);
}

static void pass(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	sendmsg(socket, &message, 0);
}

static int take(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int fd = -1;

	recvmsg(socket, &message, 0);
	if (CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

int main(int argc, char **argv)
{
	int memory = memfd_create("in-memory", 0), plain = open("plain", O_RDONLY), gone, temporary, path, pair[2];
	char name[64], buffer[256];
	struct stat s;

	if (argc > 1)
		return 0; /* executed by descriptor */
	close(again(memory, O_RDONLY));
	close(again(plain, O_RDONLY));
	gone = open("gone", O_RDWR | O_CREAT, 0600);
	unlink("gone");
	close(again(gone, O_RDONLY));
	fstat(gone, &s);
	temporary = open(".", O_TMPFILE | O_RDWR, 0600);
	if (temporary >= 0) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", temporary);
		linkat(AT_FDCWD, name, AT_FDCWD, "given-a-name", AT_SYMLINK_FOLLOW);
	}
	path = open("linked", O_PATH | O_NOFOLLOW);
	fstatat(path, "", &s, AT_EMPTY_PATH);
	readlinkat(path, "", buffer, sizeof(buffer));
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	if (fork() == 0) {
		pass(pair[0], open("passed", O_RDONLY));
		_exit(0);
	}
	read(take(pair[1]), buffer, sizeof(buffer));
	wait(0);
	if (fork() == 0) {
		char *const words[] = {"by-descriptor", "again", 0};

		syscall(SYS_execveat, open("/proc/self/exe", O_PATH), "", words, environ, AT_EMPTY_PATH);
		_exit(1);
	}
	wait(0);
	if (fork() == 0) {
		char *const words[] = {"below", "again", 0};

		syscall(SYS_execveat, open("bin", O_RDONLY), "program", words, environ, 0);
		_exit(1);
	}
	wait(0);
	if (fork() == 0) {
		char *const words[] = {"script", 0};

		syscall(SYS_execveat, open("bin", O_RDONLY), "script", words, environ, 0);
		_exit(1);
	}
	wait(0);
	open("/dev/stdout", O_WRONLY);
	open("/proc/self/fd/99", O_RDONLY);
	return 0;
}
