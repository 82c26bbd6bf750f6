/* A shared object for musl.c. */
int answer(void) { return 42; }
