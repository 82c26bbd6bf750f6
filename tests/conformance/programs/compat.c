/* build: gcc -m32 -static -nostdlib -fno-pic -no-pie -fno-stack-protector */
/* 32-bit code: other call numbers, other arguments. Without a C library, which a 64-bit machine seldom has for it. */
static long call(long number, long a, long b, long c, long d)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return result;
}

void _start(void)
{
	static char buffer[4096];
	int dir;

	call(5, (long)"plain", 0, 0, 0);                     /* open */
	call(5, (long)"no-plain", 0, 0, 0);
	call(33, (long)"accessed", 4, 0, 0);                 /* access */
	call(195, (long)"looked-at", (long)buffer, 0, 0);    /* stat64 */
	call(85, (long)"link", (long)buffer, 4096, 0);       /* readlink */
	dir = call(295, -100, (long)"dir", 0200000, 0);      /* openat, O_DIRECTORY */
	call(295, dir, (long)"in", 0, 0);
	call(300, dir, (long)"in2", (long)buffer, 0);        /* fstatat64 */
	call(220, dir, (long)buffer, 4096, 0);               /* getdents64 */
	call(38, (long)"old", (long)"new", 0, 0);            /* rename */
	call(10, (long)"removed", 0, 0, 0);                  /* unlink */
	call(12, (long)"dir", 0, 0, 0);                      /* chdir */
	call(5, (long)"in3", 0, 0, 0);
	call(1, 0, 0, 0, 0);                                 /* exit */
}
