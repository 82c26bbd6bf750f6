/* build: gcc -static -pthread */
/* Threads that share a working directory and one that does not, that fork, and that execute from another than the
 * first. Directories are changed while nobody is in a call: races between the two are documented, not compared. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void look(const char *name)
{
	struct stat s;
	int fd = open(name, O_RDONLY);

	stat(name, &s);
	syscall(SYS_access, name, R_OK);
	syscall(SYS_open, name, O_RDONLY);
	if (fd >= 0)
		close(fd);
}

static void *shared(void *where)
{
	chdir(where);
	look("file");
	if (fork() == 0) {
		chdir("..");
		look("file");
		_exit(0);
	}
	wait(0);
	return 0;
}

static void *own(void *where)
{
	unshare(CLONE_FS);
	chdir(where);
	look("file");
	look("missing");
	return 0;
}

static void *execute(void *where)
{
	chdir(where);
	execl("./program", "./program", "file", (char *)0);
	return 0;
}

static void in_thread(void *(*function)(void *), const char *where)
{
	pthread_t thread;

	pthread_create(&thread, 0, function, (void *)where);
	pthread_join(thread, 0);
}

int main(int argc, char **argv)
{
	if (argc > 1) { /* executed by a thread */
		look(argv[1]);
		return 0;
	}
	look("file");
	in_thread(shared, "one");
	look("file");
	in_thread(own, "../two");
	look("file");
	if (vfork() == 0) {
		execl("/bin/true", "true", (char *)0);
		_exit(1);
	}
	wait(0);
	in_thread(execute, "../three");
	return 1;
}
