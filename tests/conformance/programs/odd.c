/* build: gcc -static */
/* Calls that are seldom made and name paths all the same, and names that cannot be read. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

int main(void)
{
	struct sockaddr_un name = {AF_UNIX, "socket"}, none = {AF_UNIX, "no-socket"};
	struct statfs fs;
	struct stat s;
	char buffer[256];
	int dir = open("dir", O_RDONLY), s1 = socket(AF_UNIX, SOCK_STREAM, 0), s2 = socket(AF_UNIX, SOCK_DGRAM, 0);

	setxattr("a", "user.x", "y", 1, 0);
	getxattr("b", "user.x", buffer, sizeof(buffer));
	lgetxattr("link", "user.x", buffer, sizeof(buffer));
	listxattr("c", buffer, sizeof(buffer));
	llistxattr("link2", buffer, sizeof(buffer));
	removexattr("d", "user.x");
	utimes("e", 0);
	syscall(SYS_utime, "f", 0);
	syscall(SYS_futimesat, dir, "in", 0);
	utimensat(AT_FDCWD, "g", 0, AT_SYMLINK_NOFOLLOW);
	inotify_add_watch(inotify_init(), "h", IN_ACCESS);
	statfs("i", &fs);
	chown("j", 0, 0);
	lchown("link3", 0, 0);
	fchownat(dir, "in2", 0, 0, 0);
	fchmodat(dir, "in3", 0600, 0);
	faccessat(dir, "in4", R_OK, AT_EACCESS);
	mkdirat(dir, "made", 0700);
	mkdirat(dir, "made", 0700);
	mknodat(dir, "fifo", S_IFIFO | 0600, 0);
	symlinkat("anything", dir, "link-made");
	linkat(dir, "in", dir, "link-hard", 0);
	renameat2(dir, "in2", dir, "in3", RENAME_EXCHANGE);
	renameat2(dir, "in4", dir, "in3", RENAME_NOREPLACE);
	renameat(dir, "in4", dir, "in5");
	rename("nothing", "nowhere");
	unlinkat(dir, "made", AT_REMOVEDIR);
	bind(s1, (void *)&name, sizeof(name));
	listen(s1, 1);
	connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, sizeof(name));
	connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&none, sizeof(none));
	sendto(s2, "x", 1, 0, (void *)&none, sizeof(none));
	name_to_handle_at(dir, "in5", (void *)buffer, (int *)(buffer + 128), 0);
	creat("created", 0600);
	truncate("k", 5);
	open("l", O_RDWR | O_CREAT | O_EXCL, 0600);
	open("dir", O_RDWR);
	open("a/b", O_RDONLY);
	open("loop", O_RDONLY);
	open("", O_RDONLY);
	open((char *)8, O_RDONLY);
	stat((char *)8, &s);
	fstatat(99, "in", &s, 0);
	utimensat(dir, 0, 0, 0);
	access("dir/", R_OK);
	access("./dir//in//", R_OK);
	access("dir/./in", R_OK);
	access("dir/../a", R_OK);
	return 0;
}
