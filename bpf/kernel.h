/* Reading kernel memory. Offsets come from the running kernel's BTF: snoop_agent/kernel.py writes them into
 * snoop_offsets.h as OFF_<struct>_<member>, so no kernel type is spelled out here and none can be laid out wrong. */

/* Read the member of the object that `from` points to. */
#define LOAD(to, from, member) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(from) + OFF_##member)
#define LOAD_AT(to, address) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(address))
/* The same as an expression, zero if unreadable. */
#define GET(type, from, member) ({ type __value = 0; LOAD(__value, from, member); __value; })

#define SB_NOUSER (1U << 31)
#define FMODE_CREATED 0x100000
#define FMODE_READ_FLAG 1
#define FMODE_WRITE_FLAG 2
#define PF_IO_WORKER_FLAG 0x10
#define PF_KTHREAD_FLAG 0x200000
#define O_ACCMODE_MASK 3
#define O_WRONLY_FLAG 1
#define O_RDWR_FLAG 2
#define O_PATH_FLAG 010000000
#define AT_FDCWD_VALUE -100
#define AT_BASE_TYPE 7
#define ELFCLASS32_VALUE 1
#define AF_UNIX_FAMILY 1
#define RESOLVE_IN_ROOT_FLAG 0x10
#define LOOKUP_IN_ROOT_FLAG 0x100000
#define LOOKUP_CACHED_FLAG 0x200000
#define EAGAIN_ERROR 11
#define MS_BIND_FLAG 4096
#define FMODE_EXEC_FLAG 0x20
#define EEXIST_ERROR 17
#define EISDIR_ERROR 21
#define ENOTEMPTY_ERROR 39

static __always_inline int is_error_pointer(const void *pointer)
{
	return (unsigned long)pointer >= (unsigned long)-4095L;
}

/* The text of a struct filename; since 7.x it is always part of it. */
static __always_inline void *text_of(void *filename)
{
#ifdef OFF_filename_name
	return GET(void *, filename, filename_name);
#else
	return filename + OFF_filename_iname;
#endif
}
