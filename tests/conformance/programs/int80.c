/* build: gcc -static -no-pie */
/* 64-bit code that makes 32-bit calls. Its strings lie below 4 GiB, since the addresses are 32-bit ones. */
static char plain[] = "plain", none[] = "no-plain", link[] = "link", buffer[256];

static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	return result;
}

int main(void)
{
	call(5, (long)plain, 0, 0);               /* open */
	call(5, (long)none, 0, 0);
	call(85, (long)link, (long)buffer, 256);  /* readlink */
	return 0;
}
