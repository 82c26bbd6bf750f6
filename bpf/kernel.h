/* Reading kernel memory. Where a member lies, and all else that differs from kernel to kernel, is a hole: a number that
 * snoop_agent/loader.py puts in place of HOLE_... when it loads the programs, from the running kernel's BTF. So no kernel
 * type is spelled out here, none can be laid out wrong, and one compiled object does for all kernels. The compiler
 * must not calculate with the number that stands for a hole meanwhile: it is a text, which the assembler alone reads. */

/* The value of a hole. The verifier knows it, and does not look at what follows from another one. */
#define HOLE(hole) ({ __u64 __value; asm("%0 = " hole : "=r"(__value)); __value; })
#define PLUS(from, hole) ({ __u64 __sum = (__u64)(from); asm("%0 += " hole : "+r"(__sum)); (void *)__sum; })
#define MINUS(from, hole) ({ __u64 __sum = (__u64)(from); asm("%0 -= " hole : "+r"(__sum)); (void *)__sum; })
/* A member: where it lies, its bytes, and whether this kernel has it. */
#define AT(from, member) PLUS(from, OFF_##member)
#define SIZE(member) HOLE(SIZE_##member)
#define HAS(member) HOLE(HAS_##member)

/* Read bytes, or a number of up to eight of them; what is not there reads as zero. With SNOOP_CAST that is one instruction:
 * the kernel takes bpf_rdonly_cast's word that there is a struct of 64-bit numbers, and catches the fault if there is
 * nothing. Its call costs nothing either, for the verifier replaces it. Else it is a helper's call. */
#define READ(to, address) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(address))
#ifdef SNOOP_CAST
#define RDONLY_CAST ((void *(*)(const void *, __u64))SNOOP_RDONLY_CAST)
#define GET_AT(type, address) (*(type *)RDONLY_CAST((void *)(address), HOLE(SNOOP_WORDS)))
#define LOAD_AT(to, address) ((to) = GET_AT(__typeof__(to), address))
#else
#define GET_AT(type, address) ({ type __value = 0; READ(__value, address); __value; })
#define LOAD_AT(to, address) READ(to, address)
#endif
/* The member of the object that `from` points to. */
#define GET(type, from, member) GET_AT(type, AT(from, member))
#define LOAD(to, from, member) LOAD_AT(to, AT(from, member))

/* Several members of one object: where each one costs a call, in one go. They lie in SPAN_SIZE_<struct> bytes, SPAN_MAX at
 * most, from SPAN_<struct> on. */
#ifdef SNOOP_CAST
#define LOAD_SPAN(to, from, object)
#define IN_SPAN(type, span, from, object, member) GET(type, from, object##_##member)
#else
#define LOAD_SPAN(to, from, object) bpf_probe_read_kernel(to, HOLE(SPAN_SIZE_##object), PLUS(from, SPAN_##object))
#define IN_SPAN(type, span, from, object, member) (*(type *)PLUS(span, IN_SPAN_##object##_##member))
#endif

/* Where the verifier knows the type of a pointer (SNOOP_TYPED) its members are plain loads: the current task, its
 * registers, and what it points to by members. */
#ifdef SNOOP_TYPED
#define CURRENT_TASK() ((void *)bpf_get_current_task_btf())
#define MEMBER(type, from, member) __MEMBER(type, from, member)
#define __MEMBER(type, from, member) (*(type *)AT(from, member))
#else
#define CURRENT_TASK() ((void *)bpf_get_current_task())
#define MEMBER(type, from, member) GET(type, from, member)
#endif

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
#define UNSHARE_EMPTY_MNTNS_FLAG 0x100000
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
	if (HAS(filename_name))
		return GET(void *, filename, filename_name);
	return AT(filename, filename_iname);
}
