/* build: gcc -static */
/* openat2(2) with each RESOLVE_ flag, on names that it lets pass and on names that it refuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void try(int dir, const char *name, unsigned long resolve, unsigned long flags)
{
	struct open_how how = {.flags = flags, .resolve = resolve};
	int fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	printf("%s: %s\n", name, fd < 0 ? strerror(errno) : "opened");
	if (fd >= 0)
		close(fd);
}

int main(void)
{
	int dir = open("jail", O_PATH | O_DIRECTORY);

	try(dir, "etc/inside", RESOLVE_BENEATH, O_RDONLY);
	try(dir, "../outside", RESOLVE_BENEATH, O_RDONLY);
	try(dir, "/etc/passwd", RESOLVE_BENEATH, O_RDONLY);
	try(dir, "to-outside", RESOLVE_BENEATH, O_RDONLY);
	try(dir, "etc/../etc/inside", RESOLVE_BENEATH, O_RDONLY);
	try(dir, "/etc/inside", RESOLVE_IN_ROOT, O_RDONLY);
	try(dir, "/../../etc/inside", RESOLVE_IN_ROOT, O_RDONLY);
	try(dir, "absolute-link", RESOLVE_IN_ROOT, O_RDONLY);
	try(dir, "/etc/none", RESOLVE_IN_ROOT, O_RDONLY);
	try(dir, "link", RESOLVE_NO_SYMLINKS, O_RDONLY);
	try(dir, "etc/inside", RESOLVE_NO_SYMLINKS, O_RDONLY);
	try(AT_FDCWD, "/proc/self/exe", RESOLVE_NO_MAGICLINKS, O_RDONLY);
	try(AT_FDCWD, "/proc/self/exe", 0, O_RDONLY);
	try(AT_FDCWD, "/proc/version", RESOLVE_NO_XDEV, O_RDONLY);
	try(AT_FDCWD, "/etc/hostname", RESOLVE_NO_XDEV, O_RDONLY);
	try(AT_FDCWD, "/etc/hosts", RESOLVE_CACHED, O_RDONLY);
	try(dir, "link", 0, O_RDONLY | O_NOFOLLOW);
	try(dir, "link", 0, O_PATH | O_NOFOLLOW);
	try(dir, "etc", 0, O_PATH);
	try(-1, "nothing", 0, O_RDONLY);
	try(-1, "/etc/group", 0, O_RDONLY);
	return 0;
}
