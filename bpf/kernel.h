/* Reading kernel memory. Offsets come from the running kernel's BTF: snoop_agent/kernel.py writes them into
 * snoop_offsets.h as OFF_<struct>_<member>, so no kernel type is spelled out here and none can be laid out wrong. */

/* Read the member of the object that `from` points to. */
#define LOAD(to, from, member) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(from) + OFF_##member)
#define LOAD_AT(to, address) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(address))
/* The same as an expression, zero if unreadable. */
#define GET(type, from, member) ({ type __value = 0; LOAD(__value, from, member); __value; })

/* Several members of one object in one go: they lie in the SPAN_SIZE_<struct> bytes from SPAN_<struct> on. */
#define LOAD_SPAN(to, from, object) bpf_probe_read_kernel(to, SPAN_SIZE_##object, (void *)(from) + SPAN_##object)
#define IN_SPAN(type, span, object, member) (*(type *)((span) + OFF_##object##_##member - SPAN_##object))

/* Where the verifier knows the type of a pointer (SNOOP_TYPED) its members are plain loads: the current task, its
 * registers, and what it points to by members. */
#ifdef SNOOP_TYPED
#define CURRENT_TASK() ((void *)bpf_get_current_task_btf())
#define MEMBER(type, from, member) __MEMBER(type, from, member)
#define __MEMBER(type, from, member) (*(type *)((void *)(from) + OFF_##member))
#else
#define CURRENT_TASK() ((void *)bpf_get_current_task())
#define MEMBER(type, from, member) GET(type, from, member)
#endif

/* Helpers on a map that was found in another one. */
#define MAP_LOOKUP(map, key) (((void *(*)(void *, void *))BPF_FUNC_map_lookup_elem)(map, key))
#define MAP_UPDATE(map, key, value) \
	(((long (*)(void *, void *, void *, __u64))BPF_FUNC_map_update_elem)(map, key, value, 0))
#define RING_OUTPUT(map, data, size) \
	(((long (*)(void *, void *, __u64, __u64))BPF_FUNC_ringbuf_output)(map, data, size, 0))

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
/* Both have moved (include/linux/namei.h, before and since 6.15). What else had these bits never stands in open_flags. */
#define LOOKUP_IN_ROOT_FLAG (1 << 20 | 1 << 28)
#define LOOKUP_CACHED_FLAG (1 << 21 | 1 << 9)
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
