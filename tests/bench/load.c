/* build: gcc -O2 -Wall -Wextra -Werror
 *
 * A load of files or system calls, timed in batches on one core.
 *
 *   load MODE [-d DIR] [-n FILES] [-f FIRST] [-s SECONDS] [-r RATE] [-b BATCH] [-c CPU]
 *
 * make      create files FIRST … FIRST+FILES-1 below DIR
 * absolute  open and close them in turn, by absolute names; one line a batch: nanoseconds of one open+close, and of what
 *           fills the core, the longer of before and after
 * relative  the same, by names relative to DIR
 * getppid   the same of getppid(2)
 * flood     open and close them in turn at full rate; one line: operations, seconds
 * paced     the same, RATE a second; SECONDS 0: each once
 * known     the same, of files that it has touched before
 * soak      RATE steps a second: repeats, and now and then a new file that goes again, and a process
 *
 * Timed modes print "ready" and begin when a line comes in. The first two, and `known`, touch everything once before that:
 * what the first touches set off is over by then. (Each load has a mount namespace of its own, so what another one has
 * touched is new once more.) Times are CLOCK_MONOTONIC. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PER_DIRECTORY = 1000, NAME = 24, BATCHES_MAX = 1 << 20, SOAK_NEW_EVERY = 50, SOAK_RUN_EVERY = 500, FILLING = 5000 };

static const char *directory = ".";
static long files = 10000, first, rate = 1000, batch = 100;
static double seconds = 1;
static char *names; /* of `width` bytes each */
static size_t width;

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
	va_list arguments;
	int number = errno;

	va_start(arguments, format);
	fprintf(stderr, "load: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, number ? ": %s\n" : "\n", strerror(number));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("cannot run on CPU %d", cpu);
}

static void name_files(const char *prefix)
{
	width = strlen(prefix) + NAME;
	names = malloc(files * width);
	if (!names)
		fail("no memory for %ld names", files);
	for (long i = 0; i < files; i++) {
		long number = first + i;

		snprintf(names + i * width, width, "%sd%05ld/f%07ld", prefix, number / PER_DIRECTORY, number);
	}
}

static const char *name_of(long i)
{
	return names + i * width;
}

static void touch(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("%s", name);
	close(fd);
}

static void make(void)
{
	char path[4096];

	for (long i = 0; i < files; i++) {
		int fd;

		if (!i || (first + i) % PER_DIRECTORY == 0) {
			snprintf(path, sizeof(path), "%s/d%05ld", directory, (first + i) / PER_DIRECTORY);
			if (mkdir(path, 0755) && errno != EEXIST)
				fail("%s", path);
		}
		fd = open(name_of(i), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			fail("%s", name_of(i));
		close(fd);
	}
}

static void touch_all(void)
{
	for (long i = 0; i < files; i++)
		touch(name_of(i));
}

static void wait_for_go(void)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(0);
}

/* Nanoseconds of sums that hang on nothing, as many as the core takes at once. They take longer when another hardware
 * thread is at work on the same core, one of another virtual machine perhaps; tracers of system calls do not touch them. */
static double fill(void)
{
	unsigned long a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
	double began = now();

	for (int i = 0; i < FILLING; i++) {
		a++, b++, c++, d++, e++, f++;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	}
	return (now() - began) * 1e9;
}

static void timed(int of_files)
{
	struct { float took, beside; } *batches = calloc(BATCHES_MAX, sizeof(*batches));
	double until, before, after, filled, last;
	long at = 0, done = 0;

	if (!batches)
		fail("no memory");
	memset(batches, 0, BATCHES_MAX * sizeof(*batches)); /* so that no page fault is timed */
	if (of_files)
		touch_all();
	wait_for_go();
	last = fill();
	before = now();
	until = before + seconds;
	while (before < until && done < BATCHES_MAX) {
		if (of_files)
			for (long i = 0; i < batch; i++, at = at + 1 < files ? at + 1 : 0)
				touch(name_of(at));
		else
			for (long i = 0; i < batch; i++)
				syscall(SYS_getppid);
		after = now();
		filled = fill();
		batches[done].took = (after - before) * 1e9 / batch;
		batches[done++].beside = filled > last ? filled : last;
		last = filled;
		before = now();
	}
	for (long i = 0; i < done; i++)
		printf("%.1f %.1f\n", batches[i].took, batches[i].beside);
}

