/* build: musl-gcc -static */
/* The old system calls by name: open, stat, lstat, access, readlink, chdir, mkdir, rmdir, unlink, rename, creat. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#include <dirent.h>

int main(void)
{
	struct stat s;
	char buffer[4096];
	DIR *folder;

	close(open("/etc/passwd", O_RDONLY));
	open("nothing", O_RDONLY);
	stat("/etc/group", &s);
	lstat("link", &s);
	stat("link", &s);
	stat("link/x", &s);
	access("/etc/hosts", R_OK);
	access("/etc/no", R_OK);
	readlink("link", buffer, sizeof(buffer));
	close(creat("created", 0600));
	rename("created", "renamed");
	link("renamed", "linked");
	symlink("renamed", "symlinked");
	chmod("renamed", 0644);
	truncate("renamed", 10);
	mkdir("dir", 0755);
	chdir("dir");
	close(open("../renamed", O_RDWR));
	chdir("..");
	rmdir("dir");
	unlink("linked");
	folder = opendir(".");
	while (readdir(folder))
		;
	closedir(folder);
	chdir("link");
	close(open("x", O_RDONLY));
	puts("done");
	return 0;
}
