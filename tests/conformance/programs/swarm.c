/* build: gcc -static */
/* Many short-lived processes: swarm COUNT. Each opens a file of its own, there or not; each tenth executes this program
 * again under another name, and that one opens the file. Sixteen at a time. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int count = atoi(argv[1]), running = 0;
	char name[64];

	if (count < 0)
		return open(argv[2], O_RDONLY) < 0;
	for (int i = 0; i < count; i++) {
		if (running == 16) {
			wait(0);
			running--;
		}
		if (fork() == 0) {
			snprintf(name, sizeof(name), "files/%d", i);
			if (i % 10 == 0)
				execl("./again", "again", "-1", name, (char *)0);
			open(name, O_RDONLY);
			_exit(0);
		}
		running++;
	}
	while (wait(0) > 0)
		;
	return 0;
}
