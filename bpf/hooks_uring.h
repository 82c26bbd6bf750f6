/* io_uring: a ring's requests make no system calls. Its tracepoint tells each request when it is submitted, before it is
 * known how it will end: the names are told as used, unconfirmed. */

#if defined(SNOOP_URING) && !defined(SNOOP_ATTACH_VFS)
/* include/uapi/linux/io_uring.h, enum io_uring_op. */
enum {
	URING_OPENAT = 18, URING_STATX = 21, URING_OPENAT2 = 28, URING_RENAMEAT = 35, URING_UNLINKAT = 36,
	URING_MKDIRAT = 37, URING_LINKAT = 39, URING_SETXATTR = 42, URING_GETXATTR = 44,
};

/* Where the kernel holds a request's name (struct filename), and in `dirfd` what it starts from. */
static __always_inline void *uring_name(void *command, __u8 operation, int *dirfd, __u32 *kinds)
{
	switch (operation) {
	case URING_OPENAT:
	case URING_OPENAT2:
		*dirfd = GET(int, command, io_open_dfd);
		*kinds = kinds_of_open(GET(__u64, command, io_open_how_flags));
		return GET(void *, command, io_open_filename);
	case URING_STATX:
		*dirfd = GET(int, command, io_statx_dfd);
		*kinds = SNOOP_STAT;
		return GET(void *, command, io_statx_filename);
#ifdef OFF_io_rename_oldpath
	case URING_RENAMEAT:
		*dirfd = GET(int, command, io_rename_old_dfd);
		*kinds = SNOOP_MODIFY;
		return GET(void *, command, io_rename_oldpath);
#endif
#ifdef OFF_io_unlink_filename
	case URING_UNLINKAT:
		*dirfd = GET(int, command, io_unlink_dfd);
		*kinds = SNOOP_MODIFY;
		return GET(void *, command, io_unlink_filename);
#endif
#ifdef OFF_io_mkdir_filename
	case URING_MKDIRAT:
		*dirfd = GET(int, command, io_mkdir_dfd);
		*kinds = SNOOP_CREATE;
		return GET(void *, command, io_mkdir_filename);
#endif
#ifdef OFF_io_link_oldpath
	case URING_LINKAT:
		*dirfd = GET(int, command, io_link_old_dfd);
		*kinds = SNOOP_STAT;
		return GET(void *, command, io_link_oldpath);
#endif
#ifdef OFF_io_xattr_filename
	case URING_SETXATTR:
	case URING_GETXATTR:
		*kinds = operation == URING_SETXATTR ? SNOOP_MODIFY : SNOOP_STAT;
		return GET(void *, command, io_xattr_filename);
#endif
	}
	return 0;
}

int snoop_uring(struct bpf_raw_tracepoint_args *ctx)
{
	void *request = (void *)ctx->args[SNOOP_URING_ARGUMENT], *task = (void *)bpf_get_current_task(), *name;
	struct snoop_target *target;
	struct scratch *e;
	int dirfd = AT_FDCWD_VALUE;
	__u64 container;
	__u32 kinds = 0;
	__u8 operation;

	operation = GET(__u8, request, io_kiocb_opcode);
	name = uring_name(request + OFF_io_kiocb_cmd, operation, &dirfd, &kinds);
	if (!name || is_error_pointer(name))
		return 0;
	e = begin(SCRATCH_URING, &container, &target);
	if (!e || !take_name(e, text_of(name), 0))
		return 0;
	hash_name(e);
	e->record.kinds = kinds;
	e->record.flags |= SNOOP_UNCONFIRMED;
	take_base(e, target, task, dirfd);
	if (!is_new(e, target, task))
		return 0;
	take_executable(e, task);
	hand_on(e);
	tails_raw.call(ctx, TAIL_WALK);
	return 0;
}
#endif