static void told(long count, double began)
{
	printf("%ld %.3f\n", count, now() - began);
}

static void flood(void)
{
	double began, until;
	long count = 0;

	wait_for_go();
	began = now();
	until = began + seconds;
	do {
		for (long i = 0; i < batch; i++, count++)
			touch(name_of(count % files));
	} while (now() < until);
	told(count, began);
}

static void sleep_until(double when)
{
	struct timespec t = { .tv_sec = (time_t)when, .tv_nsec = (long)((when - (time_t)when) * 1e9) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0) == EINTR)
		;
}

/* In bursts of a hundredth of a second: a sleep for each operation would cost more than the operation. */
static void paced(void)
{
	long burst = rate > 100 ? rate / 100 : 1, count = 0, most = seconds > 0 ? (long)(rate * seconds) : files;
	double began;

	wait_for_go();
	began = now();
	while (count < most) {
		for (long i = 0; i < burst && count < most; i++, count++)
			touch(name_of(count % files));
		sleep_until(began + (double)count / rate);
	}
	told(count, began);
}

static void come_and_go(long number)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/new-%ld", directory, number);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		fail("%s", path);
	close(fd);
	if (unlink(path))
		fail("%s", path);
}

static void run_something(void)
{
	pid_t child = vfork();

	if (!child) {
		execl("/bin/true", "true", (char *)0);
		_exit(127);
	}
	if (child < 0 || waitpid(child, 0, 0) < 0)
		fail("/bin/true");
}

/* What is new goes back to the same hundred names, as the temporary files of a server do. */
static void soak(void)
{
	double began;
	long count = 0;

	wait_for_go();
	began = now();
	while (now() < began + seconds) {
		touch(name_of(count % files));
		if (count % SOAK_NEW_EVERY == 0)
			come_and_go(count / SOAK_NEW_EVERY % 100);
		if (count % SOAK_RUN_EVERY == 0)
			run_something();
		count++;
		if (count % (rate > 100 ? rate / 100 : 1) == 0)
			sleep_until(began + (double)count / rate);
	}
	told(count, began);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	char prefix[4096];
	int option, cpu = -1, relative = !strcmp(mode, "relative");

	optind = 2;
	while ((option = getopt(argc, argv, "d:n:f:s:r:b:c:")) >= 0) {
		switch (option) {
		case 'd': directory = optarg; break;
		case 'n': files = atol(optarg); break;
		case 'f': first = atol(optarg); break;
		case 's': seconds = atof(optarg); break;
		case 'r': rate = atol(optarg); break;
		case 'b': batch = atol(optarg); break;
		case 'c': cpu = atoi(optarg); break;
		default: return 2;
		}
	}
	if (cpu >= 0)
		pin(cpu);
	if (relative && chdir(directory))
		fail("%s", directory);
	snprintf(prefix, sizeof(prefix), "%s/", directory);
	name_files(relative ? "" : prefix);
	if (!strcmp(mode, "make"))
		make();
	else if (!strcmp(mode, "absolute") || relative)
		timed(1);
	else if (!strcmp(mode, "getppid"))
		timed(0);
	else if (!strcmp(mode, "flood"))
		flood();
	else if (!strcmp(mode, "paced"))
		paced();
	else if (!strcmp(mode, "known"))
		touch_all(), paced();
	else if (!strcmp(mode, "soak"))
		soak();
	else
		fail("%s: no such mode", mode);
	return 0;
}
