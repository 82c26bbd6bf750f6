/* What musl makes of everyday calls: the old system calls (open, stat, lstat, access, readlink), and not their *at
 * forms. Links libpart.so, so that musl's own loader searches for a library. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int part(void);

static void leave(int signal_number)
{
	(void)signal_number;
	close(open("/etc/app/last", O_RDONLY));
	_exit(0);
}

int main(void)
{
	struct stat status;
	char target[64];
	DIR *parts;

	signal(SIGTERM, leave);
	part();
	close(open("/etc/app/opened", O_RDONLY));
	close(open("/etc/app/not-there", O_RDONLY));
	stat("/etc/app/stated", &status);
	lstat("/etc/app/link", &status);
	stat("/etc/app/not-there-either", &status);
	access("/etc/app/probed", R_OK);
	readlink("/etc/app/link", target, sizeof(target));
	parts = opendir("/etc/app/parts");
	while (parts && readdir(parts))
		;
	chdir("/srv");
	close(open("relative", O_RDONLY));
	close(open("/tmp/made", O_WRONLY | O_CREAT, 0600));
	puts("done");
	fflush(stdout);
	for (;;)
		pause();
}
